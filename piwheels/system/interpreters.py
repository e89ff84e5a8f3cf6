"""Python interpreters of this machine: version, ABI, platform, and whether extensions build."""

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from piwheels.errors import MALFORMED, ConfigError
from piwheels.formatting import exit_status_text
from piwheels.model import Interpreter
from piwheels.system.os_release import os_codename

_PROBE_TIMEOUT_S = 30.0

#: A 32-bit interpreter on a 64-bit kernel reports the kernel's machine; pip corrects that too.
_MACHINE_OF_32_BIT = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}
_IMPLEMENTATIONS = {"cpython": "cp", "pypy": "pp"}

#: A program for the interpreter in question; `described_interpreter` reads what it prints.
PROBE_SCRIPT = """
import json, os, platform, struct, sys, sysconfig
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (AttributeError, OSError, ValueError):
    libc = ""
print(json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])),
    "implementation": platform.python_implementation().lower(),
    "soabi": sysconfig.get_config_var("SOABI") or "",
    "platform": sysconfig.get_platform(),
    "bits": struct.calcsize("P") * 8,
    "libc": libc or "",
    "executable": os.path.realpath(sys.executable),
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "compiler": sysconfig.get_config_var("CC") or "cc",
    "headers": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
}))
"""


class _ProbeOutput(msgspec.Struct):
    version: str
    implementation: str
    soabi: str
    platform: str
    bits: int
    libc: str
    executable: str
    prefix: str
    base_prefix: str
    compiler: str
    headers: bool


def probe_interpreter(path: str | Path) -> Interpreter:
    """Run an interpreter to learn what it is; a name without a slash is looked up on $PATH.

    Raises:
        ConfigError: there is none, or it does not run.
    """
    executable = _find_executable(str(path))
    printed, error = _run_probe(executable)
    return described_interpreter(executable, printed, os=os_codename(), error=error)


def described_interpreter(
    executable: Path, printed: bytes, *, os: str, error: str = ""
) -> Interpreter:
    """The interpreter whose probe printed this.

    Args:
        executable: its path, as it was configured.
        printed: the output of PROBE_SCRIPT.
        os: the code name of its operating system.
        error: what it printed besides, to explain a failure.

    Raises:
        ConfigError: it is no Python 3, or has an unknown ABI.
    """
    try:
        output = msgspec.json.decode(printed, type=_ProbeOutput)
    except MALFORMED as failure:
        text = (error or printed.decode(errors="replace")).strip().rpartition("\n")[2]
        raise ConfigError(
            f"{executable} does not run as a Python 3 interpreter: {text[:200] or 'no output'}"
        ) from failure
    return Interpreter(
        path=executable,
        executable=Path(output.executable),
        prefix=Path(output.prefix),
        base_prefix=Path(output.base_prefix),
        version=output.version,
        implementation=_IMPLEMENTATIONS.get(output.implementation, output.implementation),
        abi=_abi(output),
        arch=_arch(output),
        os=os,
        glibc=output.libc.removeprefix("glibc ") if output.libc.startswith("glibc ") else "",
        compiler=(output.compiler.split() or ["cc"])[0],
        headers=output.headers,
    )


def missing_toolchain(interpreter: Interpreter, path: str, root: Path = Path("/")) -> str:
    """What is missing to build C extensions, in one line with the remedy, or "".

    Args:
        interpreter: the interpreter.
        path: the $PATH on which its compiler is looked up.
        root: the system that has it, if not this machine's.
    """
    path = ":".join(f"{root}{part}" for part in path.split(":")) if root != Path("/") else path
    compiler = shutil.which(interpreter.compiler, path=path) or shutil.which("cc", path=path)
    missing = [] if compiler else ["no C compiler"]
    if not interpreter.headers:
        missing.append(f"no C headers of {interpreter.executable}")
    if not missing:
        return ""
    place = "this machine" if root == Path("/") else root
    return (
        f"{place} has {' and '.join(missing)}: C extensions fail, or are left out where a "
        "project can do without; `apt install build-essential python3-dev` installs both for "
        "Debian's own Python"
    )


def _find_executable(path: str) -> Path:
    found = shutil.which(path)
    if found is None:
        where = "is not an executable file" if "/" in path else "is not on $PATH"
        raise ConfigError(f"the interpreter {path} {where}; name one with --python")
    return Path(found).absolute()


def _run_probe(executable: Path) -> tuple[bytes, str]:
    environ = {key: value for key, value in os.environ.items() if "PYTHON" not in key}
    try:
        done = subprocess.run(
            [executable, "-I", "-"],
            env=environ,
            input=PROBE_SCRIPT.encode(),
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"the interpreter {executable} did not answer within {_PROBE_TIMEOUT_S:.0f} s"
        ) from error
    except OSError as error:
        raise ConfigError(f"the interpreter {executable} does not run: {error.strerror}") from error
    message = done.stderr.decode(errors="replace")
    if not message and done.returncode:
        message = exit_status_text(done.returncode)
    return done.stdout, message


def _abi(output: _ProbeOutput) -> str:
    """The ABI tag by SOABI: `cpython-313t-x86_64-linux-gnu` or `pypy310-pp73-x86_64-...`."""
    words = output.soabi.split("-")
    if words[0] == "cpython" and len(words) > 1:
        return f"cp{words[1]}"
    if words[0].startswith("pypy") and len(words) > 1:
        return "_".join(words[:2])
    raise ConfigError(f"{output.executable} has an unknown ABI: {output.soabi!r}")


def _arch(output: _ProbeOutput) -> str:
    machine = output.platform.partition("-")[2].replace("-", "_").replace(".", "_")
    return _MACHINE_OF_32_BIT.get(machine, machine) if output.bits == 32 else machine
