"""Writes a backup: one snapshot of the database, the keys and the configuration, in one archive."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from piwheels.backup import archive, rotation
from piwheels.backup.archive import ArchiveWriter, BackupError, Manifest
from piwheels.backup.database_dump import dump_database, programs_for_backup
from piwheels.config import LoadedConfig
from piwheels.db.backup_snapshot import Snapshot, open_snapshot
from piwheels.formatting import pluralize
from piwheels.model import Struct
from piwheels.webroot.atomic_file import sync_dir

#: Says what is being done, in a phrase.
Progress = Callable[[str], None]


class BackupResult(Struct, frozen=True, kw_only=True):
    """A backup that was written."""

    file: str
    size_bytes: int
    identifier: str
    created_at: datetime
    wheels: int  # that the web root held
    wheel_bytes: int
    keys: int
    deleted: tuple[str, ...]  # older backups, by rotation


async def write_backup(
    loaded: LoadedConfig, target: Path, progress: Progress, *, keep: int = 0
) -> BackupResult:
    """Back up a farm, which may be running.

    Args:
        loaded: its configuration.
        target: the new file, or a folder that gets one named after the time.
        progress: is told what is being done.
        keep: how many backups stay in the folder, the new one included; 0: all.

    Raises:
        PiwheelsError: the database, the keys or the configuration cannot be read, the file exists,
            or PostgreSQL's programs do not fit.
        OSError: the file cannot be written.
    """
    created_at = datetime.now(UTC).replace(microsecond=0)
    in_folder = target.is_dir()
    if keep and not in_folder:
        raise BackupError(f"--keep deletes old backups of a folder, and {target} is none")
    path = target / rotation.file_name(created_at) if in_folder else target
    if path.exists():
        raise BackupError(f"{path} exists; name a new file")
    with _new_file(path) as file, contextlib.closing(ArchiveWriter(file)) as writer:
        manifest = await _write(loaded, writer, created_at, progress)
    deleted = rotation.delete_old(target, keep) if in_folder else []
    return BackupResult(
        file=str(path),
        size_bytes=path.stat().st_size,
        identifier=manifest.identifier,
        created_at=manifest.created_at,
        wheels=manifest.wheels,
        wheel_bytes=manifest.wheel_bytes,
        keys=sum(1 for member in manifest.members if member.name.startswith(archive.KEYS)),
        deleted=tuple(map(str, deleted)),
    )


async def _write(
    loaded: LoadedConfig, writer: ArchiveWriter, created_at: datetime, progress: Progress
) -> Manifest:
    if loaded.file is not None:
        _add_file(writer, archive.CONFIG, loaded.file)
    key_dir = loaded.config.master.key_dir
    for path in _key_files(key_dir):
        _add_file(writer, f"{archive.KEYS}{path.relative_to(key_dir).as_posix()}", path)
    async with open_snapshot(loaded.config.database.dsn) as snapshot:
        postgres_version = await _add_database(writer, loaded, snapshot, progress)
        facts = snapshot.facts
    manifest = Manifest(
        format=archive.FORMAT,
        program_version=version("piwheels"),
        schema_version=facts.schema_version,
        postgres_version=postgres_version,
        created_at=created_at,
        epoch=facts.epoch,
        farm=facts.farm,
        config_file=str(loaded.file.absolute()) if loaded.file else "",
        wheels=facts.wheels,
        wheel_bytes=facts.wheel_bytes,
        members=tuple(writer.members),
    )
    writer.finish(manifest)
    return manifest


async def _add_database(
    writer: ArchiveWriter, loaded: LoadedConfig, snapshot: Snapshot, progress: Progress
) -> int:
    """Add the list of wheels and the dump; returns the major version of pg_dump."""
    programs = programs_for_backup(snapshot.facts.server_version)
    progress(f"listing {pluralize(snapshot.facts.wheels, 'wheel')}")
    with writer.member(archive.WHEELS, compressed=True) as write:
        await snapshot.copy_wheels(write)
    progress(f"dumping the database with pg_dump {programs.version}")
    with writer.member(archive.DATABASE) as write:
        dsn = loaded.config.database.dsn
        await dump_database(dsn, programs, snapshot.facts.identifier, write)
    return programs.version


def _key_files(key_dir: Path) -> list[Path]:
    """The keys; not the temporary files of keys that are being written."""
    try:
        found = sorted(key_dir.rglob("*"))
    except OSError as error:
        raise BackupError(f"{error.filename}: {error.strerror}") from None
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


def _add_file(writer: ArchiveWriter, name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            writer.add(name, file.read(), mode)
    except OSError as error:
        raise BackupError(f"{path} cannot be backed up: {error.strerror}") from None


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A private file that gets its name when it is complete and on disk.

    It is locked meanwhile, by which others see that it was not left behind.
    """
    part = rotation.part_path(path)
    rotation.delete_leftovers(path)
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BackupError(f"another backup is being written to {path}") from None
    try:
        with os.fdopen(descriptor, "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.rename(path)
        sync_dir(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
