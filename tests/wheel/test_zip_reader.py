"""Untrusted zip archives: crafted ones are rejected, those of build backends are read."""

import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piwheels.errors import RejectedError
from piwheels.wheel.zip_reader import Archive
from tests.wheel.factories import write_zip

DIRECTORY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytearray:
    """The bytes of an archive, with names that need not be unique."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return bytearray(file.getvalue())


def read_all(path: Path) -> dict[str, bytes]:
    with Archive.open(path) as archive:
        return {name: archive.read(name, 10**9) for name in archive.members}


def assert_rejected(path: Path, content: bytes | bytearray, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(RejectedError, match=reason) as error:
        read_all(path)
    assert "\n" not in str(error.value)


def info(name: str, *, mode: int = 0o100644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.zip"


# --- what backends write ---


def test_members_are_read_back(path: Path) -> None:
    members = {"a/b.py": b"x" * 100_000, "a/empty": b"", "ä/ü.txt": bytes(range(256)) * 3000}
    assert read_all(write_zip(path, members)) == members


def test_stored_members_and_directories_are_accepted(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(info("a/", mode=0o040755), b"")
        archive.writestr("a/b", b"content")
    assert read_all(path) == {"a/b": b"content"}


@pytest.mark.parametrize("wide", [False, True])
def test_an_archive_written_to_a_pipe_is_accepted(path: Path, wide: bool) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b"):
            with archive.open(name, "w", force_zip64=wide) as file:
                file.write(b"content of " + name.encode())
    path.write_bytes(pipe.getvalue())
    assert read_all(path) == {"a": b"content of a", "b": b"content of b"}


def test_padding_in_extra_fields_is_accepted(path: Path) -> None:
    member = info("a")
    member.extra = struct.pack("<2H", 0xD935, 6) + bytes(6)
    path.write_bytes(zip_of((member, b"content"), ("b", b"more")))
    assert read_all(path) == {"a": b"content", "b": b"more"}


@settings(max_examples=60)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,3}\.[a-z]{1,3}", fullmatch=True), st.binary()))
def test_any_content_is_read_back(path: Path, members: dict[str, bytes]) -> None:
    assert read_all(write_zip(path, members)) == members


# --- what is no archive, or more than one ---


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000, b"\x1f\x8b\x08" + bytes(100)])
def test_another_file_type_is_rejected(path: Path, content: bytes) -> None:
    assert_rejected(path, content, "not a zip archive")


def test_bytes_around_the_archive_are_rejected(path: Path) -> None:
    content = zip_of(("a", b"content"))
    assert_rejected(path, content + b"\n", "not a zip archive that ends")
    assert_rejected(path, b"#!/bin/sh\n" + content, "directory is not where")
    assert_rejected(path, content + content, "directory is not where")


def test_a_comment_is_rejected(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"content")
        archive.comment = bytes(zip_of(("b", b"other")))
    assert_rejected(path, path.read_bytes(), "directory is not where|not a zip archive that ends")


def test_a_truncated_archive_is_rejected(path: Path) -> None:
    content = zip_of(("a", b"content" * 100))
    for length in range(len(content)):
        assert_rejected(path, content[:length], "archive")


def test_an_invalid_directory_is_rejected(path: Path) -> None:
    content = zip_of(("a", b"content"))
    content[content.index(DIRECTORY)] = 0
    assert_rejected(path, content, "directory is damaged")


# --- bombs ---


def test_an_archive_that_claims_terabytes_is_rejected(path: Path) -> None:
    content = zip_of(("a", b"x"), ("b", b"x"), ("c", b"x"))
    content = claim(content, size=0xFFFFFFF0)
    assert_rejected(path, content, "unpacks to 128849018[0-9]* bytes")


def test_a_small_archive_with_large_content_is_rejected(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.wheel.zip_reader._HARMLESS_BYTES", 100_000)
    assert_rejected(path, zip_of(("a", bytes(200_000))), "unpacks to 200000 bytes")
    assert read_all(write_zip(path, {"a": bytes(100_000)}))


def test_a_member_larger_than_its_claimed_size_is_rejected(path: Path) -> None:
    content = zip_of(("a", bytes(10_000_000)))
    assert_rejected(path, claim(content, size=10), "does not unpack to the size")


def test_a_member_smaller_than_its_claimed_size_is_rejected(path: Path) -> None:
    assert_rejected(path, claim(zip_of(("a", b"abc")), size=4), "does not unpack to the size")


def test_too_many_members_are_rejected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piwheels.wheel.zip_reader.MOST_MEMBERS", 3)
    assert_rejected(
        path, zip_of(*((f"m{number}", b"") for number in range(4))), "more than 3 members"
    )


def test_a_member_larger_than_the_limit_is_rejected(path: Path) -> None:
    write_zip(path, {"a": bytes(1001)})
    with Archive.open(path) as archive, pytest.raises(RejectedError, match="at most 1000"):
        archive.read("a", 1000)


def claim(content: bytearray, *, size: int) -> bytearray:
    """Let the directory claim a size for every member."""
    for found in re.finditer(re.escape(DIRECTORY), bytes(content)):
        struct.pack_into("<L", content, found.start() + 24, size)
    return content


# --- names ---


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../escape",
        "a/../../escape",
        "a/..",
        "./a",
        "a//b",
        "a\\b",
        "..\\a",
        "C:/a",
        "c:a",
        "a\nb",
        "a\x1b[2Jb",
        "a\x7fb",
        "a\u202eb",
        "x" * 2000,
    ],
)
def test_names_outside_the_directory_or_hidden_are_rejected(path: Path, name: str) -> None:
    assert_rejected(path, zip_of((name, b"x")), "is not a valid file name")


def test_a_name_with_a_zero_byte_is_rejected(path: Path) -> None:
    content = zip_of(("a_b.py", b"x"))
    assert_rejected(path, content.replace(b"a_b.py", b"a\0b.py"), "is not a valid file name")


def test_a_member_without_a_name_is_rejected(path: Path) -> None:
    assert_rejected(
        path, repacked(b"content", lambda data: data, name=b""), "is not a valid file name"
    )


def test_a_repeated_name_is_rejected(path: Path) -> None:
    assert_rejected(
        path, zip_of(("a", b"one"), ("a", b"two")), "'a' is in the archive more than once"
    )
    folder = (info("a/", mode=0o040755), b"")
    assert_rejected(path, zip_of(("a", b"one"), folder), "'a' is in the archive more than once")


def test_a_file_that_is_also_a_directory_is_rejected(path: Path) -> None:
    assert_rejected(
        path, zip_of(("a", b"one"), ("a/b", b"two")), "'a' is both a file and a directory"
    )


def test_a_different_name_in_the_local_header_is_rejected(path: Path) -> None:
    content = zip_of(("safe.py", b"x"))
    content[30:37] = b"evil.py"
    assert_rejected(path, content, "differs between its local header")


# --- kinds of members ---


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060660, 0o010644, 0o140777, 0o040755])
def test_links_devices_and_pipes_are_rejected(path: Path, mode: int) -> None:
    assert_rejected(
        path, zip_of((info("a", mode=mode), b"/etc/passwd")), "neither a file nor a directory"
    )


def test_a_directory_with_content_is_rejected(path: Path) -> None:
    assert_rejected(path, zip_of((info("a/", mode=0o040755), b"hidden")), "directory with content")


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_encrypted_members_are_rejected(path: Path, flag: int) -> None:
    content = zip_of(("a", b"secret"))
    for signature, offset in ((DIRECTORY, 8), (LOCAL, 6)):
        place = content.index(signature) + offset
        struct.pack_into("<H", content, place, flag)
    assert_rejected(path, content, "encrypted|not valid|damaged")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_methods_are_rejected(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", b"content")
    assert_rejected(path, path.read_bytes(), "compressed with method")


# --- layout ---


def test_overlapping_members_are_rejected(path: Path) -> None:
    content = zip_of(("a", b"content"), ("b", b"content"))
    second = content.rindex(DIRECTORY)
    struct.pack_into("<L", content, second + 42, 0)
    assert_rejected(path, content, "does not follow the member before it")


def test_bytes_between_members_are_rejected(path: Path) -> None:
    content = zip_of(("a", b"content"), ("b", b"content"))
    second, hidden = content.rindex(LOCAL), b"hidden"
    entry = content.rindex(DIRECTORY)
    struct.pack_into("<L", content, entry + 42, second + len(hidden))
    directory = content.index(DIRECTORY)
    struct.pack_into("<L", content, len(content) - 6, directory + len(hidden))
    content[second:second] = hidden
    assert_rejected(path, content, "'b' does not follow the member before it")


def test_bytes_before_the_directory_are_rejected(path: Path) -> None:
    content = zip_of(("a", b"content"))
    directory = content.index(DIRECTORY)
    struct.pack_into("<L", content, len(content) - 6, directory + 4)
    content[directory:directory] = b"more"
    assert_rejected(path, content, "directory does not follow the last member")


def test_bytes_after_the_compressed_data_are_rejected(path: Path) -> None:
    def tail(data: bytes) -> bytes:
        return data + b"tail"

    assert_rejected(path, repacked(b"content" * 50, tail), "bytes after its compressed data")


def test_damaged_or_truncated_compressed_data_is_rejected(path: Path) -> None:
    content = b"content" * 50
    assert_rejected(
        path, repacked(content, lambda data: data[:-3]), "truncated|not valid|not unpack"
    )
    assert_rejected(path, repacked(content, lambda data: b"\xff" * len(data)), "not valid deflate")
    assert_rejected(
        path, repacked(content, lambda data: zlib_raw(b"conTent" * 50)), "not unpack to"
    )


def zlib_raw(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def repacked(content: bytes, change: Callable[[bytes], bytes], name: bytes = b"a") -> bytes:
    """An archive of one member whose packed bytes were changed, with sizes that fit them."""
    data = change(zlib_raw(content))
    crc = zlib.crc32(content)
    local = struct.pack(
        "<4s5H3L2H", LOCAL, 20, 0, 8, 0, 33, crc, len(data), len(content), len(name), 0
    )
    entry = struct.pack(
        "<4s6H3L5H2L",
        *(DIRECTORY, 20, 20, 0, 8, 0, 33, crc, len(data), len(content)),
        *(len(name), 0, 0, 0, 0, 0, 0),
    )
    start = len(local) + len(name) + len(data)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry) + len(name), start, 0)
    return local + name + data + entry + name + end


def test_unchanged_crafted_archives_are_accepted(path: Path) -> None:
    path.write_bytes(repacked(b"content", lambda data: data))
    assert read_all(path) == {"a": b"content"}


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6))
def test_no_changed_byte_raises_anything_but_a_rejection(
    path: Path, changes: list[tuple[int, int]]
) -> None:
    content = zip_of(("a", b"content" * 30), ("b/c", b"more"), ("d", b""))
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        read_all(path)
    except RejectedError:
        return
