"""What a crash leaves, at any moment."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from piwheels.index.index_publisher import write_pages as write_index_pages
from piwheels.model import IndexPage, ProjectStatus
from piwheels.webroot import Webroot, gz_path, replace_file
from piwheels.webroot.atomic_file import temporary_path
from piwheels.website.page_files import write_pages as write_folder
from tests.webroot.factories import NAME, SHA, files, group, paths_of_group

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
        {p: [(tree.simple_dir(p) / f"index.{kind}", content) for kind in ("v1_json", "html")]
         for p in ("demo", "other")}
    )
    print("written", flush=True)
"""
DIES_BEFORE_THE_RENAME = """
import os, signal, sys
from pathlib import Path
from piwheels.webroot import replace_file
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
replace_file(Path(sys.argv[1]), b"new")
"""


def test_a_crash_before_the_rename_leaves_the_old_page(tree: Webroot) -> None:
    page = tree.root / "index.html"
    tree.write_page(page, b"old")
    done = subprocess.run([sys.executable, "-c", DIES_BEFORE_THE_RENAME, page], check=False)
    assert done.returncode == -signal.SIGKILL
    assert page.read_bytes() == b"old"
    assert tree.write_page(page, b"new")
    assert page.read_bytes() == b"new"


def test_the_next_write_leaves_nothing_of_a_crash(tree: Webroot) -> None:
    page = tree.root / "index.html"
    for content in (b"new", b"new", b"newer"):
        for path in (page, gz_path(page)):
            temporary_path(path).write_bytes(b"left by a crash, and longer than the page")
        tree.write_page(page, content)
        assert page.read_bytes() == content
        assert files(tree.root) == {"index.html", "index.html.gz"}


def test_removing_a_wheel_removes_what_a_crash_left_beside_it(tree: Webroot) -> None:
    metadata = tree.metadata_path(SHA, NAME)
    replace_file(metadata, b"metadata")
    for path in (metadata, tree.wheel_path(SHA, NAME)):
        temporary_path(path).write_bytes(b"left by a crash")
    tree.remove([metadata, tree.wheel_path(SHA, NAME)])
    assert not list(tree.root.iterdir())


def test_pages_that_are_up_to_date_keep_nothing_of_a_crash(tree: Webroot) -> None:
    page = IndexPage(project="demo", status=ProjectStatus.ACTIVE, status_reason="", files=())
    write_index_pages(tree.root, [("demo", page)])
    there = files(tree.root)
    for name in there:
        temporary_path(tree.root / name).write_bytes(b"left by a crash")
    write_index_pages(tree.root, [("demo", page)])
    assert files(tree.root) == there
    folder = tree.root / "project"
    for _ in range(2):
        write_folder(tree, folder, {"index.html": b"page"})
        temporary_path(folder / "index.html").write_bytes(b"left by a crash")
    write_folder(tree, folder, {"index.html": b"page"})
    assert files(folder) == {"index.html", "index.html.gz"}


def test_two_writers_of_one_file_do_not_mix(tree: Webroot, monkeypatch: pytest.MonkeyPatch) -> None:
    truncate = os.ftruncate

    def truncate_slowly(descriptor: int, length: int) -> None:
        truncate(descriptor, length)
        threading.Event().wait(0.005)

    monkeypatch.setattr(os, "ftruncate", truncate_slowly)
    path, contents = tree.root / "file", [b"one" * 50_000, b"two" * 50_000]
    with ThreadPoolExecutor(4) as pool:
        for written in [pool.submit(replace_file, path, contents[n % 2]) for n in range(40)]:
            written.result()
            assert path.read_bytes() in contents
    assert files(tree.root) == {"file"}


@pytest.mark.parametrize("length", [250, 255])
def test_a_long_name_can_be_written(tree: Webroot, length: int) -> None:
    path = tree.root / ("n" * length)
    replace_file(path, b"content")
    assert path.read_bytes() == b"content"


def test_a_crash_between_gz_file_and_page_is_repaired(tree: Webroot) -> None:
    page = tree.root / "index.html"
    for after in (b"new", b"old"):
        tree.write_page(page, b"old")
        replace_file(gz_path(page), gzip.compress(b"new", mtime=0))  # and no further
        tree.write_page(page, after)
        assert page.read_bytes() == after
        assert gzip.decompress(gz_path(page).read_bytes()) == after


@pytest.mark.farm
def test_a_kill_leaves_complete_files(tree: Webroot) -> None:
    page = tree.root / "index.html"
    versions = {b"%d " % number * 50_000 for number in range(10)}
    seen = set()
    for round_number in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, page], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            while not gz_path(page).exists() or not page.exists():
                assert process.poll() is None
            threading.Event().wait(0.003 * round_number)  # another moment each time
            process.kill()
        for content in (page.read_bytes(), gzip.decompress(gz_path(page).read_bytes())):
            assert content in versions
            seen.add(hashlib.sha256(content).digest())
    assert len(seen) > 1


@pytest.mark.farm
def test_a_kill_leaves_complete_pages_and_detectable_groups(
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
            pages = paths_of_group(tree, project)
            contents = [page.read_bytes() for page in pages]
            contents += [gzip.decompress(gz_path(page).read_bytes()) for page in pages]
            assert all(content in versions for content in contents)
            assert not tree.has_marked_pages(pages, contents[1][:2]) or len(set(contents)) == 1
            seen.add(contents[1])
    assert len(seen) > 1
    tree.write_pages({"demo": group(tree, b"after"), "other": group(tree, b"after", "other")})
    assert not [name for name in files(tree.root) if "/." in name]
