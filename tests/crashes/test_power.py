"""What is written survives a loss of power at every moment, by the rules of ext4 and of POSIX."""

import gzip
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from piwheels.builder.job_dir import JobDir
from piwheels.cli.edit_config import replace_text
from piwheels.protocol.keys import KeyStore
from piwheels.protocol.messages import BuildFinished
from piwheels.webroot import Webroot, gz_path, replace_file
from tests.crashes.disk import Disk, Found, Ordering, Record, read_journal
from tests.crashes.farm import compile_recorder
from tests.crashes.scripts import BUILD, JOB

pytestmark = pytest.mark.farm

Crash = Callable[..., "Recorded"]


class Recorded:
    """What a process did, and what a loss of power leaves of it."""

    def __init__(self, disks: list[Disk], records: list[Record]) -> None:
        self._disks, self._records = disks, records

    def cuts(self, each: int = 8) -> Iterator[Found]:
        """The folder after a loss of power at every moment."""
        chance = random.Random(1)
        for disk in self._disks:
            for record in self._records:
                disk.replay(record)
                yield from (disk.cut(chance) for _ in range(each))

    def ends(self, each: int = 30) -> Iterator[Found]:
        """The folder after a loss of power when the process had ended."""
        chance = random.Random(1)
        for disk in self._disks:
            for record in self._records:
                disk.replay(record)
            yield from (disk.cut(chance) for _ in range(each))


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_recorder(tmp_path_factory.mktemp("recorder"))


@pytest.fixture
def crash(recorder: Path, tmp_path: Path) -> Crash:
    """Runs functions of tests.crashes.scripts, each in a process, with a folder."""

    def run(folder: Path, *functions: str) -> Recorded:
        disks = [Disk(folder, ordering) for ordering in Ordering]
        journal = tmp_path / "journal"
        environ = {
            "LD_PRELOAD": str(recorder),
            "CRASH_ROOT": str(folder),
            "CRASH_JOURNAL": str(journal),
        }
        for function in functions:
            command = [sys.executable, "-m", "tests.crashes.scripts", function, str(folder)]
            subprocess.run(command, check=True, env=os.environ | environ)
        return Recorded(disks, list(read_journal(journal)))

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "disk"
    made.mkdir()
    return made


def content(found: Found, path: Path) -> bytes:
    return found.files[path].content if path in found.files else b"missing"


def test_what_is_not_synced_is_lost_or_torn(folder: Path, crash: Crash) -> None:
    """Otherwise the other tests would prove nothing."""
    path = folder / "file"
    path.write_bytes(b"old")
    seen = {content(found, path) for found in crash(folder, "write_without_sync").cuts(60)}
    assert {b"old", b"new" * 1000, b""} <= seen
    assert any(bytes(10) in one for one in seen), "its size, and not its blocks"


def test_a_file_is_the_old_or_the_new_one_and_then_the_new_one(folder: Path, crash: Crash) -> None:
    path = folder / "file"
    replace_file(path, b"old")
    recorded = crash(folder, "replace")
    assert {content(found, path) for found in recorded.cuts()} == {b"old", b"new" * 1000}


def test_a_replaced_file_stays(folder: Path, crash: Crash) -> None:
    path = folder / "new/file"
    recorded = crash(folder, "replace_in_new_folder")
    assert {content(found, path) for found in recorded.ends()} == {b"new" * 1000}


def test_pages_are_whole_and_stay(folder: Path, crash: Crash) -> None:
    page = Webroot(folder).simple_dir("demo") / "index.html"
    Webroot(folder).write_pages({"demo": [(page, b"old")]})
    recorded = crash(folder, "write_pages")
    for found in recorded.cuts():
        assert content(found, page) in {b"old", b"new" * 1000}
        assert gzip.decompress(content(found, gz_path(page))) in {b"old", b"new" * 1000}


def test_written_pages_and_wheels_stay(folder: Path, crash: Crash) -> None:
    page = Webroot(folder).simple_dir("demo") / "index.html"
    recorded = crash(folder, "write_pages", "install")
    for found in recorded.ends():
        assert content(found, page) == b"new" * 1000
        assert content(found, folder / "packages/wheel") == b"new" * 1000


def test_a_page_that_a_killed_process_renamed_is_synced_before_it_counts(
    folder: Path, crash: Crash
) -> None:
    """The page is up to date, and so it is marked as written; it must not become the old one again."""
    path = folder / "file"
    replace_file(path, b"old")
    recorded = crash(folder, "write_and_die_before_the_sync", "write_the_same")
    assert {content(found, path) for found in recorded.ends()} == {b"new" * 1000}


@pytest.mark.parametrize(
    "functions",
    [("remove_wheel",), ("remove_wheel_and_die_before_the_sync", "remove_wheel")],
    ids=["at once", "after a kill"],
)
def test_a_wheel_that_was_deleted_stays_deleted_with_its_folder(
    folder: Path, crash: Crash, functions: tuple[str, ...]
) -> None:
    """Nothing would delete it again: the database no longer lists it."""
    (folder / "packages/aa").mkdir(parents=True)
    (folder / "packages/aa/wheel").write_bytes(b"old")
    for found in crash(folder, *functions).ends():
        assert not found.files
        assert list(found.folders) == [folder]


def test_a_result_of_a_build_means_that_its_wheel_and_log_are_whole(
    folder: Path, crash: Crash
) -> None:
    jobs = JobDir(folder / "jobs/0")
    kept = 0
    for found in crash(folder, "finish_build").cuts():
        result = content(found, jobs.folder / "result.msgpack")
        if result == b"missing":
            continue
        kept += 1
        assert msgspec.msgpack.decode(result, type=BuildFinished) == BUILD
        assert content(found, jobs.wheel_path("demo-1-py3-none-any.whl")) == b"new" * 1000
        assert content(found, jobs.folder / "log") == b"a line\n"
        assert content(found, jobs.folder / "job.msgpack") == msgspec.msgpack.encode(JOB)
    assert kept


def test_a_finished_build_stays(folder: Path, crash: Crash) -> None:
    result = folder / "jobs/0/result.msgpack"
    assert all(result in found.files for found in crash(folder, "finish_build").ends())


def test_a_key_that_was_generated_stays(folder: Path, crash: Crash) -> None:
    recorded = crash(folder, "generate_key")
    pair = KeyStore(folder / "keys").require("builder")
    for found in recorded.ends():
        assert any(pair.secret.encode() in file.content for file in found.files.values())


def test_a_configuration_is_whole_and_stays(folder: Path, crash: Crash) -> None:
    file = folder / "piwheels.toml"
    replace_text(file, "old")
    recorded = crash(folder, "write_config")
    assert {content(found, file) for found in recorded.cuts()} == {b"old", b"new" * 1000}


def test_a_configuration_that_was_written_stays(folder: Path, crash: Crash) -> None:
    file = folder / "piwheels.toml"
    replace_text(file, "old")
    recorded = crash(folder, "write_config")
    assert {content(found, file) for found in recorded.ends()} == {b"new" * 1000}


def test_a_root_that_is_there_is_whole(folder: Path, crash: Crash) -> None:
    """A builder would take a root with empty files for the system to build on."""
    kept = 0
    for found in crash(folder, "publish_root").cuts():
        for record in (path for path in found.files if path.name == "root.json"):
            if not record.parent.name.startswith("."):
                kept += 1
                assert content(found, record.parent / "system/libc.so") == b"new" * 1000
    assert kept


def test_files_of_accesses_stay(folder: Path, crash: Crash) -> None:
    file = folder / "2026/day.parquet"
    recorded = crash(folder, "write_and_make_durable")
    assert {content(found, file) for found in recorded.ends()} == {b"new" * 1000}
