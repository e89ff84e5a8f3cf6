"""Checks of a wheel's members against its own WHEEL, METADATA and RECORD.

The rules are those of the PyPA's "Binary distribution format" and "Recording installed
projects". Each function raises RejectedError with what is wrong.
"""

import base64
import binascii
import csv
import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import msgspec
from packaging.tags import Tag
from packaging.version import Version

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.wheel import elf
from piwheels.wheel.zip_reader import MOST_MEMBERS, Archive

_ELF_IN_MEMORY_BYTES = 8 * 1024**2
_MAX_ELF_BYTES = 2 * 1024**3  # it is unpacked to the disk to be read
#: A project with 400 extras has about 2,000 lines of fields and 150 kB of them.
_MAX_HEADER_LINES = 50_000
_MAX_HEADER_BYTES = 4 * 1024**2
_HASHES = frozenset({"sha256", "sha384", "sha512"})


class ElfMember(msgspec.Struct, frozen=True):
    """An executable or shared library in a wheel."""

    name: str  # the member's path
    info: elf.ElfFacts


class RecordEntry(msgspec.Struct, frozen=True):
    """RECORD's entry for one member."""

    algorithm: str
    digest: bytes
    size_bytes: int | None  # RECORD may leave it out


def find_dist_info(archive: Archive, project: str, version: Version) -> str:
    """The name of the only .dist-info folder, which has to be the release's."""
    tops = {name.partition("/")[0] for name in archive.members if "/" in name}
    folders = sorted(name for name in tops if name.endswith(".dist-info"))
    if len(folders) != 1:
        raise RejectedError(f"the wheel must have one .dist-info directory and has {len(folders)}")
    folder = folders[0]
    name, _, number = folder.removesuffix(".dist-info").partition("-")
    if not _is_project(name, project) or not _is_version(number, version):
        raise RejectedError(f"{folder} is not the .dist-info directory of {project} {version}")
    for needed in ("WHEEL", "METADATA", "RECORD"):
        if f"{folder}/{needed}" not in archive.members:
            raise RejectedError(f"{folder}/{needed} is missing")
    return folder


def check_wheel_file(content: bytes, name: untrusted_names.WheelFilename) -> None:
    """Check that WHEEL has the build number and the tags of the file name."""
    fields = BytesParser().parsebytes(content, headersonly=True)
    wheel_version = _single_value(fields, "Wheel-Version")
    if wheel_version.partition(".")[0] != "1":
        raise RejectedError(f"WHEEL has Wheel-Version {wheel_version!r}; installers support 1.0")
    if _single_value(fields, "Root-Is-Purelib").lower() not in {"true", "false"}:
        raise RejectedError("WHEEL has no valid Root-Is-Purelib (true or false)")
    if _single_value(fields, "Build") != name.build_tag:
        raise RejectedError(
            f"WHEEL has Build {fields['Build']!r}, the file name has {name.build_tag!r}"
        )
    named = _parse_tags([str(line) for line in fields.get_all("Tag", [])])
    if named != name.tags:
        listed = " ".join(sorted(map(str, named))[:5])
        raise RejectedError(f"the tags in WHEEL differ from the file name: {listed or 'none'}")


def check_metadata(content: bytes, project: str, version: Version) -> str:
    """Check that METADATA is the release's; returns its Requires-Python, "" for none."""
    fields = _parse_metadata(content)
    name, number, requires_python = fields["name"], fields["version"], fields["requires-python"]
    if not _is_project(name, project) or not _is_version(number, version):
        raise RejectedError(f"METADATA is for {name} {number}, not for {project} {version}")
    if (
        len(requires_python) > untrusted_names.MAX_SPECIFIER_LENGTH
        or not requires_python.isprintable()
    ):
        raise RejectedError(f"METADATA has an invalid Requires-Python: {requires_python[:80]!r}")
    return requires_python


def _parse_metadata(content: bytes) -> dict[str, str]:
    """The fields of METADATA that the farm reads, "" for missing ones.

    Only the headers are parsed, and only a bounded number of them: the parser's time grows with
    the square of their number.
    """
    head = re.split(rb"\r?\n\r?\n", content[: _MAX_HEADER_BYTES + 1], maxsplit=1)[0]
    if len(head) > _MAX_HEADER_BYTES or head.count(b"\n") > _MAX_HEADER_LINES:
        raise RejectedError(
            f"METADATA has more than {_MAX_HEADER_LINES} lines or {_MAX_HEADER_BYTES} bytes "
            "of fields"
        )
    found: dict[str, list[str]] = {key: [] for key in ("name", "version", "requires-python")}
    for key, value in BytesParser().parsebytes(head, headersonly=True).items():
        if key.lower() in found:
            # Values with bytes that are not ASCII are parsed as a Header.
            found[key.lower()].append(value if isinstance(value, str) else "\0")
    for key, values in found.items():
        if len(values) > 1:
            raise RejectedError(f"METADATA has more than one {key}")
    return {key: "".join(values).strip() for key, values in found.items()}


def check_record(
    archive: Archive, folder: str, record: bytes, scratch: Path
) -> tuple[tuple[ElfMember, ...], tuple[str, ...]]:
    """Check that RECORD lists exactly the members, with their hashes and sizes.

    Reads every member once, so it also returns the ELF files, and the names of members that
    begin like ELF but cannot be loaded. Large ELF files are unpacked below scratch.
    """
    own = f"{folder}/RECORD"
    exempt = {own, f"{own}.jws", f"{own}.p7s"}
    entries = parse_record(record, exempt)
    members = archive.members.keys() - exempt
    for name in sorted(members ^ entries.keys()):
        where = "not in RECORD" if name in members else "in RECORD and not in the wheel"
        raise RejectedError(f"{name} is {where}")
    programs: list[ElfMember] = []
    unread: list[str] = []
    patience = elf.ReadBudget()
    for name in archive.members:
        facts, looks_like_elf = _read_member(archive, name, entries.get(name), scratch, patience)
        if patience.is_exhausted():
            raise RejectedError("the tables of its ELF files are too large to read")
        if facts is not None:
            programs.append(ElfMember(name, facts))
        elif looks_like_elf:
            unread.append(name)
    return tuple(programs), tuple(unread)


def parse_record(record: bytes, exempt: set[str]) -> dict[str, RecordEntry]:
    """RECORD's entries by path, without those of RECORD itself and its signatures."""
    entries: dict[str, RecordEntry] = {}
    try:
        for line in csv.reader(io.StringIO(record.decode("utf-8"), newline="")):
            if not line:
                continue
            path, hashed, size = line
            if path in entries:
                raise RejectedError(f"RECORD lists {path} twice")
            if len(entries) > MOST_MEMBERS:
                raise RejectedError(f"RECORD lists more than {MOST_MEMBERS} files")
            if path not in exempt:
                entries[path] = _parse_entry(path, hashed, size)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise RejectedError(f"RECORD is not readable: {error}") from error
    return entries


def _parse_tags(lines: list[str]) -> frozenset[Tag]:
    """The tags that WHEEL lists; one line can hold a compressed tag set."""
    named: frozenset[Tag] = frozenset()
    for line in lines[: untrusted_names.MAX_TAGS + 1]:
        named |= untrusted_names.parse_tags(line)
        if len(named) > untrusted_names.MAX_TAGS:
            raise RejectedError(f"WHEEL lists more than {untrusted_names.MAX_TAGS} tags")
    return named


def _parse_entry(path: str, hashed: str, size: str) -> RecordEntry:
    algorithm, _, digest = hashed.partition("=")
    if algorithm not in _HASHES:
        raise RejectedError(f"RECORD has no sha256 hash of {path}, but {hashed[:40]!r}")
    try:
        raw = base64.b64decode(digest + "=" * (-len(digest) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RejectedError(f"RECORD has no readable hash for {path}") from error
    return RecordEntry(algorithm, raw, int(size) if size else None)


def _read_member(
    archive: Archive, name: str, entry: RecordEntry | None, scratch: Path, budget: elf.ReadBudget
) -> tuple[elf.ElfFacts | None, bool]:
    """Check a member against its entry; its ELF information, and whether it begins like ELF."""
    digest = hashlib.new(entry.algorithm if entry else "sha256")
    pieces = archive.stream(name)
    head = next(pieces, b"")
    looks_like_elf = head.startswith(elf.MAGIC)
    with tempfile.SpooledTemporaryFile(_ELF_IN_MEMORY_BYTES, dir=str(scratch)) as copy:
        for piece in _chain(head, pieces):
            digest.update(piece)
            if looks_like_elf:
                _check_elf_size(name, copy.tell())
                copy.write(piece)
        if entry is not None:
            _check_entry(entry, name, digest.digest(), archive.members[name].file_size)
        facts = elf.read(copy, budget) if looks_like_elf else None
    return facts, looks_like_elf


def _check_elf_size(name: str, size_bytes: int) -> None:
    if size_bytes > _MAX_ELF_BYTES:
        raise RejectedError(f"{name} is an ELF file of more than {_MAX_ELF_BYTES} bytes")


def _check_entry(entry: RecordEntry, name: str, digest: bytes, size_bytes: int) -> None:
    if digest != entry.digest:
        raise RejectedError(f"the hash of {name} differs from RECORD")
    if entry.size_bytes not in {None, size_bytes}:
        raise RejectedError(f"{name} has {size_bytes} bytes, but {entry.size_bytes} in RECORD")


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _single_value(fields: Message, key: str) -> str:
    values = fields.get_all(key, [])
    if len(values) > 1:
        raise RejectedError(f"WHEEL has {key} {len(values)} times")
    return str(values[0]).strip() if values else ""


def _is_project(text: str, project: str) -> bool:
    try:
        return untrusted_names.normalize_project(text) == project
    except RejectedError:
        return False


def _is_version(text: str, version: Version) -> bool:
    try:
        return untrusted_names.parse_version(text) == version
    except RejectedError:
        return False
