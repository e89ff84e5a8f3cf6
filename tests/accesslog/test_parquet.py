"""Old accesses are moved to Parquet files: all of them, once, whatever ends the export."""

import asyncio
import contextlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from piwheels.accesslog import parquet_export, parquet_files, service
from piwheels.accesslog.access_files import AccessFiles
from piwheels.accesslog.access_questions import KEYS, count_by
from piwheels.accesslog.log_formats import LogFormat
from piwheels.accesslog.parquet_export import delete_expired_files, export_accesses
from piwheels.config import Config
from piwheels.db.database import Database
from piwheels.db.exported_accesses import (
    AccessCount,
    exported_days,
    finish_month,
    waiting_accesses,
)
from piwheels.errors import ConfigError, RejectedError
from tests.accesslog.conftest import Read
from tests.accesslog.helpers import environment
from tests.accesslog.log_generator import LogGenerator, download
from tests.requires import requires_module
from tests.timeouts import WAIT_S

pytestmark = requires_module("duckdb")
FIRST, LAST = date(2025, 12, 30), date(2026, 1, 2)
JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)
ALL_TIME = (date(2025, 1, 1), date(2026, 12, 31))


async def read_days(read: Read, folder: Path) -> None:
    """Read the logs of four days, of which two are in each month."""
    for number in range(4):
        log = folder / f"{number}.log"
        day = FIRST + timedelta(days=number)
        log.write_bytes(b"".join(LogGenerator(number, day=day, projects=20).lines(400)))
        await read(log)


async def answers(database: Database, place: Path | AccessFiles) -> dict[str, list[AccessCount]]:
    files = AccessFiles(place) if isinstance(place, Path) else place
    return {key: await count_by(database, files, key, *ALL_TIME) for key in KEYS}


async def rows(database: Database) -> int:
    return int(await database.value("SELECT count(*) FROM access_records"))


async def test_every_answer_is_the_same_before_and_after(
    database: Database, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    before = await answers(database, files)
    total = await rows(database)
    assert sum(count.downloads for count in before["project"]) > 0
    moved = await export_accesses(database, AccessFiles(files), JANUARY)
    assert 0 < moved < total
    assert await rows(database) == total - moved
    assert await answers(database, files) == before  # a part in files, a part in the database
    assert await export_accesses(database, AccessFiles(files), FEBRUARY) == total - moved
    assert await rows(database) == 0
    assert await answers(database, files) == before
    assert [day.day for day in await exported_days(database)] == [
        FIRST + timedelta(days=number) for number in range(4)
    ]
    assert not list(files.rglob("*.tmp"))
    for month in ("2025_12", "2026_01"):
        partition = f"access_records_{month}"
        assert await database.value("SELECT to_regclass(%(name)s) IS NULL", {"name": partition})


async def test_a_project_that_is_not_that_of_its_file_name_is_kept(
    database: Database, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    await database.execute("UPDATE downloaded_wheels SET project = 'other' WHERE wheel_id % 3 = 0")
    before = await answers(database, tmp_path / "files")
    assert {"other"} < {count.key for count in before["project"]}
    await export_accesses(database, AccessFiles(tmp_path / "files"), FEBRUARY)
    assert await answers(database, tmp_path / "files") == before


async def test_the_totals_of_a_day_are_those_of_the_database(
    database: Database, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    await export_accesses(database, AccessFiles(tmp_path / "files"), FEBRUARY)
    daily = await database.rows(
        "SELECT day, counted, counted_bytes, counted + index_hits + project_pages + json_pages"
        " + log_pages + others AS accesses FROM downloads_daily ORDER BY day"
    )
    counts = await count_by(database, AccessFiles(tmp_path / "files"), "day", *ALL_TIME)
    assert [(it.key, it.downloads, it.bytes, it.accesses) for it in counts] == [
        (str(row["day"]), row["counted"], row["counted_bytes"], row["accesses"]) for row in daily
    ]


async def test_a_client_is_a_number_within_its_day(
    database: Database, read: Read, tmp_path: Path
) -> None:
    import duckdb  # an extra

    await read_days(read, tmp_path)
    hashes = {row["client_hash"] for row in await database.rows("SELECT * FROM access_records")}
    await export_accesses(database, AccessFiles(tmp_path / "files"), FEBRUARY)
    for file in (tmp_path / "files").rglob("*.parquet"):
        found = duckdb.read_parquet(str(file))
        assert "client_hash" not in found.columns
        values = {value for row in found.fetchall() for value in row}
        assert not values & (hashes - {None})
        numbers = {row[0] for row in found.project("client").distinct().fetchall()}
        assert numbers == set(range(1, len(numbers) + 1))


async def test_the_period_is_respected(database: Database, read: Read, tmp_path: Path) -> None:
    await read_days(read, tmp_path)
    await export_accesses(database, AccessFiles(tmp_path / "files"), JANUARY)
    middle = FIRST + timedelta(days=1)
    counts = await count_by(database, AccessFiles(tmp_path / "files"), "day", middle, JANUARY)
    assert [count.key for count in counts] == [str(middle), str(JANUARY)]


async def test_a_month_that_has_not_ended_before_the_day_stays(
    database: Database, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    assert await export_accesses(database, AccessFiles(tmp_path / "files"), date(2025, 12, 31)) == 0
    assert not list((tmp_path / "files").rglob("*.parquet"))


async def test_accesses_of_a_moved_day_that_come_later_get_a_further_file(
    database: Database, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    await export_accesses(database, AccessFiles(files), FEBRUARY)
    late = tmp_path / "late.log"
    late.write_bytes(download("late", at=datetime(2025, 12, 30, 9, tzinfo=UTC)))
    await read(late)
    before = await answers(database, files)
    assert await export_accesses(database, AccessFiles(files), FEBRUARY) == 1
    assert await answers(database, files) == before
    names = [day.file for day in await exported_days(database, FIRST, FIRST)]
    assert len(names) == len(list(files.glob("2025/2025-12-30.*.parquet"))) == 2


async def test_accesses_that_come_during_an_export_are_not_lost(
    database: Database, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read_days(read, tmp_path)
    files, late = tmp_path / "files", tmp_path / "late.log"
    late.write_bytes(download("late", at=datetime(2025, 12, 30, 9, tzinfo=UTC)))
    finish = finish_month

    async def finish_late(*arguments: object) -> bool:
        monkeypatch.setattr(parquet_export, "finish_month", finish)
        await read(late)
        return await finish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(parquet_export, "finish_month", finish_late)
    total = await rows(database)
    assert await export_accesses(database, AccessFiles(files), JANUARY) == 0
    assert await rows(database) == total + 1
    waiting = await waiting_accesses(database)
    assert waiting is not None
    assert "2025-12 were added meanwhile" in waiting.problem
    before = await answers(database, files)
    assert await export_accesses(database, AccessFiles(files), JANUARY) > 0
    assert await answers(database, files) == before


async def test_the_reason_stays_until_all_was_moved(
    database: Database, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with fewer accesses than the database at that time is an error, and no late line."""
    await read_days(read, tmp_path)
    files, total = AccessFiles(tmp_path / "files"), await rows(database)
    write = parquet_files.write_day

    def write_less(csv: Path, target: Path, temporary_dir: Path) -> None:
        lines = csv.read_bytes().splitlines(keepends=True)
        if csv.name.startswith(str(FIRST)):
            csv.write_bytes(b"".join(lines[:-1]))
        write(csv, target, temporary_dir)

    monkeypatch.setattr(parquet_export, "write_day", write_less)
    with pytest.raises(RejectedError, match=f"{FIRST} stay in the database: their file was writt"):
        await export_accesses(database, files, FEBRUARY)
    assert {day.day.month for day in await exported_days(database)} == {1}, "the other is moved"
    assert 0 < await rows(database) < total
    waiting = await waiting_accesses(database)
    assert waiting is not None
    assert str(FIRST) in waiting.problem
    monkeypatch.undo()
    await export_accesses(database, files, FEBRUARY)
    assert await waiting_accesses(database) is None
    assert not list(files.directory.rglob("*.tmp"))


async def test_a_second_process_does_not_write_in_the_directory(
    database: Database, dsn: str, read: Read, tmp_path: Path
) -> None:
    """The lock in the database can be lost with its connection."""
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    with parquet_export._locked_directory(files):
        (files / "2025-12-30.1-2.csv.tmp").touch()
        with pytest.raises(RejectedError, match="another process moves accesses now"):
            await export_accesses(database, AccessFiles(files), FEBRUARY)
        assert list(files.glob("*.tmp")), "nothing of the other one is deleted"
        (files / "duckdb-1-2.tmp").mkdir()
        os.utime(files / "duckdb-1-2.tmp", (0, 0))
    assert await export_accesses(database, AccessFiles(files), FEBRUARY) > 0
    assert not list(files.glob("*.tmp"))


async def test_a_reader_that_is_canceled_keeps_the_locks_until_its_thread_ended(
    database: Database, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    begun, goes_on = threading.Event(), threading.Event()

    def write_slowly(*_: object) -> None:
        begun.set()
        assert goes_on.wait(WAIT_S)

    monkeypatch.setattr(parquet_export, "write_day", write_slowly)
    task = asyncio.create_task(export_accesses(database, AccessFiles(files), FEBRUARY))
    assert await asyncio.to_thread(begun.wait, WAIT_S)
    task.cancel()
    await asyncio.wait({task}, timeout=0.2)
    with pytest.raises(RejectedError), parquet_export._locked_directory(files):
        pass
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with parquet_export._locked_directory(files):
        assert await rows(database) > 0


class _Killed(BaseException):
    """The process ends here."""


def _kill_after(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    original: Callable[..., object] = getattr(module, name)

    async def killed(*arguments: object) -> object:
        result = original(*arguments)
        if asyncio.iscoroutine(result):
            await result
        raise _Killed

    def killed_in_thread(*arguments: object) -> object:
        original(*arguments)
        raise _Killed

    is_async = asyncio.iscoroutinefunction(original)
    monkeypatch.setattr(module, name, killed if is_async else killed_in_thread)


@pytest.mark.parametrize("step", ["copy_day", "write_day", "_export_day", "finish_month"])
async def test_an_export_that_ended_at_any_step_is_resumed(
    database: Database, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    before = await answers(database, files)
    with monkeypatch.context() as patch:
        _kill_after(patch, parquet_export, step)
        with pytest.raises(_Killed):
            await export_accesses(database, AccessFiles(files), FEBRUARY)
    assert await answers(database, files) == before
    await export_accesses(database, AccessFiles(files), FEBRUARY)
    assert await rows(database) == 0
    assert await answers(database, files) == before


async def test_a_file_that_is_whole_is_not_written_again(
    database: Database, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    with monkeypatch.context() as patch:
        _kill_after(patch, parquet_export, "finish_month")
        patch.setattr(parquet_export, "finish_month", _raise_killed)
        with pytest.raises(_Killed):
            await export_accesses(database, AccessFiles(files), JANUARY)
    written = {path: path.stat().st_mtime_ns for path in files.rglob("*.parquet")}
    assert written
    next(iter(written)).write_bytes(b"damaged")
    await export_accesses(database, AccessFiles(files), JANUARY)
    kept = [path for path, at_ns in written.items() if path.stat().st_mtime_ns == at_ns]
    assert len(kept) == len(written) - 1


async def _raise_killed(*_: object) -> bool:
    raise _Killed


def _export_and_kill(command: list[str], variables: dict[str, str], after_s: float) -> None:
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    process.wait()


@pytest.mark.slow
async def test_kill_9_at_random_moments(
    database: Database, dsn: str, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    files, chance = tmp_path / "files", random.Random(7)
    before = await answers(database, files)
    command = [sys.executable, "-m", "piwheels", "stats", "export", "--older-than", "1"]
    variables = environment(dsn, tmp_path, PIWHEELS_ACCESSLOG_PARQUET_DIR=str(files))
    for _ in range(8):
        await asyncio.to_thread(_export_and_kill, command, variables, chance.uniform(0.5, 4.0))
        assert await answers(database, files) == before
    await asyncio.to_thread(_export_and_kill, command, variables, 60.0)
    assert await rows(database) == 0
    assert await answers(database, files) == before


async def test_expired_files_are_deleted(database: Database, read: Read, tmp_path: Path) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    await export_accesses(database, AccessFiles(files), FEBRUARY)
    await delete_expired_files(database, AccessFiles(files), JANUARY)
    assert [day.day for day in await exported_days(database)] == [JANUARY, LAST]
    assert len(list(files.rglob("*.parquet"))) == 2
    assert len(await count_by(database, AccessFiles(files), "day", *ALL_TIME)) == 2


def _reader(dsn: str, folder: Path) -> service._IngestService:
    """`piw accesslog` with files for what is older than a day."""
    config = Config()
    config = msgspec.structs.replace(
        config,
        database=msgspec.structs.replace(config.database, dsn=dsn),
        accesslog=msgspec.structs.replace(
            config.accesslog, parquet_after_days=1, parquet_dir=folder / "files"
        ),
    )
    options = service.IngestOptions(files=(), follow=(), line_format=LogFormat.AUTO, as_json=False)
    return service._IngestService(config, options)


async def test_without_duckdb_accesses_stay_and_one_line_says_so(
    *,
    database: Database,
    dsn: str,
    read: Read,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await read_days(read, tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    reader = _reader(dsn, tmp_path)
    await reader._export(forever=True)
    assert caplog.text.count("single accesses stay in the database: DuckDB is not installed") == 1
    with pytest.raises(ConfigError, match=r"install .\.\[stats\]"):
        parquet_export.run(Config(), 1)
    total = await rows(database)
    counts = await count_by(database, AccessFiles(tmp_path / "files"), "day", *ALL_TIME)
    assert sum(count.accesses for count in counts) == total


async def test_files_without_duckdb_are_an_error_and_not_a_part_of_the_answer(
    database: Database, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    await export_accesses(database, AccessFiles(files), JANUARY)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"install .\.\[stats\]"):
        await count_by(database, AccessFiles(files), "day", *ALL_TIME)
    # A period without files needs none.
    assert await count_by(database, AccessFiles(files), "day", JANUARY, LAST)


async def test_a_file_that_is_gone_is_an_error(
    database: Database, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    await export_accesses(database, AccessFiles(files), JANUARY)
    next(files.rglob("*.parquet")).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        await count_by(database, AccessFiles(files), "day", *ALL_TIME)


async def test_the_reader_moves_accesses_by_the_day_that_they_confirm(
    database: Database, dsn: str, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    reader = _reader(dsn, tmp_path)
    reader._newest_day = date(2026, 1, 5)
    total = await rows(database)
    task = asyncio.create_task(reader._export(forever=True))
    async with asyncio.timeout(2 * WAIT_S):
        while await rows(database) == total:
            await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert {day.day.month for day in await exported_days(database)} == {12}


async def test_the_command_prints_both_places(
    database: Database, dsn: str, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    files = tmp_path / "files"
    await export_accesses(database, AccessFiles(files), JANUARY)
    variables = environment(dsn, tmp_path, PIWHEELS_ACCESSLOG_PARQUET_DIR=str(files))

    def printed(*arguments: str) -> str:
        command = [sys.executable, "-m", "piwheels", "stats", "count", *arguments]
        return subprocess.run(
            command, env=variables, check=True, capture_output=True, text=True
        ).stdout

    found = json.loads(await asyncio.to_thread(printed, "day", "--json"))
    expected = await count_by(database, AccessFiles(files), "day", *ALL_TIME)
    assert found == [msgspec.structs.asdict(count) for count in expected]
    lines = (await asyncio.to_thread(printed, "project", "--limit", "3")).splitlines()
    assert len(lines) == 4
