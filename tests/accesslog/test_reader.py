"""Files read into a real database: each line once, under any name and compression."""

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from piwheels.accesslog import reader
from piwheels.accesslog.logfile import LogFile
from piwheels.db import access_log_positions, downloads
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from tests.accesslog.assertions import assert_counts, total_downloads
from tests.accesslog.conftest import Read, new_context, read_with
from tests.accesslog.log_generator import DAY, LogGenerator, combined, download, wheel_path


async def test_a_log_gives_the_figures_of_its_generator(
    read: Read, database: Database, tmp_path: Path
) -> None:
    traffic, log = LogGenerator(1), tmp_path / "access.log"
    log.write_bytes(b"".join(traffic.lines(20_000)))
    await read(log)
    await assert_counts(database, traffic.counts)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
async def test_a_compressed_copy_is_the_same_log(
    read: Read, database: Database, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    traffic = LogGenerator(2)
    content = b"".join(traffic.lines(3000))
    (tmp_path / "access.log").write_bytes(content)
    (tmp_path / "access.log.1.packed").write_bytes(pack(content))
    await read(tmp_path / "access.log.1.packed")
    await read(tmp_path / "access.log")
    await read(tmp_path / "access.log.1.packed")
    await assert_counts(database, traffic.counts)


async def test_a_log_that_grew_under_another_name_is_resumed(
    read: Read, database: Database, tmp_path: Path
) -> None:
    traffic = LogGenerator(3)
    lines = list(traffic.lines(9000))
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(lines[:5000]))
    await read(log)
    with log.open("ab") as file:
        file.writelines(lines[5000:])
    (tmp_path / "old.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    await read(tmp_path / "old.gz")
    await assert_counts(database, traffic.counts)


@pytest.mark.parametrize("size", [2000, 5000, 1024 * 1024])
async def test_blocks_may_end_anywhere(
    read: Read,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    traffic, log = LogGenerator(4), tmp_path / "access.log"
    log.write_bytes(b"".join(traffic.lines(40 if size < 5000 else 4000)))
    monkeypatch.setattr(reader, "BLOCK_BYTES", 3 * size)
    monkeypatch.setattr(reader, "PIECE_BYTES", size)
    await read(log)
    await read(log)
    await assert_counts(database, traffic.counts)


async def test_logs_with_the_same_start_are_distinguished(
    read: Read, database: Database, tmp_path: Path
) -> None:
    first, second, third, fourth = (download(name) for name in "abcd")
    logs = {
        "one": [first, second, third],
        "two": [first, fourth],
        "three": [first, second, fourth],
        "a shorter copy of one": [first, second],
    }
    for name, lines in logs.items():
        (tmp_path / name).write_bytes(b"".join(lines))
        await read(tmp_path / name)
    assert await total_downloads(database) == 3 + 2 + 3


async def test_a_shorter_copy_that_grows_is_resumed(
    read: Read, database: Database, tmp_path: Path
) -> None:
    lines = [download(name) for name in "abcd"]
    log, copy = tmp_path / "log", tmp_path / "copy"
    log.write_bytes(b"".join(lines[:3]))
    await read(log)
    copy.write_bytes(b"".join(lines[:2]))
    await read(copy)
    copy.write_bytes(b"".join(lines))
    await read(copy)
    assert await total_downloads(database) == 4


async def test_a_complete_last_line_without_a_newline_is_counted(
    read: Read, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_bytes(download("a") + download("b").rstrip(b"\n"))
    await read(log)
    assert await total_downloads(database) == 2
    with log.open("ab") as file:
        file.write(b"\n" + download("c")[:50])
    await read(log)
    assert await total_downloads(database) == 2
    with log.open("ab") as file:
        file.write(download("c")[50:])
    await read(log)
    assert await total_downloads(database) == 3
    assert await database.value("SELECT sum(rejected_lines)::int FROM ingested_logs") == 0


async def test_an_endless_line_is_one_rejected_line(
    read: Read, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PIECE_BYTES", 4_000)
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 10_000)
    log = tmp_path / "log"
    log.write_bytes(download("a") + b"x" * 55_000 + b"\n" + download("b"))
    await read(log)
    assert await total_downloads(database) == 2
    assert await database.row("SELECT lines, rejected_lines FROM ingested_logs") == {
        "lines": 3,
        "rejected_lines": 1,
    }


async def test_a_damaged_compressed_log_is_read_up_to_the_damage_and_later_completely(
    read: Read, database: Database, tmp_path: Path
) -> None:
    traffic, log = LogGenerator(5), tmp_path / "log.gz"
    packed = gzip.compress(b"".join(traffic.lines(5000)))
    log.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(RejectedError, match="damaged"):
        await read(log)
    log.write_bytes(packed)
    await read(log)
    await assert_counts(database, traffic.counts)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
async def test_a_corrupt_compressed_log_is_rejected_in_one_line(
    read: Read, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    log = tmp_path / "log.packed"
    packed = pack(b"".join(LogGenerator(8).lines(5000)))
    middle = len(packed) // 2
    log.write_bytes(packed[:middle] + b"\xff" * 20 + packed[middle + 20 :])
    with pytest.raises(RejectedError, match="damaged"):
        await read(log)


async def test_a_log_may_have_an_undecodable_name(
    read: Read, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / os.fsdecode(b"caf\xe9.log")
    log.write_bytes(download("a"))
    await read(log)
    await read(log)
    assert await total_downloads(database) == 1
    assert await database.value("SELECT name FROM ingested_logs") == f"{tmp_path}/caf\ufffd.log"


async def test_a_late_line_counts_on_its_own_day(
    read: Read, database: Database, tmp_path: Path
) -> None:
    today = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
    for number, late in enumerate((timedelta(), timedelta(days=40))):
        log = tmp_path / str(number)
        log.write_bytes(download("a", at=today) + download("a", at=today - late))
        await read(log)
    days = {day.day: day.downloads for day in await downloads.per_day(database)}
    assert days == {DAY: 3, DAY - timedelta(days=40): 1}
    assert [day.downloads for day in (await downloads.project_days(database, ["a"]))["a"]] == [1, 3]


async def test_totals_are_kept_longer_than_access_records(
    read: Read, database: Database, tmp_path: Path
) -> None:
    traffic, log = LogGenerator(6), tmp_path / "log"
    log.write_bytes(b"".join(traffic.lines(2000)))
    await read(log)
    assert await access_log_positions.drop_partitions(
        database, DAY.replace(month=DAY.month + 1)
    ) == ["access_records_2026_03"]
    assert await database.value("SELECT count(*) FROM access_records") == 0
    assert await total_downloads(database) == sum(traffic.counts.downloads.values())
    await read(log)
    assert await total_downloads(database) == sum(traffic.counts.downloads.values())


async def test_expired_days_get_no_access_records(database: Database, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(download("a", at=datetime(2020, 1, 1, tzinfo=UTC)) + download("a"))
    context = new_context(database, tmp_path)
    context.rows_since = lambda: DAY.replace(day=1)
    await read_with(context, log)
    assert await total_downloads(database) == 2
    assert await database.value("SELECT count(*) FROM access_records") == 1


async def test_rejected_lines_are_counted_and_sampled_without_addresses(
    read: Read, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        download("a") + b"192.0.2.77 what is this\nand fe80::1:2 this\n" + download("b")
    )
    await read(log)
    assert await database.row("SELECT lines, rejected_lines FROM ingested_logs") == {
        "lines": 4,
        "rejected_lines": 2,
    }
    sample = (tmp_path / "broken.log").read_bytes()
    assert sample == b"ADDRESS what is this\nand ADDRESS this\n"


async def test_no_table_contains_an_address(read: Read, database: Database, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(download("a", address="203.0.113.99"))
    await read(log)
    tables = await database.rows(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        text = await database.value(
            f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table['relname']} t"
        )
        assert "203.0.113.99" not in text
        assert b"203.0.113.99".hex() not in text


async def test_a_days_key_is_deleted_and_its_clients_stay_counted(
    read: Read, database: Database, tmp_path: Path
) -> None:
    noon = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
    for number in range(5):
        log = tmp_path / str(number)
        at = noon + timedelta(days=number)
        log.write_bytes(download("a", at=at) + download("a", at=at, address="192.0.2.2"))
        await read(log)
        await access_log_positions.delete_expired_keys(database)
    assert await database.value("SELECT count(key) FROM daily_address_keys") == 3
    assert await database.value("SELECT count(DISTINCT day) FROM daily_client_hashes") == 3
    late = tmp_path / "late"
    late.write_bytes(download("b", at=noon, address="192.0.2.3"))
    await read(late)
    days = await downloads.per_day(database)
    assert [day.clients for day in days] == [2] * 5, "a day that is over counts no more clients"
    assert days[0].downloads == 3


async def test_the_same_client_on_two_days_has_two_hashes(
    read: Read, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    noon = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
    log.write_bytes(b"".join(download("a", at=noon + timedelta(days=n)) for n in (0, 0, 1)))
    await read(log)
    rows = await database.rows("SELECT DISTINCT client_hash FROM access_records")
    assert len(rows) == 2


async def test_untrusted_clients_cannot_fill_the_breakdowns(
    read: Read, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(download("a", agent=f"pip/{n}.{n}") for n in range(2000)))
    await read(log)
    shares = await downloads.breakdown(database, downloads.Dimension.INSTALLER)
    assert len(shares) == 501
    assert (shares[0].name, shares[0].count) == ("other", 1500)


async def test_pages_json_and_logs_have_counts_of_their_own(
    read: Read, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    paths = [
        "/simple/", "/simple/numpy/", "/project/numpy/", "/project/numpy/json",
        "/packages.json", "/logs/0000/0001/1.txt.gz", "/", "/static/style.css",
    ]  # fmt: skip
    log.write_bytes(b"".join(combined(path) for path in paths))
    await read(log)
    (day,) = await downloads.per_day(database)
    assert (day.index_hits, day.project_pages, day.json_pages) == (2, 1, 2)
    assert (day.log_pages, day.others, day.downloads) == (1, 2, 0)


async def test_two_readers_count_a_log_once(database: Database, tmp_path: Path) -> None:
    traffic, log = LogGenerator(7), tmp_path / "log"
    log.write_bytes(b"".join(traffic.lines(1000)))
    shutil.copy(log, tmp_path / "copy")
    context = new_context(database, tmp_path)
    with LogFile(log) as one, LogFile(tmp_path / "copy") as other:
        first, second = reader.LogReader(context, one), reader.LogReader(context, other)
        # Both recognize the log before either has written of it.
        assert await first._identify(last=False)
        assert await second._identify(last=False)
        await first.read_to_end()
        await second.read_to_end()
    await assert_counts(database, traffic.counts)


async def test_an_interrupted_download_is_not_counted(
    read: Read, database: Database, tmp_path: Path
) -> None:
    """If the size of the wheel is known, and the log has the bytes sent."""
    known = wheel_path("a").rpartition("/")[2]
    await database.execute("SET session_replication_role = replica")  # a file alone
    await database.execute(
        """
        INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, compatibility_id,
                           requires_python, debian_packages, project, version, build_id)
        VALUES (%(filename)s, '', 5000, '', '', '', '{}', 'a', '1', 1)
        """,
        {"filename": known},
    )
    log = tmp_path / "log"
    log.write_bytes(
        b"".join(combined(wheel_path("a"), size=size) for size in (0, 4999, 5000, 5300))
        + download("elsewhere")
    )
    await read(log)
    assert await total_downloads(database) == 3
    assert await database.value("SELECT sum(others)::int FROM downloads_daily") == 2
    assert await database.value("SELECT counted_bytes FROM downloads_daily") == 5000 + 5300 + 1000
