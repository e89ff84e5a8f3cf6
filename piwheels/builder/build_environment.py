"""The environment variables of a build."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

#: The $PATH of builds.
BUILD_PATH = "/usr/local/bin:/usr/bin:/bin"

_ZIP_EPOCH = 315532800  # 1980-01-01: zip files, and so wheels, have no earlier dates
#: The variables that make builds reproducible: the order of sets, and the date.
_REPRODUCIBLE = ("PYTHONHASHSEED", "SOURCE_DATE_EPOCH")
_ARMV6_FLAGS = "-march=armv6 -mfpu=vfp -mfloat-abi=hard -marm"
#: Variables for a target whose machine can differ from the builder's: the platform that sysconfig,
#: and so the wheel's tag, reports, and compiler flags.
_ARCH_ENVIRONMENTS = {
    "armv6l": {
        "_PYTHON_HOST_PLATFORM": "linux-armv6l",
        "CFLAGS": _ARMV6_FLAGS,
        "CXXFLAGS": _ARMV6_FLAGS,
        "FFLAGS": _ARMV6_FLAGS,
        "GOARM": "6",
    }
}


def build_environment(
    *, home: str, temporary_dir: str, released_at: datetime, arch: str, path: Sequence[Path] = ()
) -> dict[str, str]:
    """All environment variables of a build; nothing of this machine's pip configuration.

    Args:
        home: its $HOME, as a path inside the sandbox.
        temporary_dir: its $TMPDIR, likewise.
        released_at: when the release was published upstream; the date of reproducible builds.
        arch: the machine of the target.
        path: further directories of programs, before those of the system.
    """
    return {
        "PATH": ":".join((*map(str, path), BUILD_PATH)),
        "HOME": home,
        "TMPDIR": temporary_dir,
        "USER": "build",
        "LOGNAME": "build",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",  # the log is followed while it grows
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(max(_ZIP_EPOCH, int(released_at.timestamp()))),
        "GIT_ALLOW_PROTOCOL": "file",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_DEFAULT_TIMEOUT": "900",  # the proxy sends a large file only when it has all of it
        "PIP_RETRIES": "3",
        **_ARCH_ENVIRONMENTS.get(arch, {}),
    }


def reproducible_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that make builds reproducible, each as NAME=VALUE, for a build's record."""
    return tuple(f"{name}={environment[name]}" for name in _REPRODUCIBLE)


def with_compiler_options(environment: Mapping[str, str], options: Sequence[str]) -> dict[str, str]:
    """An environment whose C compiler gets further options, after its own."""
    if not options:
        return dict(environment)
    return {**environment, "CFLAGS": " ".join((environment.get("CFLAGS", ""), *options)).strip()}
