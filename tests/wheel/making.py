"""Wheels and ELF files made to order, sound unless told otherwise."""

import base64
import hashlib
import struct
import zipfile
from collections.abc import Mapping, Sequence
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
) -> bytes:
    """A shared library of headers alone, which says what is asked for and holds no code.

    `verneeds` is how many entries the table of needed versions claims to have.
    """
    strings = bytearray(b"\0")

    def string(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text) - 1

    wide = bits == 64
    word = "Q" if wide else "L"
    dynamic = [(1, string(name)) for name in needed]
    dynamic += [(14, string(soname))] if soname else []
    aux = [string(version) for version in versions]
    libc = string("libc.so.6")
    names = {name: string(name) for name in (".dynstr", ".dynamic", ".gnu.version_r")}

    header_size, segment_size, section_size = (64, 56, 64) if wide else (52, 32, 40)
    strings_at = header_size + 2 * segment_size
    dynamic_at = strings_at + len(strings)
    dynamic += [(5, strings_at), (0, 0)]
    dynamic_data = b"".join(struct.pack(f"<2{word}", *entry) for entry in dynamic)
    verneed_at = dynamic_at + len(dynamic_data)
    verneed = struct.pack("<2H3L", 1, len(aux), libc, 16, 0)
    for number, offset in enumerate(aux, 1):
        next_one = 16 if number < len(aux) else 0
        verneed += struct.pack("<L2H2L", 0, 0, number + 1, offset, next_one)
    sections_at = verneed_at + len(verneed)
    total = sections_at + 4 * section_size

    def section(
        title: int, sort: int, at: int, size: int, link: int = 0, *, info: int = 0
    ) -> bytes:
        form = "<2L4Q2L2Q" if wide else "<10L"
        return struct.pack(form, title, sort, 0, at, at, size, link, info, 1, 0)

    def segment(sort: int, at: int, size: int) -> bytes:
        if wide:
            return struct.pack("<2L6Q", sort, 4, at, at, at, size, size, 1)
        return struct.pack("<8L", sort, at, at, at, size, size, 4, 1)

    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1, 0]) + bytes(8)
    header = ident + struct.pack(
        f"<2HL3{word}L6H",
        *(kind, machine, 1, 0, header_size, sections_at, flags),
        *(header_size, segment_size, 2, section_size, 4, 1),
    )
    return b"".join(
        (
            header,
            segment(1, 0, total),
            segment(2, dynamic_at, len(dynamic_data)),
            strings,
            dynamic_data,
            verneed,
            section(0, 0, 0, 0),
            section(names[".dynstr"], 3, strings_at, len(strings)),
            section(names[".dynamic"], 6, dynamic_at, len(dynamic_data), 1),
            section(
                names[".gnu.version_r"], 0x6FFFFFFE, verneed_at, len(verneed), 1, info=verneeds
            ),
        )
    )
