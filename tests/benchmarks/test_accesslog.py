"""Access logs: lines a second against one INSERT a line, memory, a billion downloads' figures."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from piwheels.accesslog.context import IngestContext
from piwheels.accesslog.log_formats import LogFormat, Parser
from piwheels.accesslog.logfile import LogFile
from piwheels.accesslog.reader import LogReader
from piwheels.accesslog.rejected_lines import RejectedLineSample
from piwheels.db import access_log_positions, downloads
from piwheels.db.database import Database
from piwheels.db.downloads import Dimension
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from piwheels.website import loaders
from tests.accesslog.log_generator import LogGenerator
from tests.benchmarks.cpu_calibration import cpu_s, piece_of_work, slowness

_LINES = 1_000_000
_INSERTS = 2000
_LONG_AGO = date(2000, 1, 1)


@asynccontextmanager
async def durable(folder: Path) -> AsyncIterator[str]:
    """A PostgreSQL that waits for its disk, as one that serves a farm does."""
    async with PrivatePostgres(folder) as postgres:
        await upgrade(postgres.dsn)
        yield postgres.dsn


def desk_of(database: Database, folder: Path) -> IngestContext:
    return IngestContext.create(
        database, LogFormat.AUTO, RejectedLineSample(folder / "broken"), lambda: _LONG_AGO
    )


async def inserted_a_second(dsn: str, log: Path) -> float:
    """What one INSERT and one commit a line, parsed by the same parser, come to."""
    with log.open("rb") as file:
        block = b"".join(file.readline() for _ in range(_INSERTS))
    began = time.perf_counter()
    accesses = Parser().parse(block, 2**40).accesses
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SELECT create_access_partition('2026-03-10')")
        for moment, _, content, answer, agent in accesses:
            await connection.execute(
                "INSERT INTO access_records (at, agent_id, bytes, request_kind, status) VALUES (%s, %s, %s, %s, %s)",
                [
                    datetime.fromtimestamp(moment.at_s, UTC),
                    agent.key,
                    answer.size_bytes,
                    int(content.kind),
                    answer.status,
                ],
            )
    return len(accesses) / (time.perf_counter() - began)


@pytest.mark.slow
async def test_lines_from_a_file_to_committed_rows(tmp_path: Path) -> None:
    log, traffic = tmp_path / "log", LogGenerator(41)
    with log.open("wb") as file:
        file.writelines(traffic.lines(_LINES))
    async with (
        durable(tmp_path / "pg") as dsn,
        await Database.connect(dsn, role="benchmark") as database,
    ):
        single = await inserted_a_second(dsn, log)
        backend = int(await database.value("SELECT pg_backend_pid()"))
        context = desk_of(database, tmp_path)
        works = [piece_of_work()]
        began, own, theirs = time.perf_counter(), time.process_time(), cpu_s(backend)
        with LogFile(log) as file:
            await LogReader(context, file).read_to_end()
        took, own_s = time.perf_counter() - began, time.process_time() - own
        database_s = cpu_s(backend) - theirs
        works.append(piece_of_work())
        assert context.counters.lines == traffic.counts.lines
        assert context.counters.downloads == sum(traffic.counts.downloads.values())
    rate = _LINES / took
    print(
        f"\n{_LINES:,} lines of {log.stat().st_size / _LINES:.0f} bytes at a load of "
        f"{os.getloadavg()[0]:.1f}: "
        f"{rate:,.0f} lines/s by the clock, {_LINES / own_s:,.0f} a second of the reader's "
        f"processor, {_LINES / (own_s + database_s):,.0f} a second of reader and PostgreSQL; "
        f"one INSERT a line {single:,.0f} lines/s: {rate / single:.0f} times"
    )
    assert slowness(works) * _LINES / own_s >= 100_000
    # The aim is 50 times: 53 to 66 were measured on a nearly idle machine, where a commit takes
    # 0.4 ms, and over 100 on busy ones. The rest is left for a disk that is quicker to commit.
    assert rate / single >= 40


class _Endless:
    """A log without an end: the same traffic, a day later each time, never on a disk.

    Notes how much memory there is in use as each day begins.
    """

    name = "endless"

    def __init__(self, block: bytes, repeats: int) -> None:
        self._block, self._repeats = block, repeats
        self.memory_mb: list[float] = []
        self._round, self._at, self._current = 0, 0, b""

    def read(self, size: int) -> bytes:
        if self._at >= len(self._current):
            if self._round == self._repeats:
                return b""
            self._round += 1
            self.memory_mb.append(resident_mb())
            day = date(2026, 3, 10) + timedelta(days=self._round)
            self._current = self._block.replace(b"10/Mar/2026", day.strftime("%d/%b/%Y").encode())
            self._at = 0
        data = self._current[self._at : self._at + size]
        self._at += len(data)
        return data

    def rewind(self) -> None:
        self._round, self._at, self._current = 0, 0, b""
        self.memory_mb.clear()

    def acknowledge(self, position: int) -> None:
        """Nothing to release."""


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
async def test_memory_is_constant_over_ten_million_lines(
    database: Database, tmp_path: Path
) -> None:
    repeats, lines = 50, 200_000
    block = b"".join(LogGenerator(42).lines(lines))
    log = _Endless(block, repeats)
    began = time.perf_counter()
    await LogReader(desk_of(database, tmp_path), log).read_new()
    samples = log.memory_mb
    warm = max(samples[: len(samples) // 5])
    rest = max(samples[len(samples) // 5 :])
    print(
        f"\n{repeats * lines:,} lines in {time.perf_counter() - began:.0f} s: at most "
        f"{warm:.0f} MB in the first fifth, {rest:.0f} MB after it"
    )
    assert len(samples) == repeats
    assert rest < warm * 1.15


# --- a billion downloads -----------------------------------------------------------------

_FIRST = date(2023, 1, 1)
_TODAY = date(2025, 12, 28)
_PROJECTS = 100_000
_BILLION = """
    -- By rank, as downloads are: the first has as many as the next two together.
    CREATE UNLOGGED TABLE ranks AS
    SELECT n AS rank, 'project-' || n AS project,
           greatest((1e9 / 36 / (ln({projects}) + 0.5772) / n)::integer, 1) AS monthly
      FROM generate_series(1, {projects}) n;

    INSERT INTO downloads_monthly_by_project (month, project, downloads, days)
    SELECT m::date, r.project, r.monthly / busy * busy + busy,
           array_fill(r.monthly / busy + 1, ARRAY[busy], ARRAY[1 + (r.rank % (29 - busy))])
      FROM generate_series('2023-01-01'::timestamp, '2025-12-01', '1 month') m
     CROSS JOIN ranks r
     CROSS JOIN LATERAL (SELECT least(r.monthly, 28) AS busy) b
     ORDER BY m, r.project COLLATE "C";

    INSERT INTO downloads_by_project (project, downloads, saved_s)
    SELECT project, sum(downloads), sum(downloads) * 30.0 FROM downloads_monthly_by_project GROUP BY project;

    INSERT INTO downloads_daily (day, counted, counted_bytes, counted_saved_s, clients, index_hits)
    SELECT d::date, total.downloads / 1096, total.downloads, 1e6, 50000, 6000000
      FROM generate_series('2023-01-01'::timestamp, '2025-12-31', '1 day') d
     CROSS JOIN (SELECT sum(downloads)::bigint AS downloads FROM downloads_by_project) total;

    INSERT INTO downloads_daily_by_dimension (day, dimension, value, downloads)
    SELECT d::date, kind.name, kind.name || n, 1000000 / n
      FROM generate_series('2023-01-01'::timestamp, '2025-12-31', '1 day') d
     CROSS JOIN (VALUES ('arch', 12), ('os', 60), ('python', 20), ('installer', 120))
                AS kind (name, values)
     CROSS JOIN LATERAL generate_series(1, kind.values) n;
"""


async def timed_ms(work: Callable[[], Awaitable[object]]) -> float:
    """The quicker of two."""
    times = []
    for _ in range(2):
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1000)
    return min(times)


@pytest.mark.slow
async def test_the_figures_of_a_billion_downloads(database: Database) -> None:
    db = database
    for statement in _BILLION.format(projects=_PROJECTS).split(";\n"):
        if statement.strip():
            await db.execute(statement)
    for table in ("monthly_by_project", "by_project", "daily", "daily_by_dimension"):
        await db.execute(f"VACUUM ANALYZE downloads_{table}")
    month_ago, year_ago = _TODAY - timedelta(days=29), _TODAY - timedelta(days=364)
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "totals": lambda: downloads.download_totals(db, _TODAY),
        "days": lambda: downloads.per_day(db),
        "months": lambda: downloads.per_month(db),
        "years": lambda: downloads.per_year(db),
        "top of all time": lambda: downloads.top_projects(db),
        "top of 30 days": lambda: downloads.top_projects(db, month_ago, _TODAY),
        **{
            f"{dimension} {name}": lambda d=dimension, s=since: downloads.breakdown(db, d, s)  # type: ignore[misc]
            for dimension in Dimension
            for name, since in (("ever", None), ("30 days", month_ago))
        },
    }
    # Reads every row of the largest table once: what no figure of a page may need.
    scan_ms = await timed_ms(
        lambda: db.value("SELECT count(*) FROM downloads_monthly_by_project WHERE downloads >= 0")
    )
    costs = {name: await timed_ms(question) for name, question in questions.items()}
    beside = {
        "top of a year": await timed_ms(lambda: downloads.top_projects(db, year_ago, _TODAY)),
        "the whole page": await timed_ms(lambda: loaders.load_stats(db)),
        "a project's days": await timed_ms(lambda: downloads.project_days(db, ["project-7"])),
        "live": await timed_ms(
            lambda: downloads.live_downloads(db, datetime.combine(_TODAY, datetime.min.time(), UTC))
        ),
    }
    size = await db.value("SELECT pg_total_relation_size('downloads_monthly_by_project') / 1048576")
    total = (await downloads.download_totals(db, _TODAY)).downloads
    shown = ", ".join(f"{name} {ms:.0f}" for name, ms in {**costs, **beside}.items())
    print(
        f"\n{total:,} downloads, {size} MB: {sum(costs.values()):.0f} ms in all, "
        f"a scan {scan_ms:.0f} ms; in ms: {shown}"
    )
    assert 0.9e9 < total < 1.2e9
    assert sum(costs.values()) < 3 * scan_ms
    assert beside["live"] < scan_ms


@pytest.mark.slow
async def test_a_month_is_deleted_quickly(database: Database) -> None:
    rows = 5_000_000
    times = []
    for _ in range(3):
        await database.execute("SELECT create_access_partition('2026-03-10')")
        await database.execute(
            f"""
            INSERT INTO access_records (at, client_hash, agent_id, wheel_id, bytes, request_kind, status)
            SELECT '2026-03-01'::timestamptz + n * interval '0.5 s', n, 1, n, n, 1, 200
              FROM generate_series(1, {rows}) n
            """
        )
        size = await database.value("SELECT pg_table_size('access_records_2026_03') / 1048576")
        began = time.perf_counter()
        assert await access_log_positions.drop_partitions(database, date(2026, 4, 1)) == [
            "access_records_2026_03"
        ]
        times.append((time.perf_counter() - began) * 1000)
    print(f"\na month of {rows:,} rows, {size} MB, dropped in {sorted(map(round, times))} ms")
    assert min(times) < 100
