"""The interface of sandboxes, and what all of them have in common."""

import resource
import sys
from pathlib import Path
from typing import Protocol

from piwheels.builder import sandbox_launch
from piwheels.builder.process_runner import Limits, OnOutput, ProcessResult
from piwheels.model import Struct
from piwheels.roots.mount import RootMount

#: When memory runs out, the kernel kills a build before anything else.
_OOM_FIRST = ("choom", "--adjust", "1000", "--")


class SandboxCommand(Struct, frozen=True, kw_only=True):
    """A program to run in a sandbox.

    Paths below `work_dir` have to be spelled in `command` and `environment` as
    `Sandbox.path_inside` returns them; all other paths are those of the host.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    work_dir: Path  # the only folder that it may write to; created by `Sandbox.prepare`
    limits: Limits
    readable_paths: tuple[Path, ...] = ()  # besides the system
    mount: RootMount | None = None  # the root to run on, instead of this machine's system


class Sandbox(Protocol):
    """What confines a build."""

    @property
    def warning(self) -> str:
        """What every log has to say about this sandbox; "" for nothing."""
        ...

    def prepare(self, work_dir: Path) -> None:
        """Create a new work folder with `home` and `tmp` in it."""
        ...

    def path_inside(self, work_dir: Path, path: Path) -> str:
        """The path, as a program inside sees it, of a file below its work folder."""
        ...

    async def run(self, command: SandboxCommand, on_output: OnOutput) -> ProcessResult:
        """Run a program to its end; none of its processes is left, also after a cancellation."""
        ...


def make_work_dir(work_dir: Path) -> None:
    """Create a work folder with `home` and `tmp` in it, for its owner alone."""
    for folder in (work_dir, work_dir / "home", work_dir / "tmp"):
        folder.mkdir(parents=True)
        folder.chmod(0o700)


def launcher_command(seccomp_filter: str) -> list[str]:
    """The start of a command line that `sandbox_launch` runs; the filter is in base64, or "-"."""
    return [*_OOM_FIRST, sys.executable, "-I", sandbox_launch.__file__, seccomp_filter]


def prlimit_command(limits: Limits, *, processes: bool) -> list[str]:
    """The prlimit(1) call in front of a program; `processes` limits their number, too.

    A hard limit that the builder itself was started with, by limits.conf(5) or a container,
    cannot be raised: a lower one stays.
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
        f"--{name}={_capped_by_hard_limit(kind, value)}" for name, (kind, value) in wanted.items()
    )
    return ["prlimit", *options, "--"]


def _capped_by_hard_limit(kind: int, value: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
