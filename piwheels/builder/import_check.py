"""After a build: its wheel is imported in a clean sandbox, with just what it needs."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from msgspec.structs import replace as replace_fields

from piwheels.builder import import_entry, sandbox_entry
from piwheels.builder.build_log import BuildLog
from piwheels.builder.build_system import BuildSystem, RootSystem
from piwheels.builder.package_rounds import MakeLayer, add_packages
from piwheels.builder.pip_provider import Pip
from piwheels.builder.process_runner import LimitExceeded, Limits, ProcessResult
from piwheels.builder.sandbox import Sandbox, SandboxCommand
from piwheels.formatting import exit_status_text, format_duration
from piwheels.model import Interpreter
from piwheels.sanitize import strip_controls

#: How long the import of all modules may take, and before it the installation of what they need.
_IMPORT_TIMEOUT_S = 120.0
_INSTALL_TIMEOUT_S = 600.0
_MAX_REASON_CHARS = 300


class ImportPolicy(StrEnum):
    """What a builder does about wheels that cannot be imported."""

    OFF = "off"  # wheels are not imported
    WARN = "warn"  # the build says so
    REFUSE = "refuse"  # the build fails


@dataclass(frozen=True, slots=True)
class ImportCheck:
    """Imports the top-level modules of a wheel.

    `serve_index` serves the package index on a Unix socket, for the wheel's requirements. The
    import itself has no network at all.
    """

    sandbox: Sandbox
    system: BuildSystem
    interpreter: Interpreter
    pip: Pip
    limits: Limits
    environment: dict[str, str]
    scratch_dir: Path
    log: BuildLog
    serve_index: Callable[[Path], AbstractAsyncContextManager[None]]

    async def problem(self, wheel: Path) -> str:
        """Why a wheel cannot be imported, in one line; "" if it can, or if that is not known."""
        await asyncio.to_thread(self._prepare, wheel)
        async with self.serve_index(self.scratch_dir / "index.sock"):
            installed = await self._run("install", wheel.name, _INSTALL_TIMEOUT_S)
        if installed.status != 0 or installed.limit_exceeded is not None:
            self.log.write_marker("not imported: what it requires is not there as wheels")
            return ""
        self.log.start_round()
        result = await self._run("import", wheel.name, _IMPORT_TIMEOUT_S)
        took = format_duration(installed.duration_s + result.duration_s)
        problem = self._problem(result)
        self.log.write_marker(problem or f"its modules are imported ({took})")
        return problem

    def _prepare(self, wheel: Path) -> None:
        self.sandbox.prepare(self.scratch_dir)
        for script in (sandbox_entry.__file__, import_entry.__file__):
            shutil.copyfile(script, self.scratch_dir / Path(script).name)
        shutil.copyfile(wheel, self.scratch_dir / wheel.name)

    async def _run(self, step: str, wheel: str, timeout_s: float) -> ProcessResult:
        task = self.scratch_dir / "task.json"
        files = {"wheel": wheel, "venv": "venv", "socket": "index.sock"}
        paths = {key: self._path_inside(name) for key, name in files.items()}
        task.write_text(json.dumps({"step": step, "pip": str(self.pip.script), **paths}))
        python, mount = self.interpreter.executable, self.system.mount
        outside = (self.interpreter.base_prefix, python) if mount is None else ()
        command = SandboxCommand(
            command=(str(python), "-I", *map(self._path_inside, ("import_entry.py", task.name))),
            environment=self.environment,
            work_dir=self.scratch_dir,
            limits=replace_fields(
                self.limits,
                timeout_s=min(self.limits.timeout_s, timeout_s * self.system.slowdown),
            ),
            readable_paths=(*outside, self.pip.folder),
            mount=mount,
        )
        return await self.sandbox.run(command, self.log.write)

    def _path_inside(self, name: str) -> str:
        return self.sandbox.path_inside(self.scratch_dir, self.scratch_dir / name)

    def _problem(self, result: ProcessResult) -> str:
        if result.limit_exceeded is LimitExceeded.TIME:
            limit = format_duration(_IMPORT_TIMEOUT_S * self.system.slowdown)
            return f"it cannot be imported: not done after {limit}"
        if result.limit_exceeded is not None:
            return f"it cannot be imported: the limit of {result.limit_exceeded} was exceeded"
        if result.status == 0:
            return ""
        last = bytes(self.log.tail).decode(errors="replace").rstrip().rpartition("\n")[2]
        told = strip_controls(last).strip() or exit_status_text(result.status)
        return f"it cannot be imported: {told[:_MAX_REASON_CHARS]}"


async def clean_system(
    system: BuildSystem, libraries: Iterable[str], make_layer: MakeLayer | None
) -> BuildSystem:
    """The system of a build, without what the build added, and with the wheel's libraries."""
    if not isinstance(system, RootSystem) or not system.requested or make_layer is None:
        return system
    bare = replace(system, mount=system.mount.with_layers(()), layer_packages=(), requested=())
    packages = system.needed_packages(libraries)
    return (await add_packages(bare, packages, make_layer))[0] if packages else bare
