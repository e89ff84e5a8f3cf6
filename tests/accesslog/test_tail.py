"""Following logs across rotations, pauses, kills and database outages."""

import gzip
import itertools
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from piwheels.accesslog.logfile import rotated_logs
from piwheels.db.database import Database
from tests.accesslog.assertions import assert_counts, total_downloads
from tests.accesslog.helpers import (
    counted_downloads,
    lines_read,
    piw_process,
    read_files,
    wait_until,
)
from tests.accesslog.log_generator import LogGenerator, download


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(lines)


async def test_lines_are_counted_while_a_log_grows(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    with piw_process(dsn, tmp_path, "--follow", log):
        for number in range(1, 4):
            append(log, download("a"))
            wait_until(lambda: counted_downloads(dsn) == number, "the line is counted")  # noqa: B023
        half = download("b")
        append(log, half[:40])
        append(log, half[40:])
        wait_until(
            lambda: counted_downloads(dsn) == 4, "the line that came in two pieces is counted"
        )
        assert await database.value("SELECT count(*) FROM active_log_readers") == 1
    assert await database.value("SELECT count(*) FROM active_log_readers") == 0
    assert await total_downloads(database) == 4


async def test_a_renamed_and_recreated_log_loses_nothing(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    append(log, download("a"))
    with piw_process(dsn, tmp_path, "--follow", log):
        wait_until(lambda: counted_downloads(dsn) == 1, "the first line is counted")
        with log.open("ab") as still_open:
            log.rename(old)
            append(log, download("b"))
            wait_until(lambda: counted_downloads(dsn) == 2, "the new file is read")
            # The web server has not reopened its log yet.
            still_open.write(download("c"))
        wait_until(lambda: counted_downloads(dsn) == 3, "the old file is still read")
        old.rename(tmp_path / "access.log.2")
        log.rename(old)
        append(log, download("d"))
        wait_until(lambda: counted_downloads(dsn) == 4, "so is a third one")
    read_files(dsn, tmp_path, log, old, tmp_path / "access.log.2")
    assert await total_downloads(database) == 4


async def test_a_copied_and_truncated_log_loses_nothing(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log, copy = tmp_path / "access.log", tmp_path / "access.log.1"
    append(log, *(download("a", number) for number in range(20)))
    with piw_process(dsn, tmp_path, "--follow", log) as process:
        wait_until(lambda: counted_downloads(dsn) == 20, "the log is counted")
        # While nobody reads, the log grows, is copied, emptied, and grows beyond what it was.
        process.send_signal(signal.SIGSTOP)
        append(log, download("b"))
        shutil.copy(log, copy)
        os.truncate(log, 0)
        append(log, *(download("c", number) for number in range(40)))
        process.send_signal(signal.SIGCONT)
        wait_until(
            lambda: counted_downloads(dsn) == 61, "both the copy and the new lines are counted"
        )
    assert await total_downloads(database) == 61


async def test_rotations_during_a_pause_are_read_later(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    unrelated = tmp_path / "access.log.old-backup"
    append(unrelated, download("z"))
    append(log, download("a"))
    with piw_process(dsn, tmp_path, "--follow", log):
        wait_until(lambda: counted_downloads(dsn) == 1, "the first line is counted")
    append(log, download("b"))
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    append(tmp_path / "access.log.1", download("c"))
    append(log, download("d"))
    with piw_process(dsn, tmp_path, "--follow", log):
        wait_until(lambda: counted_downloads(dsn) == 4, "all three files are counted")
    assert await total_downloads(database) == 4


async def test_a_new_tailer_does_not_read_logs_rotated_earlier(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    append(tmp_path / "access.log.1", download("a"))
    append(log, download("b"))
    with piw_process(dsn, tmp_path, "--follow", log):
        wait_until(lambda: counted_downloads(dsn) == 1, "the log is counted")
    assert await total_downloads(database) == 1


@pytest.mark.slow
async def test_a_killed_tailer_counts_each_line_once(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log, traffic = tmp_path / "access.log", LogGenerator(11)
    chunks = _chunks(traffic.lines(40_000))
    chance = random.Random(11)
    for _ in range(6):
        before = lines_read(dsn)
        with piw_process(dsn, tmp_path, "--follow", log) as process:
            append(log, next(chunks), next(chunks))
            wait_until(lambda: lines_read(dsn) > before, "it reads")  # noqa: B023
            append(log, *itertools.islice(chunks, chance.randrange(9)))
            process.kill()
    append(log, *chunks)
    read_files(dsn, tmp_path, log)
    await assert_counts(database, traffic.counts)


def _chunks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks that end anywhere."""
    while batch := list(itertools.islice(lines, 100)):
        data = b"".join(batch)
        yield data[: len(data) // 3]
        yield data[len(data) // 3 :]


async def test_a_database_outage_loses_nothing(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    append(log, download("a"))
    name = conninfo.conninfo_to_dict(dsn)["dbname"]
    admin_dsn = conninfo.make_conninfo(dsn, dbname="postgres")
    with (
        piw_process(dsn, tmp_path, "--follow", log),
        psycopg.connect(admin_dsn, autocommit=True) as admin,
    ):
        wait_until(lambda: counted_downloads(dsn) == 1, "the log is counted")
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        admin.execute(allow.format(sql.Identifier(str(name)), sql.SQL("false")))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        append(log, download("b"))
        wait_until(lambda: b"retrying" in (tmp_path / "said").read_bytes(), "it says so")
        append(log, download("c"))
        admin.execute(allow.format(sql.Identifier(str(name)), sql.SQL("true")))
        wait_until(lambda: counted_downloads(dsn) == 3, "everything is counted")


async def test_several_rotations_between_polls_lose_nothing(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    append(log, download("a"))
    with piw_process(dsn, tmp_path, "--follow", log) as process:
        wait_until(lambda: counted_downloads(dsn) == 1, "the first line is counted")
        process.send_signal(signal.SIGSTOP)
        for number in (3, 2, 1):
            append(log, download("b", number))
            log.rename(tmp_path / f"access.log.{number}")
        packed = tmp_path / "access.log.2"
        packed.with_name("access.log.2.gz").write_bytes(gzip.compress(packed.read_bytes()))
        packed.unlink()
        append(log, download("c"))
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: counted_downloads(dsn) == 5, "every part is counted")
    assert await total_downloads(database) == 5


async def test_a_damaged_rotated_log_does_not_stop_a_tailer(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    append(log, download("a"))
    read_files(dsn, tmp_path, log)
    append(log, download("b"))
    log.rename(tmp_path / "access.log.1")
    packed = gzip.compress(b"".join(download("z", number) for number in range(100)))
    (tmp_path / "access.log.2.gz").write_bytes(packed[:50] + b"\xff" * 50 + packed[100:])
    append(log, download("c"))
    with piw_process(dsn, tmp_path, "--follow", log):
        wait_until(lambda: counted_downloads(dsn) == 3, "all but the damaged part")
        wait_until(lambda: b"is damaged" in (tmp_path / "said").read_bytes(), "it says so")


def test_a_concurrently_renamed_log_does_not_hide_others(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    append(tmp_path / "access.log.1", b"a")
    (tmp_path / "access.log.2").symlink_to(tmp_path / "gone")
    append(tmp_path / "access.log.3", b"b")
    os.utime(tmp_path / "access.log.3", (0, 0))
    assert rotated_logs(log) == [tmp_path / "access.log.3", tmp_path / "access.log.1"]


async def test_an_interrupted_read_of_rotated_logs_is_resumed(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    for number in (4, 3, 2, 1):
        append(tmp_path / f"access.log.{number}", download("a", number), download("b", number))
        os.utime(tmp_path / f"access.log.{number}", (0, 86_400 * (9 - number)))
    append(log, download("c"))
    # All that the one before got to: the third, and half of it.
    half = tmp_path / "access.log.3"
    content = half.read_bytes()
    half.write_bytes(content.splitlines(keepends=True)[0])
    read_files(dsn, tmp_path, half)
    half.write_bytes(content)
    os.utime(half, (0, 86_400 * 6))
    with piw_process(dsn, tmp_path, "--follow", log):
        wait_until(
            lambda: counted_downloads(dsn) == 7, "all but the oldest, which was never asked for"
        )
    assert await total_downloads(database) == 7
