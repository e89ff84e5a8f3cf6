"""Package layers: Debian packages unpacked over a root, read-only, kept by what they hold."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from piwheels.errors import ConfigError, TransientError
from piwheels.formatting import format_size
from piwheels.model import Struct
from piwheels.roots import dpkg_status, system_files
from piwheels.roots.apt import Apt
from piwheels.roots.architectures import ARCHITECTURES
from piwheels.roots.deb_file import unpack
from piwheels.roots.definition import RootDefinition
from piwheels.roots.maker import UNPACKED_FACTOR, RunInside, apt_of
from piwheels.roots.mount import OVERLAID, RootMount
from piwheels.roots.store import MadeRoot, RootStore, hold, remove_tree
from piwheels.webroot import replace_file, sync_tree

_RECORD = "layer.json"


class Layer(Struct, frozen=True, kw_only=True):
    """Packages over a root."""

    folder: Path
    packages: tuple[str, ...]  # "name=version", sorted: those asked for and their dependencies


class LayerStore:
    """Makes layers, and finds those that were made."""

    def __init__(self, store: RootStore, run_inside: RunInside) -> None:
        self._store = store
        self._run_inside = run_inside
        self._held: dict[Path, int] = {}

    def ensure(
        self,
        root: MadeRoot,
        definition: RootDefinition,
        packages: Sequence[str],
        mount: RootMount,
    ) -> Layer | None:
        """The layer with these packages and what they need besides the root.

        None if the root has all of them. The layer is kept from deletion while this process runs.
        Package lists that are missing or old are downloaded again if they do not do.

        Args:
            root: the root.
            definition: what it was made from: its archives.
            packages: their names.
            mount: the root, as its programs run here.

        Raises:
            ConfigError: a package is unknown, or there is no room.
            TransientError: an archive cannot be reached now.
        """
        if not definition.archives:
            raise ConfigError(
                f"{', '.join(packages)} cannot be added to the root {definition.name}: "
                f"[root.{definition.name}] names no archives"
            )
        apt = apt_of(self._store, definition.name, definition.archives, definition.arch)
        try:
            return self._ensure(apt, root, packages, mount)
        except (ConfigError, TransientError):
            if not apt.refresh():
                raise
            return self._ensure(apt, root, packages, mount)

    def _ensure(
        self, apt: Apt, root: MadeRoot, packages: Sequence[str], mount: RootMount
    ) -> Layer | None:
        status = root.system / dpkg_status.STATUS_FILE
        files = apt.resolve(packages, status)
        if not files:
            return None
        names = sorted(item.filename for item in files)
        key = hashlib.sha256("\n".join((root.record.key, *names)).encode()).hexdigest()
        folder = self._store.layers_dir / key
        if not (folder / _RECORD).is_file():
            size = sum(item.size_bytes for item in files)
            purpose = f"a layer with {', '.join(packages)} ({format_size(size)} of packages)"
            self._store.reserve(int(size * (UNPACKED_FACTOR + 1)), purpose)
            apt.download(packages, lambda _: None, status)
            self._make(folder, root, [self._store.archive_cache / name for name in names], mount)
        self._hold(folder)
        record = msgspec.json.decode((folder / _RECORD).read_bytes(), type=tuple[str, ...])
        return Layer(folder=folder, packages=record)

    def _hold(self, folder: Path) -> None:
        os.utime(folder)
        if folder not in self._held:
            self._held[folder] = hold(folder)

    def _make(self, folder: Path, root: MadeRoot, debs: Sequence[Path], mount: RootMount) -> None:
        making = folder.with_name(f".{folder.name}.{os.getpid()}")
        remove_tree(making)
        try:
            for name in OVERLAID:
                (making / name).mkdir(parents=True)
            system_files.link_merged_usr(making, root.record.arch)
            packages = [unpack(deb, making) for deb in debs]
            dpkg_status.write_database(making, packages)
            triplet = ARCHITECTURES[root.record.arch].triplet
            system_files.link_alternatives(making, packages, triplet, below=(root.system,))
            over = mount.with_layers((making,))
            command = ("/sbin/ldconfig", "-C", "/build/ld.so.cache")
            cache = self._run_inside(over, command, "ld.so.cache")
            (making / "etc/ld.so.cache").write_bytes(cache)
            names = tuple(sorted(package.identifier for package in packages))
            replace_file(making / _RECORD, msgspec.json.encode(names))
            if not folder.exists():
                sync_tree(making)
                making.rename(folder)
        finally:
            remove_tree(making)
