"""Many pages at once: what is shared, and what each group keeps."""

import contextlib
import ctypes
import gzip
import os
import time
from pathlib import Path

import pytest

from piwheels.webroot import Webroot, atomic_file, gz_path, replace_file
from tests.timeouts import WAIT_S
from tests.webroot.factories import etag, files, group, paths_of_group


def test_groups_of_pages_are_written_with_gz_files(tree: Webroot) -> None:
    tree.write_pages({"demo": group(tree, b"one"), "other": group(tree, b"two", "other")})
    for project, content in (("demo", b"one"), ("other", b"two")):
        for path, wanted in group(tree, content, project):
            assert path.read_bytes() == wanted
            assert gzip.decompress(gz_path(path).read_bytes()) == wanted
            assert path.stat().st_mode & 0o777 == 0o644
    assert len(files(tree.root)) == 8


def test_a_group_is_identified_by_the_marker_of_its_last_page(tree: Webroot) -> None:
    assert not tree.has_marked_pages(paths_of_group(tree), b"one")
    tree.write_pages({"demo": group(tree, b"one")})
    assert tree.has_marked_pages(paths_of_group(tree), b"one")
    assert not tree.has_marked_pages(paths_of_group(tree), b"two")
    assert not tree.has_marked_pages(paths_of_group(tree), b"one and more")


def test_an_incomplete_group_is_detected(
    tree: Webroot,
) -> None:
    for path in [path for page in paths_of_group(tree) for path in (page, gz_path(page))]:
        tree.write_pages({"demo": group(tree, b"old")})
        replace_file(path, b"new")
        assert not tree.has_marked_pages(paths_of_group(tree), b"old")
        path.unlink()
        assert not tree.has_marked_pages(paths_of_group(tree), b"old")


def test_a_rewritten_group_gets_an_mtime_in_another_second(tree: Webroot) -> None:
    seen = set()
    for number in range(5):
        tree.write_pages({"demo": group(tree, b"%d" % number)})
        seen |= {etag(path) for page in paths_of_group(tree) for path in (page, gz_path(page))}
    assert len({second for second, _ in seen}) == 5


def test_a_full_disk_leaves_the_old_pages_and_no_temporary_files(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write_pages({"demo": group(tree, b"old")})
    before = files(tree.root)

    def full(_: int) -> int:
        ctypes.set_errno(28)
        return -1

    with monkeypatch.context() as patch:
        patch.setattr(atomic_file, "_SYNCFS", full)
        with pytest.raises(OSError, match="No space left"):
            tree.write_pages({"demo": group(tree, b"new"), "other": group(tree, b"new", "other")})
    assert files(tree.root) == before
    assert tree.has_marked_pages(paths_of_group(tree), b"old")


def test_everything_is_durable_before_the_first_rename_and_after_the_last(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    rename = os.replace

    def renaming(path: str, target: str) -> None:
        seen.append(Path(target).name)
        rename(path, target)

    def syncing(_: int) -> int:
        seen.append("sync")
        return 0

    monkeypatch.setattr(os, "replace", renaming)
    monkeypatch.setattr(atomic_file, "_SYNCFS", syncing)
    tree.write_pages({"demo": group(tree, b"one")})
    assert seen == [
        "sync",
        "index.v1_json.gz",
        "index.v1_json",
        "index.html.gz",
        "index.html",
        "sync",
    ]


@pytest.mark.parametrize("in_the_way", ["simple/bad", "simple/bad/.index.html.new/folder"])
def test_a_group_that_cannot_be_staged_does_not_delay_others(
    tree: Webroot, in_the_way: str
) -> None:
    replace_file(tree.root / in_the_way, b"in the way")
    before = files(tree.root)
    problems = tree.write_pages(
        {name: group(tree, b"new", name) for name in ("alpha", "bad", "omega")}
    )
    assert set(problems) == {"bad"}
    assert "simple/bad" in str(problems["bad"].filename)
    assert files(tree.root) - before == {
        f"simple/{name}/{file}"
        for name in ("alpha", "omega")
        for file in ("index.html", "index.html.gz", "index.v1_json", "index.v1_json.gz")
    }


def test_a_group_that_cannot_be_renamed_does_not_delay_others(tree: Webroot) -> None:
    (tree.simple_dir("bad") / "index.html").mkdir(parents=True)
    problems = tree.write_pages(
        {name: group(tree, b"new", name) for name in ("alpha", "bad", "omega")}
    )
    assert set(problems) == {"bad"}
    assert tree.has_marked_pages(paths_of_group(tree, "alpha"), b"new")
    assert tree.has_marked_pages(paths_of_group(tree, "omega"), b"new")
    assert not tree.has_marked_pages(paths_of_group(tree, "bad"), b"new")
    assert not [name for name in files(tree.root) if name.endswith(".new")]


def test_replaced_files_are_closed(tree: Webroot) -> None:
    def open_pages() -> list[str]:
        names = []
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                names.append(os.readlink(link))  # noqa: PTH115 - these name what is deleted, too
        return [name for name in names if str(tree.root) in name]

    names = [f"project-{number}" for number in range(100)]
    for content in (b"old", b"new"):
        tree.write_pages({name: group(tree, content, name) for name in names})
    deadline = time.monotonic() + WAIT_S
    while open_pages():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert all(tree.has_marked_pages(paths_of_group(tree, name), b"new") for name in names)
