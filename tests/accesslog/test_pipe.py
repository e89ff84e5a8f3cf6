"""Pipes: spooled to disk, counted once, dropped only beyond the maximum size."""

import asyncio
import bz2
import gzip
import lzma
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from piwheels.accesslog import spool as spool_module
from piwheels.accesslog.hash_chain import CHECKPOINT_SPACING_BYTES
from piwheels.accesslog.reader import LogReader
from piwheels.accesslog.service import resume_stream
from piwheels.accesslog.spool import Segments, Spool
from piwheels.db.database import Database
from tests.accesslog.assertions import assert_counts, total_downloads
from tests.accesslog.conftest import new_context, read_with
from tests.accesslog.helpers import (
    command,
    counted_downloads,
    environment,
    lines_read,
    piw_process,
    read_files,
    read_pipe,
    wait_until,
)
from tests.accesslog.log_generator import LogGenerator, download
from tests.crashes.web_server import bytes_in_pipe
from tests.full_disk import file_size_limit
from tests.timeouts import WAIT_S


def left(folder: Path) -> list[str]:
    return sorted(entry.name for entry in (folder / "spool").iterdir() if "log" not in entry.name)


async def test_a_pipe_is_counted_and_leaves_no_files(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    traffic = LogGenerator(21)
    message = read_pipe(dsn, tmp_path, b"".join(traffic.lines(20_000)))
    assert f"{traffic.counts.lines:,} lines" in message
    assert left(tmp_path) == []
    await assert_counts(database, traffic.counts)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
async def test_a_pipe_may_be_compressed(
    dsn: str, database: Database, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """Also several compressed files one after the other, as for `zcat`."""
    traffic = LogGenerator(28)
    lines = list(traffic.lines(4000))
    content = pack(b"".join(lines[:3000])) + pack(b"".join(lines[3000:]))
    assert f"{traffic.counts.lines:,} lines" in read_pipe(dsn, tmp_path, content)
    await assert_counts(database, traffic.counts)


async def test_a_damaged_compressed_pipe_is_rejected(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    content = gzip.compress(b"".join(download("a", number) for number in range(100)))
    done = await asyncio.to_thread(
        subprocess.run,
        command(),
        env=environment(dsn, tmp_path),
        input=content[:-20],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"piw: standard input cannot be read further: ")
    assert await database.value("SELECT sum(rejected_lines)::int FROM ingested_logs") in {None, 0}


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("magic", [b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\x1f\x9d"])
async def test_an_unsupported_compression_is_rejected_with_a_solution(
    dsn: str, database: Database, tmp_path: Path, magic: bytes, *, piped: bool
) -> None:
    """Read as text, it would only give rejected lines, with exit status 0."""
    packed = tmp_path / "log"
    packed.write_bytes(magic + b"\n".join([bytes(range(256))] * 20))
    with packed.open("rb") as stdin:
        done = await asyncio.to_thread(
            subprocess.run,
            command(*([] if piped else [packed])),
            env=environment(dsn, tmp_path),
            stdin=stdin if piped else subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert b"FILE | piw accesslog`" in done.stderr
    assert await total_downloads(database) == 0


async def test_a_repeated_log_is_not_counted_again(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    """Also if the content is longer than a segment."""
    traffic = LogGenerator(22)
    log = tmp_path / "log"
    log.write_bytes(b"".join(traffic.lines(52_000)))
    assert log.stat().st_size > 2 * spool_module._SEGMENT_BYTES
    for _ in range(2):
        with log.open("rb") as stdin, piw_process(dsn, tmp_path, stdin=stdin) as process:
            assert process.wait(WAIT_S) == 0
    assert read_files(dsn, tmp_path, log)["lines"] == 0
    assert left(tmp_path) == []
    await assert_counts(database, traffic.counts)


@pytest.mark.slow
async def test_a_repeated_log_may_exceed_the_spool_size(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    traffic, log = LogGenerator(27), tmp_path / "log"
    lines = list(traffic.lines(8000))
    log.write_bytes(b"".join(lines[:7000]))
    assert log.stat().st_size > 3 * 2**20
    read_files(dsn, tmp_path, log)
    log.write_bytes(b"".join(lines))
    with (
        log.open("rb") as stdin,
        piw_process(dsn, tmp_path, stdin=stdin, PIWHEELS_ACCESSLOG_SPOOL_MAX_MB="1") as process,
    ):
        assert process.wait(WAIT_S) == 0
    assert left(tmp_path) == []
    await assert_counts(database, traffic.counts)


async def test_the_rest_of_a_killed_reader_is_counted_by_the_next(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    traffic = LogGenerator(23)
    lines = list(traffic.lines(60_000))
    sent = 0
    for share in (10_000, 30_000, 10_000):
        with piw_process(dsn, tmp_path, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            before = lines_read(dsn)
            process.stdin.write(b"".join(lines[sent : sent + share]))
            process.stdin.flush()
            sent += share
            wait_until(lambda: lines_read(dsn) > before, "it reads")  # noqa: B023
            # This pipe is closed with its reader: what it has stored counts.
            wait_until(lambda: _taken(process), "the pipe is empty")
            process.kill()
    read_pipe(dsn, tmp_path, b"".join(lines[sent:]))
    assert left(tmp_path) == []
    await assert_counts(database, traffic.counts)


def _taken(process: "subprocess.Popen[bytes]") -> bool:
    assert process.stdin is not None
    return not bytes_in_pipe(process.stdin.fileno())


async def test_lines_are_spooled_during_a_database_outage(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    name = str(conninfo.conninfo_to_dict(dsn)["dbname"])
    admin_dsn = conninfo.make_conninfo(dsn, dbname="postgres")
    traffic = LogGenerator(24)
    content = b"".join(traffic.lines(5000))
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        with piw_process(dsn, tmp_path, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(content)
            process.stdin.flush()
            wait_until(
                lambda: (
                    sum(entry.stat().st_size for entry in (tmp_path / "spool").iterdir())
                    == len(content)
                ),
                "all lines lie on disk",
            )
            admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
            wait_until(lambda: lines_read(dsn) == traffic.counts.lines, "all are read")
            process.stdin.close()
            assert process.wait(WAIT_S) == 0
    await assert_counts(database, traffic.counts)


@pytest.mark.slow
async def test_lines_beyond_the_spool_size_are_dropped_and_reported(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    name = str(conninfo.conninfo_to_dict(dsn)["dbname"])
    admin_dsn = conninfo.make_conninfo(dsn, dbname="postgres")
    count = 6000
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        with piw_process(
            dsn, tmp_path, stdin=subprocess.PIPE, PIWHEELS_ACCESSLOG_SPOOL_MAX_MB="1"
        ) as process:
            assert process.stdin is not None
            for number in range(count):
                process.stdin.write(download("a", number))
            process.stdin.flush()
            wait_until(lambda: b"are dropped" in (tmp_path / "said").read_bytes(), "it says so")
            admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
            wait_until(lambda: counted_downloads(dsn), "the database is back")
            # More than may wait; what is committed makes room for it.
            content = b"".join(download("b", number) for number in range(count))
            writer = threading.Thread(target=process.stdin.write, args=(content,), daemon=True)
            writer.start()
            writer.join(120)
            assert not writer.is_alive(), "all of it is taken"
            process.stdin.close()
            assert process.wait(WAIT_S) == 0
    event = await database.value("SELECT text FROM events WHERE who = 'accesslog'")
    dropped = int(str(event).split()[1])
    assert dropped > 0
    assert await total_downloads(database) + dropped == 2 * count
    assert await database.value("SELECT sum(rejected_lines)::int FROM ingested_logs") == 0


async def test_a_stopped_reader_leaves_the_rest_to_the_next(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    with piw_process(dsn, tmp_path, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(download("a"))
        process.stdin.flush()
        wait_until(lambda: counted_downloads(dsn) == 1, "it reads")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    read_pipe(dsn, tmp_path, b"")
    assert await total_downloads(database) == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize("share", [0.6, 0.9, 1.0])
async def test_the_rest_of_a_killed_reader_is_recognized_after_it_was_read_as_a_file(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """The first segments are committed and deleted."""
    monkeypatch.setattr(spool_module, "_SEGMENT_BYTES", CHECKPOINT_SPACING_BYTES)
    traffic, folder, log = LogGenerator(25), tmp_path / "spool", tmp_path / "log"
    content = b"".join(traffic.lines(6000))
    folder.mkdir()
    killed = Segments(folder, "abc-1")
    half = content.index(b"\n", len(content) // 2) + 1
    killed.append(content[:half])
    await LogReader(new_context(database, tmp_path), killed).read_new()
    assert killed.first_position > 0
    killed.append(content[half : content.index(b"\n", int(len(content) * 0.8)) + 1])
    log.write_bytes(content[: int(len(content) * share)])
    await read_with(new_context(database, tmp_path), log)
    context = new_context(database, tmp_path)
    with spool_module.orphaned_streams(folder) as (left,):
        reader = LogReader(context, left)
        await resume_stream(context, reader, left)
        await reader.read_new(last=True)
    log.write_bytes(content)
    await read_with(new_context(database, tmp_path), log)
    await assert_counts(database, traffic.counts)


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_segments_return_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(spool_module, "_SEGMENT_BYTES", 1000)
    content = b"".join(b"%d" % number * (number % 40) + b"\n" for number in range(300))
    segments = Segments(tmp_path, "abc-1")
    for start in range(0, len(content), piece):
        segments.append(content[start : start + piece])
    read = b""
    while data := segments.read(333):
        read += data
        segments.acknowledge(len(read) // 2)
    assert read == content
    assert len(list(tmp_path.iterdir())) < len(content) / 1000
    rest = Segments(tmp_path, "abc-1")
    assert rest.first_position > 0
    assert content[rest.first_position - 1 : rest.first_position] == b"\n"
    rest.rewind()
    assert rest.read(10) == content[rest.first_position : rest.first_position + 10]
    segments.remove()
    assert list(tmp_path.iterdir()) == []


def test_lines_are_dropped_on_a_full_disk_and_later_lines_are_stored(
    tmp_path: Path,
) -> None:
    """A line that is cut becomes a rejected line, and never a part of the next one."""
    spool = Spool(tmp_path / "spool", 2**30)
    reading, writing = os.pipe()

    def pipe_in(data: bytes, dropped: int = 0) -> None:
        end = spool.segments.end + (0 if dropped else len(data))
        os.write(writing, data)
        wait_until(
            lambda: spool.dropped_lines == dropped and spool.segments.end >= end,
            "it was taken",
        )

    spool.start(reading)
    pipe_in(b"first\nsec")
    with file_size_limit(12):
        pipe_in(b"ond\nthird\n", dropped=2)
    pipe_in(b"fourth\n", dropped=2)
    os.close(writing)
    assert spool.ended.wait(WAIT_S)
    assert spool.segments.read(1000) == b"first\nsecond\nfourth\n"
    assert "(accesslog.spool_dir): File too large" in spool.problem
    spool.close()
    os.close(reading)


async def test_lines_lost_to_a_full_disk_are_reported(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    limit = ["prlimit", "--fsize=2000000", "--"]
    content = b"".join(download("a", number) for number in range(20_000))
    done = await asyncio.to_thread(
        subprocess.run,
        [*limit, *command()],
        env=environment(dsn, tmp_path),
        input=content,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    lost = re.search(rb"File too large; (\d+) lines were lost", done.stderr)
    assert lost is not None
    assert await total_downloads(database) + int(lost[1]) == 20_000
    assert int(lost[1]) > 0
    event = await database.value("SELECT text FROM events WHERE who = 'accesslog'")
    assert "lines of an access log: " in event
    assert "File too large" in event
