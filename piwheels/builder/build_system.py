"""The system that a build runs on: this machine's own, or a root with layers."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from piwheels.builder.bubblewrap import Bubblewrap
from piwheels.builder.build_environment import BUILD_PATH
from piwheels.builder.debian_packages import needed_packages
from piwheels.builder.root_programs import run_program
from piwheels.model import Interpreter
from piwheels.roots.architectures import EMULATION_FACTOR
from piwheels.roots.layers import Layer
from piwheels.roots.library_packages import library_packages
from piwheels.roots.mount import RootMount
from piwheels.roots.store import MadeRoot
from piwheels.roots.system_files import os_release
from piwheels.system.interpreters import PROBE_SCRIPT, described_interpreter, missing_toolchain
from piwheels.system.os_release import codename_of

_PROBE_FILE = "probe.py"


class BuildSystem(Protocol):
    """What a build needs to know about the system that it runs on."""

    @property
    def mount(self) -> RootMount | None:
        """What the sandbox mounts; None is this machine's system."""
        ...

    @property
    def slowdown(self) -> float:
        """How much longer builds take than on this machine's own system."""
        ...

    @property
    def description(self) -> str:
        """One line for the log; "" for this machine's system."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """What says exactly which system it is, for a build's record."""
        ...

    def missing_toolchain(self, interpreter: Interpreter) -> str:
        """As `interpreters.missing_toolchain`."""
        ...

    def has_executable(self, interpreter: Interpreter) -> bool:
        """Whether an interpreter is still there."""
        ...

    def needed_packages(self, libraries: Iterable[str]) -> tuple[str, ...]:
        """The Debian packages with these shared libraries, without those of every system."""
        ...


@dataclass(frozen=True, slots=True)
class HostSystem:
    """This machine's own system."""

    mount: RootMount | None = None
    slowdown: float = 1.0
    description: str = ""
    inputs: tuple[str, ...] = ()

    def missing_toolchain(self, interpreter: Interpreter) -> str:
        """As `interpreters.missing_toolchain`."""
        return missing_toolchain(interpreter, BUILD_PATH)

    def has_executable(self, interpreter: Interpreter) -> bool:
        """Whether an interpreter is still there."""
        return os.access(interpreter.executable, os.X_OK)

    def needed_packages(self, libraries: Iterable[str]) -> tuple[str, ...]:
        """The installed packages with these shared libraries."""
        return needed_packages(libraries)


@dataclass(frozen=True, slots=True)
class RootSystem:
    """A root, and the layers over it."""

    root: MadeRoot
    mount: RootMount
    layer_packages: tuple[str, ...] = ()  # "name=version", of all layers
    requested: tuple[str, ...] = ()  # the packages that layers were made for

    @property
    def slowdown(self) -> float:
        """Emulation's cost."""
        return EMULATION_FACTOR if self.mount.emulated else 1.0

    @property
    def description(self) -> str:
        """The root, its packages and its date."""
        record = self.root.record
        dates = f", archive of {record.archive_dates[-1]}" if record.archive_dates else ""
        emulated = ", emulated" if self.mount.emulated else ""
        return f"root {record.name}: {len(record.packages)} packages{dates}{emulated}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The root by its key, and every package of its layers."""
        record = self.root.record
        emulated = " emulated" if self.mount.emulated else ""
        own = f"root {record.name} {record.key}{emulated} {'; '.join(record.archive_dates)}"
        layers = (f"layer {folder.name}" for folder in self.mount.layers)
        return (own.strip(), *layers, *(f"deb {package}" for package in self.layer_packages))

    def with_layer(self, layer: Layer, requested: Iterable[str]) -> "RootSystem":
        """The same root with a layer, which was made for these packages, in place of others."""
        return replace(
            self,
            mount=self.mount.with_layers((layer.folder,)),
            layer_packages=layer.packages,
            requested=tuple(requested),
        )

    def missing_toolchain(self, interpreter: Interpreter) -> str:
        """As `interpreters.missing_toolchain`, in the root."""
        return missing_toolchain(interpreter, BUILD_PATH, self.mount.root)

    def has_executable(self, interpreter: Interpreter) -> bool:
        """Whether an interpreter is still there."""
        return os.access(f"{self.mount.root}{interpreter.executable}", os.X_OK)

    def needed_packages(self, libraries: Iterable[str]) -> tuple[str, ...]:
        """The packages of the root and its layers with these shared libraries."""
        return library_packages(self.mount.root, self.mount.layers, libraries)

    async def probe(self, sandbox: Bubblewrap, path: str) -> Interpreter:
        """Run an interpreter of the root in the sandbox to learn what it is.

        Raises:
            ConfigError: there is none, or it does not run.
        """
        printed = await run_program(
            sandbox,
            self.mount,
            (path, "-I", f"/build/{_PROBE_FILE}"),
            files={_PROBE_FILE: PROBE_SCRIPT},
        )
        codename = codename_of(os_release(self.mount.root))
        executable = Path(path if "/" in path else f"/usr/bin/{path}")
        return described_interpreter(executable, printed, os=codename)
