"""The served tree: what readers see while it is written, and what a crash leaves."""

import contextlib
import ctypes
import gzip
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from piwheels import webroot
from piwheels.webroot import Webroot, move_in, replace

SHA = "ab" + "0" * 62
OTHER = "ab" + "1" * 62
NAME = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def tree(tmp_path: Path) -> Webroot:
    root = tmp_path / "www"
    root.mkdir()
    return Webroot(root)


def twin(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def etag(path: Path) -> tuple[int, int]:
    """What nginx and Apache tell versions of a file apart by."""
    found = path.stat()
    return int(found.st_mtime), found.st_size


# --- where things lie ---


def test_everything_has_its_place(tree: Webroot) -> None:
    root = tree.root
    assert tree.wheel(SHA, NAME) == root / "packages" / "ab" / SHA / NAME
    assert tree.metadata(SHA, NAME) == root / "packages" / "ab" / SHA / f"{NAME}.metadata"
    assert tree.simple() == root / "simple"
    assert tree.simple("demo") == root / "simple" / "demo"
    assert tree.log(7) == root / "logs" / "0000" / "0007" / "7.txt.gz"
    assert tree.log(1234567890) == root / "logs" / "123456" / "7890" / "1234567890.txt.gz"


# --- writing ---


def test_a_page_is_written_with_its_packed_twin(tree: Webroot) -> None:
    page = tree.simple("demo") / "index.html"
    assert tree.write_page(page, b"<html>")
    assert page.read_bytes() == b"<html>"
    assert gzip.decompress(twin(page).read_bytes()) == b"<html>"
    assert files(tree.root) == {"simple/demo/index.html", "simple/demo/index.html.gz"}


def test_what_is_the_same_is_left_alone(tree: Webroot) -> None:
    page = tree.simple("demo") / "index.html"
    tree.write_page(page, b"<html>")
    before = page.stat(), twin(page).stat()
    assert not tree.write_page(page, b"<html>")
    assert not tree.write(page, b"<html>")
    assert (page.stat(), twin(page).stat()) == before
    assert tree.write_page(page, b"<HTML>")


def test_the_twin_is_the_same_whenever_it_is_written(tree: Webroot) -> None:
    one, two = tree.root / "one", tree.root / "two"
    tree.write_page(one, b"content")
    tree.write_page(two, b"content")
    assert twin(one).read_bytes() == twin(two).read_bytes()


@pytest.mark.parametrize("damage", [b"", b"nonsense", gzip.compress(b"older page", mtime=0), None])
def test_a_twin_that_is_not_the_pages_is_mended(tree: Webroot, damage: bytes | None) -> None:
    page = tree.root / "index.html"
    tree.write_page(page, b"newer page")
    if damage is None:
        twin(page).unlink()
    else:
        twin(page).write_bytes(damage)
    assert tree.write_page(page, b"newer page")
    assert gzip.decompress(twin(page).read_bytes()) == b"newer page"


def test_files_are_readable_by_the_web_server(tree: Webroot) -> None:
    before = os.umask(0o077)
    try:
        tree.write(tree.root / "a", b"content")
        source = tree.root / "b.part"
        source.write_bytes(b"wheel")
        move_in(source, tree.root / "b")
    finally:
        os.umask(before)
    assert [(tree.root / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o644]


def test_a_wheel_moves_in_whole(tree: Webroot, tmp_path: Path) -> None:
    source = tmp_path / "wheel.part"
    source.write_bytes(b"wheel")
    move_in(source, tree.wheel(SHA, NAME))
    assert tree.wheel(SHA, NAME).read_bytes() == b"wheel"
    assert not source.exists()


def test_a_wheel_that_is_not_there_does_not_move_in(tree: Webroot, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move_in(tmp_path / "missing", tree.wheel(SHA, NAME))
    assert files(tree.root) == set()


def test_the_longest_file_names_can_be_written(tree: Webroot) -> None:
    path = tree.root / ("x" * 255)
    assert tree.write(path, b"content")
    assert path.read_bytes() == b"content"


def test_pages_of_the_same_size_are_told_apart_by_their_second(tree: Webroot) -> None:
    page = tree.root / "index.html"
    seen = set()
    for number in range(5):
        tree.write_page(page, b"page %d" % number)
        seen.add((etag(page), etag(twin(page))))
    assert len({one for one, _ in seen}) == 5
    assert len({two for _, two in seen}) == 5


def test_a_page_dated_ahead_still_gets_a_later_second(tree: Webroot) -> None:
    page = tree.root / "index.html"
    tree.write(page, b"one")
    os.utime(page, (4_000_000_000, 4_000_000_000))
    tree.write(page, b"two")
    assert int(page.stat().st_mtime) == 4_000_000_001


def test_a_full_disk_leaves_the_old_page_and_no_rubbish(
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
    assert gzip.decompress(twin(page).read_bytes()) == b"old"
    assert files(tree.root) == {"index.html", "index.html.gz"}


# --- many pages at once ---


def group(tree: Webroot, content: bytes, project: str = "demo") -> list[tuple[Path, bytes]]:
    folder = tree.simple(project)
    return [(folder / "index.v1_json", content + b" json"), (folder / "index.html", content)]


def of_group(tree: Webroot, project: str = "demo") -> list[Path]:
    return [path for path, _ in group(tree, b"", project)]


def test_groups_of_pages_lie_there_with_their_twins(tree: Webroot) -> None:
    tree.write_pages([group(tree, b"one"), group(tree, b"two", "other")])
    for project, content in (("demo", b"one"), ("other", b"two")):
        for path, wanted in group(tree, content, project):
            assert path.read_bytes() == wanted
            assert gzip.decompress(twin(path).read_bytes()) == wanted
            assert path.stat().st_mode & 0o777 == 0o644
    assert len(files(tree.root)) == 8


def test_a_group_is_known_by_what_its_last_page_begins_with(tree: Webroot) -> None:
    assert not tree.holds(of_group(tree), b"one")
    tree.write_pages([group(tree, b"one")])
    assert tree.holds(of_group(tree), b"one")
    assert not tree.holds(of_group(tree), b"two")
    assert not tree.holds(of_group(tree), b"one and more")


def test_a_group_that_a_crash_tore_apart_is_found_whichever_file_is_the_odd_one(
    tree: Webroot,
) -> None:
    for path in [path for page in of_group(tree) for path in (page, twin(page))]:
        tree.write_pages([group(tree, b"old")])
        replace(path, b"new")
        assert not tree.holds(of_group(tree), b"old")
        path.unlink()
        assert not tree.holds(of_group(tree), b"old")


def test_pages_of_a_group_get_another_second_each_time(tree: Webroot) -> None:
    seen = set()
    for number in range(5):
        tree.write_pages([group(tree, b"%d" % number)])
        seen |= {etag(path) for page in of_group(tree) for path in (page, twin(page))}
    assert len({second for second, _ in seen}) == 5


def test_a_full_disk_leaves_all_old_pages_of_a_batch_and_no_rubbish(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write_pages([group(tree, b"old")])
    before = files(tree.root)

    def full(_: int) -> int:
        ctypes.set_errno(28)
        return -1

    with monkeypatch.context() as patch:
        patch.setattr(webroot, "_SYNCFS", full)
        with pytest.raises(OSError, match="No space left"):
            tree.write_pages([group(tree, b"new"), group(tree, b"new", "other")])
    assert files(tree.root) == before
    assert tree.holds(of_group(tree), b"old")


def test_everything_is_durable_before_the_first_rename_and_after_the_last(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    replace_path = Path.replace

    def renaming(path: Path, target: Path) -> Path:
        seen.append(target.name)
        return replace_path(path, target)

    def syncing(_: int) -> int:
        seen.append("sync")
        return 0

    monkeypatch.setattr(Path, "replace", renaming)
    monkeypatch.setattr(webroot, "_SYNCFS", syncing)
    tree.write_pages([group(tree, b"one")])
    assert seen == [
        "sync",
        "index.v1_json.gz",
        "index.v1_json",
        "index.html.gz",
        "index.html",
        "sync",
    ]


# --- removing ---


def test_removal_takes_the_empty_folders_but_not_the_root(tree: Webroot) -> None:
    for sha in (SHA, OTHER):
        tree.write(tree.wheel(sha, NAME), b"wheel")
        tree.write(tree.metadata(sha, NAME), b"metadata")
    tree.remove([tree.metadata(SHA, NAME), tree.wheel(SHA, NAME)])
    assert files(tree.root) == {
        f"packages/ab/{OTHER}/{NAME}",
        f"packages/ab/{OTHER}/{NAME}.metadata",
    }
    assert not tree.wheel(SHA, NAME).parent.exists()
    tree.remove([tree.metadata(OTHER, NAME), tree.wheel(OTHER, NAME)])
    assert list(tree.root.iterdir()) == []


def test_removal_keeps_the_order_that_it_is_given(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [tree.root / name for name in ("page", "metadata", "wheel")]
    for path in order:
        tree.write(path, b"content")
    removed: list[Path] = []
    unlink = Path.unlink

    def record(path: Path, missing_ok: bool = False) -> None:
        removed.append(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", record)
    tree.remove(order)
    assert removed == order


def test_what_is_gone_already_may_be_removed_again(tree: Webroot) -> None:
    path = tree.wheel(SHA, NAME)
    tree.write(path, b"wheel")
    path.unlink()
    tree.remove([path])
    tree.remove([path])
    assert list(tree.root.iterdir()) == []


def test_removal_never_leaves_the_tree(tree: Webroot, tmp_path: Path) -> None:
    outside = tmp_path / "other" / "file"
    replace(outside, b"content")
    tree.remove([outside])
    assert outside.parent.is_dir()


# --- while others read and write ---


@contextlib.contextmanager
def meanwhile(*works: "Work") -> Iterator[None]:
    """Do some works over and over in threads of their own; the first error of theirs counts."""
    done = threading.Event()
    errors: list[BaseException] = []

    def run(work: "Work") -> None:
        try:
            while not done.is_set():
                work.step()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


class Work:
    def step(self) -> None:
        raise NotImplementedError


class Reading(Work):
    """Reads a page and its twin, and wants each whole."""

    def __init__(self, page: Path, versions: set[bytes]) -> None:
        self.page, self.versions, self.seen = page, versions, 0

    def step(self) -> None:
        assert self.page.read_bytes() in self.versions
        assert gzip.decompress(twin(self.page).read_bytes()) in self.versions
        self.seen += 1


class Moving(Work):
    """Puts a wheel into the tree and takes it out again."""

    def __init__(self, tree: Webroot, sha: str) -> None:
        self.tree, self.path, self.rounds = tree, tree.wheel(sha, NAME), 0

    def step(self) -> None:
        source = self.tree.root / f"{self.path.parent.name}.part"
        source.write_bytes(b"wheel")
        move_in(source, self.path)
        assert self.path.read_bytes() == b"wheel"
        self.tree.remove([self.path])
        self.rounds += 1


def test_readers_see_whole_pages_while_they_are_rewritten(tree: Webroot) -> None:
    page = tree.root / "index.html"
    versions = [bytes([65 + number]) * 20_000 * (number + 1) for number in range(4)]
    tree.write_page(page, versions[0])
    readers = [Reading(page, set(versions)) for _ in range(3)]
    with meanwhile(*readers):
        for number in itertools.count():
            tree.write_page(page, versions[number % 4])
            if number >= 100 and all(reader.seen >= 100 for reader in readers):
                break
    assert not [name for name in files(tree.root) if ".new-" in name]


def test_folders_may_be_emptied_while_others_fill_them(tree: Webroot) -> None:
    removing = [Moving(tree, OTHER), Moving(tree, "ab" + "2" * 62)]
    adding = Moving(tree, SHA)
    with meanwhile(*removing):
        while adding.rounds < 200 or any(work.rounds < 100 for work in removing):
            adding.step()


# --- crashes ---

WRITER = """
import itertools, sys
from pathlib import Path
from piwheels.webroot import Webroot
page = Path(sys.argv[1])
print("ready", flush=True)
for number in itertools.count():
    Webroot(page.parent).write_page(page, b"%d " % (number % 10) * 50_000)
"""
GROUP_WRITER = """
import itertools, sys
from pathlib import Path
from piwheels.webroot import Webroot
tree = Webroot(Path(sys.argv[1]))
for number in itertools.count():
    content = b"%d " % (number % 10) * 20_000
    tree.write_pages(
        [[(tree.simple(p) / "index.v1_json", content), (tree.simple(p) / "index.html", content)]
         for p in ("demo", "other")]
    )
    print("written", flush=True)
"""
DIES_BEFORE_THE_RENAME = """
import os, signal, sys
from pathlib import Path
from piwheels.webroot import replace
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
replace(Path(sys.argv[1]), b"new")
"""


def test_a_crash_before_the_rename_leaves_the_old_page(tree: Webroot) -> None:
    page = tree.root / "index.html"
    tree.write_page(page, b"old")
    done = subprocess.run([sys.executable, "-c", DIES_BEFORE_THE_RENAME, page], check=False)
    assert done.returncode == -signal.SIGKILL
    assert page.read_bytes() == b"old"
    assert tree.write_page(page, b"new")
    assert page.read_bytes() == b"new"


def test_a_crash_between_twin_and_page_is_mended_by_either_page(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tree.root / "index.html"
    for after in (b"new", b"old"):
        tree.write_page(page, b"old")
        replace(twin(page), gzip.compress(b"new", mtime=0))  # and no further
        tree.write_page(page, after)
        assert page.read_bytes() == after
        assert gzip.decompress(twin(page).read_bytes()) == after


def test_kill_at_any_moment_leaves_whole_files(tree: Webroot) -> None:
    page = tree.root / "index.html"
    versions = {b"%d " % number * 50_000 for number in range(10)}
    seen = set()
    for round_number in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, page], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            while not twin(page).exists() or not page.exists():
                assert process.poll() is None
            threading.Event().wait(0.003 * round_number)  # another moment each time
            process.kill()
        for content in (page.read_bytes(), gzip.decompress(twin(page).read_bytes())):
            assert content in versions
            seen.add(hashlib.sha256(content).digest())
    assert len(seen) > 1


def test_kill_at_any_moment_leaves_whole_pages_of_a_batch_and_tells_torn_groups(
    tree: Webroot,
) -> None:
    versions = [b"%d " % number * 20_000 for number in range(10)]
    seen = set()
    for round_number in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", GROUP_WRITER, tree.root], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(1 + round_number % 4):
                assert process.stdout.readline()
            threading.Event().wait(0.003 * round_number)  # another moment each time
            process.kill()
        for project in ("demo", "other"):
            pages = of_group(tree, project)
            contents = [page.read_bytes() for page in pages]
            contents += [gzip.decompress(twin(page).read_bytes()) for page in pages]
            assert all(content in versions for content in contents)
            assert not tree.holds(pages, contents[1][:2]) or len(set(contents)) == 1
            seen.add(contents[1])
    assert len(seen) > 1
    tree.write_pages([group(tree, b"after"), group(tree, b"after", "other")])
    assert not [name for name in files(tree.root) if "/." in name]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no other file system at hand")
def test_a_wheel_from_another_file_system_moves_in_as_well(tree: Webroot) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        source = Path(elsewhere) / NAME
        source.write_bytes(b"wheel")
        assert source.stat().st_dev != tree.root.stat().st_dev
        move_in(source, tree.wheel(SHA, NAME))
        assert not source.exists()
    assert files(tree.root) == {f"packages/ab/{SHA}/{NAME}"}
    assert tree.wheel(SHA, NAME).read_bytes() == b"wheel"
