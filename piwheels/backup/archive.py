"""The archive of a backup: a ZIP file with a manifest that has the hash of every other member.

    config/piwheels.toml   the configuration, if the farm has a file of it
    keys/...               master.key_dir
    wheels.csv             project, file name, sha256 and size of every published wheel
    database.dump          of pg_dump, in its custom format
    backup.json            the manifest, written last

A ZIP file has its directory at the end, so that one that was cut off is no ZIP file.
"""

import contextlib
import csv
import hashlib
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import msgspec

from piwheels.db.migrate import SCHEMA_VERSION
from piwheels.errors import PiwheelsError, RejectedError
from piwheels.model import Struct
from piwheels.protocol.keys import is_key_file
from piwheels.provenance import signing_keys
from piwheels.untrusted_names import parse_wheel_filename

FORMAT = 1
MANIFEST = "backup.json"
CONFIG = "config/piwheels.toml"
KEYS = "keys/"
WHEELS = "wheels.csv"
DATABASE = "database.dump"

_CHUNK_BYTES = 1024 * 1024
_MAX_MANIFEST_BYTES = 64 * 1024**2
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: What files in a folder of keys are called; others may be there than keys.
_KEY_MEMBER = re.compile(rf"{KEYS}(?:[A-Za-z0-9][A-Za-z0-9._-]*/){{0,3}}[A-Za-z0-9][A-Za-z0-9._-]*")
_READ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,  # also of bz2, and of impossible offsets
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


class BackupError(PiwheelsError):
    """A backup cannot be written, or an archive cannot be used."""


class Member(Struct, frozen=True, kw_only=True):
    """A file in the archive."""

    name: str
    size_bytes: int
    sha256: str
    mode: int  # its permissions


class Manifest(Struct, frozen=True, kw_only=True):
    """What an archive is of, and what it holds."""

    format: int
    program_version: str
    schema_version: int
    postgres_version: int  # the major version of pg_dump
    created_at: datetime
    epoch: int  # of the farm's master: it changes with each start
    farm: str = ""  # the farm's identity, which its web root has; "" for none
    config_file: str  # where the configuration was; "" for none
    wheels: int
    wheel_bytes: int
    members: tuple[Member, ...]

    @property
    def identifier(self) -> str:
        """A name of this backup, which no other has."""
        members = msgspec.json.encode(self.members)
        return f"{self.created_at:%Y%m%dT%H%M%SZ}-{hashlib.sha256(members).hexdigest()[:16]}"


class ListedWheel(NamedTuple):
    """A wheel that the web root has to hold."""

    project: str
    filename: str
    sha256: str
    size_bytes: int


class ArchiveWriter:
    """Writes the members of an archive one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w", compression=zipfile.ZIP_STORED)
        self.members: list[Member] = []

    @contextlib.contextmanager
    def member(
        self, name: str, *, mode: int = 0o600, compressed: bool = False
    ) -> Iterator[Callable[[bytes], object]]:
        """Add a member; yields the function that writes a part of it."""
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFREG | mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        digest, size_bytes = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=True) as out:

            def write(part: bytes) -> None:
                nonlocal size_bytes
                digest.update(part)
                size_bytes += len(part)
                out.write(part)

            yield write
        self.members.append(
            Member(name=name, size_bytes=size_bytes, sha256=digest.hexdigest(), mode=mode)
        )

    def add(self, name: str, content: bytes, mode: int) -> None:
        """Add a small member."""
        with self.member(name, mode=mode) as write:
            write(content)

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, and end the archive."""
        content = msgspec.json.format(msgspec.json.encode(manifest))
        with self.member(MANIFEST, compressed=True) as write:
            write(content)
        self.close()

    def close(self) -> None:
        """End the archive; without its manifest it is none."""
        self._zip.close()


class Archive:
    """An archive that was checked; a context manager."""

    def __init__(self, path: Path, file: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._zip = file
        self._members = {member.name: member for member in manifest.members}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        """The content of a small member."""
        return self._zip.read(name)

    def parts(self, name: str) -> Iterator[bytes]:
        """The content of a member, in parts."""
        with self._zip.open(name) as member:
            while part := member.read(_CHUNK_BYTES):
                yield part

    def key_members(self) -> list[Member]:
        """The members that are keys, which a restore writes."""
        return [member for member in self.manifest.members if _is_key(member)]

    def other_files(self) -> list[str]:
        """The members from the folder of keys that are none, which a restore leaves out."""
        members = self.manifest.members
        return [it.name for it in members if it.name.startswith(KEYS) and not _is_key(it)]

    def wheels(self) -> Iterator[ListedWheel]:
        """The wheels that the web root had to hold, by sha256.

        Raises:
            BackupError: the list is damaged.
        """
        with self._zip.open(WHEELS) as member:
            text = io.TextIOWrapper(member, "utf-8", newline="")
            try:
                for project, filename, sha256, size_bytes in csv.reader(text):
                    parse_wheel_filename(filename)  # it becomes a path
                    if not _SHA256.fullmatch(sha256):
                        raise self._damaged(WHEELS)
                    yield ListedWheel(project, filename, sha256, int(size_bytes))
            except (csv.Error, ValueError, RejectedError):
                raise self._damaged(WHEELS) from None

    def check(self) -> None:
        """Read everything, and compare it with the manifest.

        Raises:
            BackupError: a member is damaged or missing.
        """
        for member in self.manifest.members:
            digest = hashlib.sha256()
            try:
                for part in self.parts(member.name):
                    digest.update(part)
            except (*_READ_ERRORS, KeyError):
                raise self._damaged(member.name) from None
            if digest.hexdigest() != member.sha256:
                raise self._damaged(member.name)
        for _ in self.wheels():
            pass

    def _damaged(self, name: str) -> BackupError:
        return BackupError(f"{self.path} is damaged ({name}); use another backup")


def _is_key(member: Member) -> bool:
    name = member.name.removeprefix(KEYS)
    return name != member.name and (name == signing_keys.FILE_NAME or is_key_file(name))


def open_archive(path: Path) -> Archive:
    """Open an archive and check that this version can use it; its content is checked by `check`.

    Raises:
        BackupError: it cannot be read, is something else, or was made by a newer version.
    """
    try:
        with path.open("rb") as file:
            is_dump = file.read(5) == b"PGDMP"
        if is_dump:
            raise BackupError(f"{path} is a file of pg_dump: restore it with pg_restore")
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from None
    try:
        archive = zipfile.ZipFile(path)
    except _READ_ERRORS:
        raise BackupError(f"{path} is no backup of piwheels, or it was cut off") from None
    try:
        return Archive(path, archive, _read_manifest(path, archive))
    except BaseException:
        archive.close()
        raise


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        if archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST_BYTES:
            raise BackupError(f"{path}: {MANIFEST} is too large")
        content = archive.read(MANIFEST)
        raw = msgspec.json.decode(content)
        newer = raw["format"] > FORMAT or raw["schema_version"] > SCHEMA_VERSION
    except (*_READ_ERRORS, KeyError, TypeError, msgspec.MsgspecError):
        raise BackupError(f"{path} is no backup of piwheels: {MANIFEST} is missing") from None
    if newer:
        raise BackupError(
            f"{path} was made by piwheels {raw.get('program_version')}, which is newer: install "
            "that version"
        )
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(f"{path}: {MANIFEST}: {error}") from None
    return _with_safe_names(path, manifest)


def _with_safe_names(path: Path, manifest: Manifest) -> Manifest:
    """The manifest, unless it lacks a member or has one that would be written elsewhere."""
    names = {member.name for member in manifest.members}
    if missing := {DATABASE, WHEELS} - names:
        raise BackupError(f"{path} lacks {', '.join(sorted(missing))}")
    for name in names - {DATABASE, WHEELS, CONFIG}:
        if not _KEY_MEMBER.fullmatch(name):
            raise BackupError(f"{path} has a member that no backup has: {name!r}")
    return manifest
