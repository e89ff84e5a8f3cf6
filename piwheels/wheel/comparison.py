"""How two wheels differ: which members, and in what. Both are untrusted; runs in a child process.

Everything that is said is bounded and has no control characters.
"""

import hashlib
import io
import re
import stat
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipInfo

from piwheels.model import MAX_DIFFERENCES, MemberChange, MemberDifference, WheelComparison
from piwheels.sanitize import truncate_line
from piwheels.wheel import elf_comparison
from piwheels.wheel.zip_reader import Archive

#: Members up to this size are read as text, or as ELF files, to say how they differ.
_MAX_TEXT_BYTES, _MAX_ELF_BYTES = 1 << 20, 32 << 20
#: As long as these may be what is quoted, and what is said of a member.
_MAX_QUOTE_CHARS, _MAX_HOW_CHARS, _MAX_NAME_CHARS = 100, 400, 400
_MAX_LINES_NAMED = 5
_BLOCK_BYTES = 256 * 1024
_RECORD = re.compile(r"[^/]+\.dist-info/RECORD")


def compare_wheels(published: Path, rebuilt: Path) -> WheelComparison:
    """What differs between two wheels, by members.

    Raises:
        RejectedError: one of them is no valid archive.
    """
    with Archive.open(published) as old, Archive.open(rebuilt) as new:
        found = list(_differences(old, new))
        # What differs in content tells most.
        found.sort(key=lambda each: each.change is MemberChange.METADATA)
        return WheelComparison(
            differences=tuple(found[:MAX_DIFFERENCES]),
            unlisted=max(len(found) - MAX_DIFFERENCES, 0),
            members=len(old.members),
        )


def _differences(old: Archive, new: Archive) -> Iterator[MemberDifference]:
    for name in old.members:
        if name not in new.members:
            yield _difference(name, MemberChange.MISSING, "only in the published wheel")
        elif _digest(old, name) != _digest(new, name):
            yield _difference(name, MemberChange.CONTENT, _how_content_differs(old, new, name))
        elif how := "; ".join(_metadata_changes(old.members[name], new.members[name])):
            yield _difference(name, MemberChange.METADATA, how)
    for name in new.members:
        if name not in old.members:
            yield _difference(name, MemberChange.EXTRA, "only in the rebuilt wheel")
    if moved := _first_moved(old, new):
        yield _difference(moved, MemberChange.METADATA, "its place in the archive")


def _difference(name: str, change: MemberChange, how: str) -> MemberDifference:
    return MemberDifference(
        member=truncate_line(name, _MAX_NAME_CHARS),
        change=change,
        how=truncate_line(how, _MAX_HOW_CHARS),
    )


def _digest(archive: Archive, name: str) -> bytes:
    digest = hashlib.sha256()
    for piece in archive.stream(name):
        digest.update(piece)
    return digest.digest()


def _first_moved(old: Archive, new: Archive) -> str:
    """The first member that both have and that is at another place; "" if there is none."""
    before = [name for name in old.members if name in new.members]
    after = [name for name in new.members if name in old.members]
    return next((name for name, other in zip(before, after, strict=True) if name != other), "")


def _metadata_changes(old: ZipInfo, new: ZipInfo) -> Iterator[str]:
    if old.date_time != new.date_time:
        yield f"time {_time(old)} became {_time(new)}"
    if _mode(old) != _mode(new):
        yield f"mode {_mode(old):o} became {_mode(new):o}"
    if old.compress_type != new.compress_type:
        yield f"{_compression(old)} became {_compression(new)}"
    elif old.compress_size != new.compress_size:
        yield f"compressed to {old.compress_size} bytes, then to {new.compress_size}"
    rest = (old.create_system, old.flag_bits, old.extra, old.comment)
    if rest != (new.create_system, new.flag_bits, new.extra, new.comment):
        yield "other fields of its header"


def _time(info: ZipInfo) -> str:
    year, month, day, hour, minute, second = info.date_time
    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"


def _mode(info: ZipInfo) -> int:
    return stat.S_IMODE(info.external_attr >> 16)


def _compression(info: ZipInfo) -> str:
    return "compressed" if info.compress_type == ZIP_DEFLATED else "stored"


# --- contents ---


def _how_content_differs(old: Archive, new: Archive, name: str) -> str:
    sizes = old.members[name].file_size, new.members[name].file_size
    if max(sizes) <= _MAX_TEXT_BYTES:
        before, after = (archive.read(name, _MAX_TEXT_BYTES) for archive in (old, new))
        if _RECORD.fullmatch(name):
            return _changed_record(before, after)
        if (lines := _text_lines(before)) is not None and (
            others := _text_lines(after)
        ) is not None:
            return _changed_line(lines, others)
    if max(sizes) <= _MAX_ELF_BYTES:
        before, after = (archive.read(name, _MAX_ELF_BYTES) for archive in (old, new))
        if sections := elf_comparison.describe(io.BytesIO(before), io.BytesIO(after)):
            return sections
    at = _first_different_byte(old, new, name)
    grown = "" if sizes[0] == sizes[1] else f"{sizes[0]} bytes became {sizes[1]}; "
    return f"{grown}different from byte {at} on"


def _text_lines(content: bytes) -> list[str] | None:
    if b"\0" in content:
        return None
    try:
        return content.decode().split("\n")
    except UnicodeDecodeError:
        return None


def _changed_line(before: list[str], after: list[str]) -> str:
    for number, (old, new) in enumerate(zip_longest(before, after), 1):
        if old != new:
            return f"line {number}: {_quote(old, new)} became {_quote(new, old)}"
    return ""


def _quote(line: str | None, other: str | None) -> str:
    """A line, from shortly before where it begins to differ from the other one."""
    if line is None:
        return "nothing"
    alike = next(
        (at for at, pair in enumerate(zip(line, other or "", strict=False)) if pair[0] != pair[1]),
        min(len(line), len(other or "")),
    )
    start = max(alike - _MAX_QUOTE_CHARS // 2, 0)
    shown = truncate_line(line[start:], _MAX_QUOTE_CHARS)
    return f"'{'…' if start else ''}{shown}'"


def _changed_record(before: bytes, after: bytes) -> str:
    """The members whose lines in RECORD differ, which has a line for each."""
    lines, others = ({*text.decode(errors="replace").splitlines()} for text in (before, after))
    names = sorted({line.partition(",")[0] for line in lines ^ others})
    if not names:
        return "the order of its lines, or their ends"
    shown = ", ".join(truncate_line(name, _MAX_QUOTE_CHARS) for name in names[:_MAX_LINES_NAMED])
    more = len(names) - _MAX_LINES_NAMED
    return f"the lines of {shown}{f' and of {more} others' if more > 0 else ''}"


def _first_different_byte(old: Archive, new: Archive, name: str) -> int:
    """The offset of the first byte that differs between the contents of a member."""
    offset = 0
    for before, after in zip_longest(_bytes_in_blocks(old, name), _bytes_in_blocks(new, name)):
        if before != after:
            pairs = enumerate(zip(before or b"", after or b"", strict=False))
            ends = min(len(before or b""), len(after or b""))
            return offset + next((at for at, pair in pairs if pair[0] != pair[1]), ends)
        offset += len(before)
    return offset


def _bytes_in_blocks(archive: Archive, name: str) -> Iterator[bytes]:
    """The content of a member in blocks of one size; `Archive.stream` cuts it where it likes."""
    block = bytearray()
    for piece in archive.stream(name):
        block += piece
        while len(block) >= _BLOCK_BYTES:
            yield bytes(block[:_BLOCK_BYTES])
            del block[:_BLOCK_BYTES]
    yield bytes(block)
