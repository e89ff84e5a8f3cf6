"""Paths in the web root, and how one file is written."""

import gzip
import os
import tempfile
from pathlib import Path

import pytest

from piwheels.webroot import Webroot, gz_path, install_file
from tests.webroot.factories import NAME, SHA, etag, files


def test_paths_of_files(tree: Webroot) -> None:
    root = tree.root
    assert tree.wheel_path(SHA, NAME) == root / "packages" / "ab" / SHA / NAME
    assert tree.metadata_path(SHA, NAME) == root / "packages" / "ab" / SHA / f"{NAME}.metadata"
    assert tree.simple_dir() == root / "simple"
    assert tree.simple_dir("demo") == root / "simple" / "demo"
    assert tree.log_path(7) == root / "logs" / "0000" / "0007" / "7.txt.gz"
    assert tree.log_path(1234567890) == root / "logs" / "123456" / "7890" / "1234567890.txt.gz"


def test_a_page_is_written_with_its_gz_file(tree: Webroot) -> None:
    page = tree.simple_dir("demo") / "index.html"
    assert tree.write_page(page, b"<html>")
    assert page.read_bytes() == b"<html>"
    assert gzip.decompress(gz_path(page).read_bytes()) == b"<html>"
    assert files(tree.root) == {"simple/demo/index.html", "simple/demo/index.html.gz"}


def test_unchanged_files_are_not_written(tree: Webroot) -> None:
    page = tree.simple_dir("demo") / "index.html"
    tree.write_page(page, b"<html>")
    before = page.stat(), gz_path(page).stat()
    assert not tree.write_page(page, b"<html>")
    assert not tree.write(page, b"<html>")
    assert (page.stat(), gz_path(page).stat()) == before
    assert tree.write_page(page, b"<HTML>")


def test_the_gz_file_is_deterministic(tree: Webroot) -> None:
    one, two = tree.root / "one", tree.root / "two"
    tree.write_page(one, b"content")
    tree.write_page(two, b"content")
    assert gz_path(one).read_bytes() == gz_path(two).read_bytes()


@pytest.mark.parametrize("damage", [b"", b"nonsense", gzip.compress(b"older page", mtime=0), None])
def test_a_different_gz_file_is_repaired(tree: Webroot, damage: bytes | None) -> None:
    page = tree.root / "index.html"
    tree.write_page(page, b"newer page")
    if damage is None:
        gz_path(page).unlink()
    else:
        gz_path(page).write_bytes(damage)
    assert tree.write_page(page, b"newer page")
    assert gzip.decompress(gz_path(page).read_bytes()) == b"newer page"


def test_files_are_readable_by_the_web_server(tree: Webroot) -> None:
    before = os.umask(0o077)
    try:
        tree.write(tree.root / "a", b"content")
        source = tree.root / "b.part"
        source.write_bytes(b"wheel")
        install_file(source, tree.root / "b")
    finally:
        os.umask(before)
    assert [(tree.root / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o644]


def test_a_wheel_is_installed_atomically(tree: Webroot, tmp_path: Path) -> None:
    source = tmp_path / "wheel.part"
    source.write_bytes(b"wheel")
    install_file(source, tree.wheel_path(SHA, NAME))
    assert tree.wheel_path(SHA, NAME).read_bytes() == b"wheel"
    assert not source.exists()


def test_a_missing_wheel_cannot_be_installed(tree: Webroot, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        install_file(tmp_path / "missing", tree.wheel_path(SHA, NAME))
    assert files(tree.root) == set()


def test_the_longest_file_names_can_be_written(tree: Webroot) -> None:
    path = tree.root / ("x" * 255)
    assert tree.write(path, b"content")
    assert path.read_bytes() == b"content"


def test_pages_of_the_same_size_have_mtimes_in_different_seconds(tree: Webroot) -> None:
    page = tree.root / "index.html"
    seen = set()
    for number in range(5):
        tree.write_page(page, b"page %d" % number)
        seen.add((etag(page), etag(gz_path(page))))
    assert len({one for one, _ in seen}) == 5
    assert len({two for _, two in seen}) == 5


def test_a_page_with_a_future_mtime_gets_a_later_one(tree: Webroot) -> None:
    page = tree.root / "index.html"
    tree.write(page, b"one")
    os.utime(page, (4_000_000_000, 4_000_000_000))
    tree.write(page, b"two")
    assert int(page.stat().st_mtime) == 4_000_000_001


def test_a_full_disk_leaves_the_old_page_and_no_temporary_file(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tree.root / "index.html"
    tree.write_page(page, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        tree.write_page(page, b"new")
    assert page.read_bytes() == b"old"
    assert gzip.decompress(gz_path(page).read_bytes()) == b"old"
    assert files(tree.root) == {"index.html", "index.html.gz"}


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no other file system at hand")
def test_a_wheel_can_be_installed_from_another_file_system(tree: Webroot) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        source = Path(elsewhere) / NAME
        source.write_bytes(b"wheel")
        assert source.stat().st_dev != tree.root.stat().st_dev
        install_file(source, tree.wheel_path(SHA, NAME))
        assert not source.exists()
    assert files(tree.root) == {f"packages/ab/{SHA}/{NAME}"}
    assert tree.wheel_path(SHA, NAME).read_bytes() == b"wheel"
