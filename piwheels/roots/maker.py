"""Makes roots: downloads, unpacks and completes a Debian system."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from piwheels.config import Archive
from piwheels.errors import ConfigError
from piwheels.formatting import format_size, pluralize
from piwheels.roots import dpkg_status, system_files
from piwheels.roots.apt import Apt
from piwheels.roots.architectures import ARCHITECTURES, host_architecture
from piwheels.roots.bytecode import (
    COMPILE_OUTPUT,
    COMPILE_SCRIPT,
    CompileProgress,
    install_bytecode,
)
from piwheels.roots.deb_file import Package, unpack
from piwheels.roots.definition import BASE_PACKAGES, RootDefinition
from piwheels.roots.emulator import find_emulator, mount_of
from piwheels.roots.mount import RootMount
from piwheels.roots.store import MadeRoot, RootRecord, RootStore, tree_bytes

#: Of the size of packages: what they are when they are unpacked.
UNPACKED_FACTOR = 4.5

#: Called with a step and the fraction of it that is done, 0 to 1.
OnProgress = Callable[[str, float], None]


class RunInside(Protocol):
    """Runs a program of a root in the sandbox."""

    def __call__(
        self,
        mount: RootMount,
        command: Sequence[str],
        output: str,
        on_output: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Run it; returns the file `output` that it wrote into its folder, or what it printed.

        `on_output` receives what it prints, as it is printed.

        Raises:
            ConfigError: it failed.
        """
        ...


class RootMaker:
    """Makes the roots of a store."""

    def __init__(self, store: RootStore, run_inside: RunInside) -> None:
        self._store = store
        self._run_inside = run_inside

    def make(self, definition: RootDefinition, on_progress: OnProgress) -> MadeRoot:
        """Make a root, or make it again; the former state stays until the new one is complete.

        Raises:
            ConfigError: it cannot be made here.
            TransientError: an archive cannot be reached now.
            RejectedError: a package is damaged or hostile.
        """
        if definition.folder is not None:
            return self._adopt(definition, definition.folder)
        store = self._store
        with store.making(definition.name) as folder:
            apt = apt_of(store, definition.name, definition.archives, definition.arch)
            on_progress("reading package lists", 0.0)
            apt.update(lambda done: on_progress("reading package lists", done))
            emulator = find_emulator(store, definition.arch, apt_for_host(store, definition))
            wanted = (*BASE_PACKAGES, *definition.packages)
            files = apt.resolve(wanted)
            size = sum(item.size_bytes for item in files)
            store.reserve(int(size * (UNPACKED_FACTOR + 1)), f"the root {definition.name}")
            step = f"downloading {pluralize(len(files), 'package')}, {format_size(size)}"
            apt.download(wanted, lambda done: on_progress(step, done))
            system = folder / "system"
            system_files.prepare(system, definition.arch)
            packages: list[Package] = []
            for number, item in enumerate(files):
                on_progress(f"unpacking {item.filename.partition('_')[0]}", number / len(files))
                packages.append(unpack(store.archive_cache / item.filename, system))
            on_progress("completing", 0.0)
            mount = mount_of(system, definition.arch, emulator, cpu=definition.cpu)
            self._complete(mount, packages, on_progress)
            return store.publish(folder, _record(definition, system, apt))

    def _complete(
        self, mount: RootMount, packages: Sequence[Package], on_progress: OnProgress
    ) -> None:
        system = mount.root
        dpkg_status.write_database(system, packages)
        system_files.complete(system)
        system_files.link_alternatives(system, packages, ARCHITECTURES[mount.arch].triplet)
        cache = self._run_inside(
            mount, ("/sbin/ldconfig", "-C", "/build/ld.so.cache"), "ld.so.cache"
        )
        (system / "etc/ld.so.cache").write_bytes(cache)
        command = ("python3", "-I", "-c", COMPILE_SCRIPT)
        step = f"compiling Python's library{', emulated' if mount.emulated else ''}"
        on_progress(step, 0.0)
        follow = CompileProgress(lambda done: on_progress(step, done))
        install_bytecode(system, self._run_inside(mount, command, COMPILE_OUTPUT, follow))

    def _adopt(self, definition: RootDefinition, folder: Path) -> MadeRoot:
        """A root that was made otherwise: it is tried, and only referred to."""
        if lacking := system_files.missing_parts(folder):
            raise ConfigError(
                f"[root.{definition.name}] folder: {folder} has no {' and no '.join(lacking)}; "
                "the files in etc may be empty"
            )
        arch = definition.arch
        emulator = find_emulator(self._store, arch, apt_for_host(self._store, definition))
        self._run_inside(mount_of(folder, arch, emulator, cpu=definition.cpu), ("true",), "")
        with self._store.making(definition.name) as making:
            (making / "system").symlink_to(folder.resolve())
            return self._store.publish(making, _record(definition, folder, None))


def apt_of(store: RootStore, name: str, archives: Sequence[Archive], arch: str) -> Apt:
    """Apt for a root of a store."""
    return Apt(
        store.apt_state(name), archive_cache=store.archive_cache, archives=archives, arch=arch
    )


def apt_for_host(store: RootStore, definition: RootDefinition) -> Apt:
    """Apt for programs that run on this machine, from the archives of a root."""
    arch = host_architecture()
    return apt_of(store, f"emulator-{arch}", definition.archives, arch)


def _record(definition: RootDefinition, system: Path, apt: Apt | None) -> RootRecord:
    packages = dpkg_status.package_versions(dpkg_status.installed_packages(system))
    described = msgspec.json.encode(msgspec.structs.replace(definition, name="", title=""),
                                    enc_hook=str)  # fmt: skip
    return RootRecord(
        name=definition.name,
        title=definition.title,
        arch=definition.arch,
        key=hashlib.sha256("\n".join(packages).encode()).hexdigest(),
        packages=packages,
        archive_dates=apt.dates() if apt else (),
        left_out=apt.left_out if apt else (),
        made_at=datetime.now(UTC),
        size_bytes=tree_bytes(system) if definition.folder is None else 0,
        definition=hashlib.sha256(described).hexdigest(),
    )
