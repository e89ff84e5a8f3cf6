"""Wheels and ELF files for tests, valid by default."""

import base64
import hashlib
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EM_386, EM_ARM, EM_X86_64, EM_AARCH64, EM_BPF = 3, 40, 62, 183, 247
ET_REL, ET_EXEC, ET_DYN = 1, 2, 3

DATE = (2024, 5, 17, 12, 0, 0)


def record_line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def wheel_members(
    *,
    name: str = "demo",
    version: str = "1.0",
    tags: str = "py3-none-any",
    build: str = "",
    requires_python: str = "",
    files: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The members of a sound wheel, RECORD last."""
    folder = f"{name}-{version}.dist-info"
    wheel = ["Wheel-Version: 1.0", "Generator: test", "Root-Is-Purelib: true"]
    pythons, abis, platforms = (part.split(".") for part in tags.split("-"))
    wheel += [f"Tag: {p}-{a}-{o}" for p in pythons for a in abis for o in platforms]
    wheel += [f"Build: {build}"] if build else []
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Python: {requires_python}"] if requires_python else []
    members = dict(files if files is not None else {f"{name}/__init__.py": b"x = 1\n"})
    members[f"{folder}/METADATA"] = "\n".join(metadata).encode() + b"\n\nA demonstration.\n"
    members[f"{folder}/WHEEL"] = "\n".join(wheel).encode() + b"\n"
    members[f"{folder}/RECORD"] = b""
    return with_record(members)


def with_record(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members with a RECORD that lists them as they are."""
    record = next(name for name in members if name.endswith(".dist-info/RECORD"))
    lines = [record_line(name, data) for name, data in members.items() if name != record]
    return {**members, record: "".join([*lines, f"{record},,\n"]).encode()}


def write_zip(
    path: Path, members: Mapping[str, bytes], date: tuple[int, int, int, int, int, int] = DATE
) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o040755 if info.is_dir() else 0o100644) << 16
            archive.writestr(info, content)
    return path


def make_wheel(
    folder: Path,
    *,
    name: str = "demo",
    version: str = "1.0",
    tags: str = "py3-none-any",
    build: str = "",
    requires_python: str = "",
    files: Mapping[str, bytes] | None = None,
) -> Path:
    members = wheel_members(
        name=name,
        version=version,
        tags=tags,
        build=build,
        requires_python=requires_python,
        files=files,
    )
    middle = f"-{build}" if build else ""
    return write_zip(folder / f"{name}-{version}{middle}-{tags}.whl", members)


def elf(
    machine: int = EM_X86_64,
    *,
    bits: int = 64,
    kind: int = ET_DYN,
    flags: int = 0,
    needed: Sequence[str] = ("libc.so.6",),
    soname: str = "",
    versions: Sequence[str] = ("GLIBC_2.17",),
    verneeds: int = 1,
    attributes: Mapping[int, int] | bytes | None = None,
) -> bytes:
    """A shared library that consists of headers with the given values, without code.

    `verneeds` is how many entries the table of needed versions claims to have; `attributes` are
    the numeric ones of .ARM.attributes by tag, or the raw content of the section.
    """
    form = _ELF64 if bits == 64 else _ELF32
    strings = _Strings()
    entries = [(1, strings.add(name)) for name in needed]
    entries += [(14, strings.add(soname))] if soname else []
    verneed = _version_needs(strings.add("libc.so.6"), [strings.add(text) for text in versions])
    names = [
        strings.add(name) for name in (".dynstr", ".dynamic", ".gnu.version_r", ".ARM.attributes")
    ]
    message = attributes if isinstance(attributes, bytes) else _arm_attributes(attributes or {})
    count = 4 if attributes is None else 5

    strings_at = form.header_size + 2 * form.segment_size
    dynamic_at = strings_at + len(strings.data)
    dynamic = form.dynamic([*entries, (5, strings_at), (0, 0)])
    verneed_at = dynamic_at + len(dynamic)
    attributes_at = verneed_at + len(verneed)
    sections_at = attributes_at + len(message)
    return b"".join(
        (
            form.header(kind, machine, flags, sections_at, count),
            form.segment(1, 0, sections_at + count * form.section_size),
            form.segment(2, dynamic_at, len(dynamic)),
            strings.data,
            dynamic,
            verneed,
            message,
            form.section(0, 0, 0, 0),
            form.section(names[0], 3, strings_at, len(strings.data)),
            form.section(names[1], 6, dynamic_at, len(dynamic), link=1),
            form.section(names[2], 0x6FFFFFFE, verneed_at, len(verneed), link=1, info=verneeds),
            form.section(names[3], 0x70000003, attributes_at, len(message)) if count == 5 else b"",
        )
    )


def _arm_attributes(attributes: Mapping[int, int]) -> bytes:
    """The build attributes of a file ("Addenda to the ABI for the Arm Architecture", 3.1)."""
    pairs = b"".join(bytes(pair) for pair in attributes.items())
    part = b"\x01" + struct.pack("<L", 5 + len(pairs)) + pairs
    vendor = b"aeabi\0" + part
    return b"A" + struct.pack("<L", 4 + len(vendor)) + vendor


class _Strings:
    """A string table."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def add(self, text: str) -> int:
        """The offset of a string in the table."""
        place = len(self.data)
        self.data += text.encode() + b"\0"
        return place


@dataclass(frozen=True)
class _ElfLayout:
    """How the parts of a little-endian file are packed (elf(5))."""

    ident: int  # EI_CLASS
    word: str
    header_size: int
    segment_size: int
    section_size: int
    section_form: str

    def header(self, kind: int, machine: int, flags: int, sections_at: int, count: int) -> bytes:
        form = f"<4s4B8x2HL3{self.word}L6H"
        return struct.pack(
            form,
            *(b"\x7fELF", self.ident, 1, 1, 0),
            *(kind, machine, 1, 0, self.header_size, sections_at, flags),
            *(self.header_size, self.segment_size, 2, self.section_size, count, 1),
        )

    def segment(self, segment_type: int, at: int, size: int) -> bytes:
        if self.word == "Q":
            return struct.pack("<2L6Q", segment_type, 4, at, at, at, size, size, 1)
        return struct.pack("<8L", segment_type, at, at, at, size, size, 4, 1)

    def section(
        self, title: int, sort: int, at: int, size: int, *, link: int = 0, info: int = 0
    ) -> bytes:
        return struct.pack(self.section_form, title, sort, 0, at, at, size, link, info, 1, 0)

    def dynamic(self, entries: Sequence[tuple[int, int]]) -> bytes:
        return b"".join(struct.pack(f"<2{self.word}", *entry) for entry in entries)


_ELF64 = _ElfLayout(2, "Q", 64, 56, 64, "<2L4Q2L2Q")
_ELF32 = _ElfLayout(1, "L", 52, 32, 40, "<10L")


def _version_needs(library: int, versions: Sequence[int]) -> bytes:
    """The table of the versions that are needed of one library; all are places of strings."""
    table = struct.pack("<2H3L", 1, len(versions), library, 16, 0)
    for number, place in enumerate(versions, 1):
        following = 16 if number < len(versions) else 0
        table += struct.pack("<L2H2L", 0, 0, number + 1, place, following)
    return table
