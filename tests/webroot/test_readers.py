"""What others see who read and write at the same time."""

import contextlib
import gzip
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

from piwheels.webroot import Webroot, gz_path, install_file
from tests.webroot.factories import NAME, OTHER, SHA, files


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
        assert gzip.decompress(gz_path(self.page).read_bytes()) in self.versions
        self.seen += 1


class Moving(Work):
    """Puts a wheel into the tree and takes it out again."""

    def __init__(self, tree: Webroot, sha: str) -> None:
        self.tree, self.path, self.rounds = tree, tree.wheel_path(sha, NAME), 0

    def step(self) -> None:
        source = self.tree.root / f"{self.path.parent.name}.part"
        source.write_bytes(b"wheel")
        install_file(source, self.path)
        assert self.path.read_bytes() == b"wheel"
        self.tree.remove([self.path])
        self.rounds += 1


def test_readers_see_complete_pages_during_rewrites(tree: Webroot) -> None:
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


def test_directories_may_be_emptied_while_they_are_filled(tree: Webroot) -> None:
    removing = [Moving(tree, OTHER), Moving(tree, "ab" + "2" * 62)]
    adding = Moving(tree, SHA)
    with meanwhile(*removing):
        while adding.rounds < 200 or any(work.rounds < 100 for work in removing):
            adding.step()
