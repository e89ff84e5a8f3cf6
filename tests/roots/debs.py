"""Debian packages that tests make themselves: ar archives of two tar files (deb(5))."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

FileOrLink = tarfile.TarInfo


def regular(name: str, *, mode: int = 0o644) -> FileOrLink:
    """A file that contains its own name."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(name.encode()), mode
    return member


def folder(name: str) -> FileOrLink:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member


def link(name: str, target: str, *, hard: bool = False) -> FileOrLink:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
    return member


def make_deb(
    path: Path,
    members: Iterable[FileOrLink],
    *,
    control: str = "Package: sample\nVersion: 1-1\nArchitecture: all\n",
    scripts: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write a package."""
    texts = {"./control": control, **{f"./{name}": text for name, text in scripts.items()}}
    controls = _tar((regular(name), text.encode()) for name, text in texts.items())
    data = _tar((member, member.name.encode()) for member in members)
    parts = (("debian-binary", b"2.0\n"), ("control.tar", controls), ("data.tar", data))
    path.write_bytes(b"!<arch>\n" + b"".join(_ar_member(name, text) for name, text in parts))
    return path


def _tar(members: Iterable[tuple[FileOrLink, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in members:
            if member.isfile():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _ar_member(name: str, content: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) % 2)
