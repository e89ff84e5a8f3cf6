"""The roots of this account: made on demand, and probed for the interpreters that builds use."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.build_system import RootSystem
from piwheels.builder.kernel_features import BINFMT_MISC, USER_NAMESPACES, require_kernel
from piwheels.builder.root_programs import run_inside
from piwheels.config import BuilderSection, RootSection
from piwheels.errors import ConfigError
from piwheels.model import Interpreter
from piwheels.roots.architectures import is_native
from piwheels.roots.definition import RootDefinition, find_definition
from piwheels.roots.emulator import (
    installed_emulator,
    mount_of,
    registered_by_system,
)
from piwheels.roots.layers import Layer, LayerStore
from piwheels.roots.maker import OnProgress, RootMaker
from piwheels.roots.store import MadeRoot, RootStore, store_of

#: The word in builder.roots for this machine's own system.
HOST = "host"


class Roots:
    """The roots that the settings describe."""

    def __init__(self, config: BuilderSection, sections: Mapping[str, RootSection]) -> None:
        """Describe them.

        Raises:
            ConfigError: roots are used without a sandbox, or there is no bubblewrap.
        """
        if not config.sandbox:
            raise ConfigError(
                "a root needs the sandbox: leave out --no-sandbox (builder.sandbox), or the roots"
            )
        self._config = config
        self._sections = sections
        self.store: RootStore = store_of(config)
        self.sandbox = Bubblewrap(find_bubblewrap())
        self._run_inside = functools.partial(run_inside, self.sandbox)
        self._layers = LayerStore(self.store, self._run_inside)
        self._held: dict[Path, int] = {}

    def definition(self, name: str) -> RootDefinition:
        """The definition of a root.

        Raises:
            ConfigError: there is none with this name.
        """
        return find_definition(name, self._sections, self._config)

    def make(self, name: str, on_progress: OnProgress) -> MadeRoot:
        """Make a root, or make it again, in a thread without an event loop.

        Raises:
            PiwheelsError: it cannot be made; a former state is kept.
        """
        definition = self.definition(name)
        registers = not is_native(definition.arch) and not registered_by_system(definition.arch)
        require_kernel(name, USER_NAMESPACES, *((BINFMT_MISC,) if registers else ()))
        return RootMaker(self.store, self._run_inside).make(definition, on_progress)

    def system(self, name: str) -> RootSystem:
        """A root that was made, as builds use it; it is kept while this process runs.

        Raises:
            ConfigError: it was not made, or needs an emulator that is not there.
        """
        root = self.store.find(name)
        if root is None:
            raise ConfigError(
                f"the root {name} is not made yet: `piw root add {name}`, as the account of the "
                "builder"
            )
        if root.folder not in self._held:
            self._held[root.folder] = self.store.hold(root)
        arch, cpu = root.record.arch, self.definition(name).cpu
        emulator = None
        if not is_native(arch) and not registered_by_system(arch):
            emulator = installed_emulator(self.store, arch)
            if emulator is None:
                raise ConfigError(
                    f"the root {name} needs an emulator for {arch}: `piw root update {name}` "
                    "fetches one, `apt install qemu-user-static` installs one"
                )
        return RootSystem(root, mount_of(root.system, arch, emulator, cpu=cpu))

    async def interpreters(self, name: str) -> list[tuple[Interpreter, RootSystem]]:
        """Each interpreter of a root, probed inside it.

        Raises:
            ConfigError: the root or an interpreter cannot be used.
        """
        system, definition = self.system(name), self.definition(name)
        found = []
        for path in definition.interpreters:
            interpreter = await system.probe(self.sandbox, path)
            if definition.machine:
                interpreter = with_machine(interpreter, definition.machine)
            found.append((interpreter, system))
        return found

    def layer(self, system: RootSystem, packages: Iterable[str]) -> Layer | None:
        """The layer with packages that a root lacks, made now if need be, in a thread.

        Raises:
            PiwheelsError: it cannot be made.
        """
        root = system.root
        mount = system.mount.with_layers(())
        return self._layers.ensure(root, self.definition(root.record.name), tuple(packages), mount)


def describe_interpreter(interpreter: Interpreter, system: RootSystem) -> str:
    """An interpreter of a root in words: "Python 3.13.5 for armv7l, emulated"."""
    emulated = ", emulated" if system.mount.emulated else ""
    return f"Python {interpreter.version} for {interpreter.arch}{emulated}"


def with_machine(found: Interpreter, machine: str) -> Interpreter:
    """The interpreter with another machine to build for; "" is its own.

    Raises:
        ConfigError: it cannot run what it would build.
    """
    if machine in {"", found.arch}:
        return found
    if found.arch != "armv7l":
        raise ConfigError(
            f"builder.machine: {found.path} is for {found.arch}; only an interpreter of a 32-bit "
            f"ARM system can build for {machine}"
        )
    return msgspec.structs.replace(found, arch=machine)
