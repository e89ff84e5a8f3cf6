"""The folder of roots: what is made, how large it is, and what may be deleted.

NAME             a link to the current state of a root
NAME@KEY/        one state: root.json, and the system in `system`
layers/KEY/      package layers
archives/        downloaded packages, which roots and layers share
apt/NAME/        apt's state for a root
emulators/       qemu, where this machine has none
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from piwheels.config import BuilderSection
from piwheels.errors import MALFORMED, ConfigError
from piwheels.formatting import format_size
from piwheels.model import RootState, Struct
from piwheels.webroot import replace_file, sync_dir, sync_tree

_MB = 1024 * 1024
_RECORD = "root.json"
_IN_USE = ".in-use"


class RootRecord(Struct, frozen=True, kw_only=True):
    """What a root is: stored beside its system."""

    name: str
    title: str
    arch: str
    key: str  # of its packages: sha256 of its dpkg status
    packages: tuple[str, ...]  # "name=version", sorted
    archive_dates: tuple[str, ...]  # "trixie Sat, 15 Nov 2025 ..."
    left_out: tuple[str, ...] = ()  # suites that were being changed: "trixie-updates"
    made_at: datetime
    size_bytes: int
    definition: str = ""  # a hash of what it was made from

    @property
    def state(self) -> RootState:
        """What a builder announces of it."""
        return RootState(name=self.name, key=self.key, made_at=self.made_at)

    @property
    def notice(self) -> str:
        """One line about what the archives could not give; "" if it is complete."""
        if not self.left_out:
            return ""
        return (
            f"{self.name} has no packages of {', '.join(self.left_out)}: the archive was changing; "
            f"`piw root update {self.name}` tries again"
        )


class MadeRoot(Struct, frozen=True, kw_only=True):
    """A root on this machine."""

    record: RootRecord
    folder: Path

    @property
    def system(self) -> Path:
        """Its file system."""
        return self.folder / "system"


class RootStore:
    """The roots, layers and downloads of one account."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    @property
    def archive_cache(self) -> Path:
        """Where packages are downloaded to."""
        return self.folder / "archives"

    @property
    def layers_dir(self) -> Path:
        """Where layers are."""
        return self.folder / "layers"

    @property
    def emulators_dir(self) -> Path:
        """Where qemu is unpacked."""
        return self.folder / "emulators"

    def apt_state(self, name: str) -> Path:
        """Apt's folder for a root."""
        return self.folder / "apt" / name

    def prepare(self) -> None:
        """Create the folder.

        Raises:
            ConfigError: it cannot be written to.
        """
        try:
            for folder in (self.archive_cache, self.layers_dir, self.emulators_dir):
                folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".write-check").touch()
        except OSError as error:
            raise ConfigError(f"{self.folder} (builder.roots_dir): {error.strerror}") from None

    def find(self, name: str) -> MadeRoot | None:
        """A root that was made; None if there is none."""
        link = self.folder / name
        try:
            folder = link.resolve(strict=True)
            record = msgspec.json.decode((folder / _RECORD).read_bytes(), type=RootRecord)
        except (OSError, *MALFORMED):
            return None
        return MadeRoot(record=record, folder=folder)

    def roots(self) -> list[MadeRoot]:
        """All roots, by name."""
        if not self.folder.is_dir():
            return []
        links = sorted(path.name for path in self.folder.iterdir() if path.is_symlink())
        return [found for name in links if (found := self.find(name))]

    @contextlib.contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """A new folder for a state of a root; one process at a time makes a root.

        Nothing is left of one that was not finished with `publish`.

        Raises:
            ConfigError: the folder cannot be written to, or is full.
        """
        self.prepare()
        with (self.folder / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = self.folder / f".{name}.making"
            remove_tree(folder)
            folder.mkdir()
            try:
                yield folder
            except OSError as error:
                raise ConfigError(
                    f"the root {name} cannot be written to {self.folder} (builder.roots_dir): "
                    f"{error.strerror or error}"
                ) from error
            finally:
                remove_tree(folder)

    def publish(self, making: Path, record: RootRecord) -> MadeRoot:
        """Make a complete state the current one of its root."""
        replace_file(making / _RECORD, msgspec.json.format(msgspec.json.encode(record)))
        (making / _IN_USE).touch()
        target = self.folder / f"{record.name}@{record.key[:12]}-{record.made_at:%Y%m%d%H%M%S}"
        sync_tree(making)  # after a loss of power, a root that is there is whole
        making.rename(target)
        link = self.folder / f".{record.name}.link"
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.replace(self.folder / record.name)
        sync_dir(self.folder)
        self._remove_former_states(record.name)
        return MadeRoot(record=record, folder=target)

    def remove(self, name: str) -> None:
        """Delete a root; a builder that uses it keeps it until it ends."""
        (self.folder / name).unlink(missing_ok=True)
        self._remove_former_states(name)
        shutil.rmtree(self.apt_state(name), ignore_errors=True)

    def hold(self, root: MadeRoot) -> int:
        """A descriptor that keeps a state from being deleted while it is open."""
        return hold(root.folder)

    def _remove_former_states(self, name: str) -> None:
        current = self.find(name)
        for folder in self.folder.glob(f"{name}@*"):
            if current is None or folder != current.folder:
                remove_unused(folder)

    # --- size ---

    def used_bytes(self) -> int:
        """What the whole folder takes on the disk."""
        return tree_bytes(self.folder)

    def reserve(self, needed_bytes: int, purpose: str) -> None:
        """Make room: delete downloads, then the layers that were not used for longest.

        Raises:
            ConfigError: the limit or the disk is too small.
        """
        free = shutil.disk_usage(self.folder).free
        excess = max(self.used_bytes() + needed_bytes - self.max_bytes, needed_bytes - free)
        for path in self._deletable() if excess > 0 else ():
            excess -= tree_bytes(path)
            if path.is_dir():
                remove_unused(path)
            else:
                path.unlink(missing_ok=True)
            if excess <= 0:
                return
        if excess > 0:
            limited = needed_bytes <= free
            where = "builder.max_roots_mb allows" if limited else f"the disk of {self.folder} has"
            raise ConfigError(
                f"{purpose} needs {format_size(needed_bytes)}, {format_size(excess)} more than "
                f"{where}: `piw root remove` deletes roots, and builder.max_roots_mb and "
                "builder.roots_dir can be changed"
            )

    def _deletable(self) -> list[Path]:
        archives = sorted(self.archive_cache.glob("*.deb"), key=_last_used)
        return [*archives, *sorted(self.layers_dir.glob("[0-9a-f]*"), key=_last_used)]


def store_of(config: BuilderSection) -> RootStore:
    """The store that the settings of a builder describe."""
    return RootStore(config.roots_dir or default_folder(), config.max_roots_mb * _MB)


def default_folder() -> Path:
    """Where roots are without a setting."""
    if os.geteuid() == 0:
        return Path("/var/lib/piwheels/roots")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "piwheels" / "roots"


def hold(folder: Path) -> int:
    """A descriptor that keeps a folder from `remove_unused` while it is open."""
    descriptor = os.open(folder / _IN_USE, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def remove_unused(folder: Path) -> bool:
    """Delete a folder that no process holds; whether it was deleted."""
    try:
        descriptor = hold_exclusively(folder)
    except OSError:
        return False
    try:
        remove_tree(folder)
    finally:
        os.close(descriptor)
    return True


def hold_exclusively(folder: Path) -> int:
    """A descriptor with an exclusive lock.

    Raises:
        OSError: another process holds the folder.
    """
    descriptor = os.open(folder / _IN_USE, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_tree(folder: Path) -> None:
    """Delete a folder, also one whose folders are read-only."""
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(place).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def tree_bytes(path: Path) -> int:
    """What a file or a folder takes on the disk; hard links count once."""
    seen: dict[tuple[int, int], int] = {}
    paths = [str(path), *_paths_below(path)]
    for name in paths:
        with contextlib.suppress(OSError):
            found = os.lstat(name)
            seen[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(seen.values())


def _paths_below(path: Path) -> Iterator[str]:
    for place, folders, files in os.walk(path):
        for name in (*folders, *files):
            yield f"{place}/{name}"


def _last_used(path: Path) -> float:
    with contextlib.suppress(OSError):
        return max(path.stat().st_mtime, (path / _IN_USE).stat().st_mtime)
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
