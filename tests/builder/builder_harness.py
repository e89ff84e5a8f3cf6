"""A builder without a master, and helpers to observe its processes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from piwheels.builder.build import BuildOptions, build
from piwheels.builder.build_system import BuildSystem, HostSystem
from piwheels.builder.file_cache import FileCache
from piwheels.builder.package_rounds import MakeLayer
from piwheels.builder.pip_provider import PipProvider
from piwheels.builder.process_runner import Limits
from piwheels.builder.sandbox import Sandbox
from piwheels.index_client.client import SimpleIndex
from piwheels.model import Interpreter, Job
from piwheels.protocol.messages import BuildFinished
from tests.session_cache import persistent_cache
from tests.timeouts import WAIT_S

_HOST = HostSystem()
LIMITS = Limits(timeout_s=600.0, memory_bytes=1 << 30, disk_reserve_bytes=1 << 20)


@dataclass
class BuilderHarness:
    """A builder without a master."""

    folder: Path
    options: BuildOptions
    log: bytearray = field(default_factory=bytearray)
    phases: list[str] = field(default_factory=list)
    wheels: list[Path] = field(default_factory=list)  # of the last build

    async def build(
        self, job: Job, interpreter: Interpreter, *, system: BuildSystem = _HOST
    ) -> BuildFinished:
        workdir = self.folder / f"job-{len(list(self.folder.iterdir()))}"
        workdir.mkdir()
        self.log.clear()
        self.phases.clear()
        result = await build(
            job,
            interpreter,
            workdir=workdir,
            options=self.options,
            on_log=self.log.extend,
            on_phase=self.phases.append,
            system=system,
        )
        assert not (workdir / "scratch").exists()
        self.wheels = [workdir / "wheels" / file.filename for file in result.files]
        return result

    def add_packages(self, make_layer: MakeLayer) -> None:
        """Add packages to roots from now on."""
        self.options = replace(self.options, make_layer=make_layer)

    def set_limits(self, **limits: float) -> None:
        changed = msgspec.structs.replace(LIMITS, **limits)
        self.options = replace(self.options, limits=changed)


def builder_for(index: SimpleIndex, folder: Path, sandbox: Sandbox) -> BuilderHarness:
    """A builder that keeps everything below a folder."""
    cache = FileCache(folder / "cache", max_bytes=1 << 28, max_file_bytes=1 << 26)
    pips = PipProvider(index, cache, persistent_cache("unpacked-pips", (), lambda _: None))
    (folder / "jobs").mkdir()
    return BuilderHarness(
        folder / "jobs",
        BuildOptions(sandbox=sandbox, limits=LIMITS, cache=cache, pips=pips, upstream=index),
    )


def processes_with(argument: str) -> list[str]:
    """The processes that were given an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in arguments:
            found.append(path.parent.name)
    return found


def daemonizing_script(marker: str) -> str:
    """Python code that starts processes in new sessions; the parents of one end at once."""
    command = ["setsid", "sh", "-c", f"(setsid sleep {marker} &); touch begun; sleep {marker}"]
    return (
        f"subprocess.Popen({command}, stdout=-3, stderr=-3); "
        "[time.sleep(0.01) for _ in iter(lambda: os.path.exists('begun'), True)]"
    )


async def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition that nothing signals."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
