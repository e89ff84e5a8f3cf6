"""A wrong clock neither deletes access records nor moves accesses to other days."""

import asyncio
import logging
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from piwheels.accesslog import context, service
from piwheels.accesslog.line_fingerprints import RETENTION_DAYS
from piwheels.accesslog.log_formats import LogFormat
from piwheels.config import Config
from piwheels.db.database import Database
from tests.accesslog.conftest import Read
from tests.accesslog.log_generator import download

BEGAN = date(2020, 1, 14)
MONTHS = 3


class Run:
    """Runs of `piw accesslog FILE` with a given clock."""

    def __init__(self, dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        config = Config()
        self._config = msgspec.structs.replace(
            config,
            database=msgspec.structs.replace(config.database, dsn=dsn),
            accesslog=msgspec.structs.replace(
                config.accesslog, retention_months=MONTHS, spool_dir=folder / "spool"
            ),
        )

    async def read(self, *days: date, clock: date) -> None:
        """Read a log with an access on each of these days."""
        log = self._folder / f"{len(list(self._folder.iterdir()))}.log"
        moments = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in days]
        log.write_bytes(b"".join(download("a", at=moment) for moment in moments))
        self._monkeypatch.setattr(service, "today", lambda: clock)
        noon = datetime(clock.year, clock.month, clock.day, 12, tzinfo=UTC)
        self._monkeypatch.setattr(context, "now_s", noon.timestamp)
        options = service.IngestOptions(
            files=(log,), follow=(), line_format=LogFormat.AUTO, as_json=False
        )
        assert await asyncio.to_thread(service.run, self._config, options) == 0


@pytest.fixture
def run(dsn: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(dsn, tmp_path, monkeypatch)


async def rows(database: Database) -> int:
    return int(await database.value("SELECT count(*) FROM access_records"))


def days(first: date, many: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(many)]


@pytest.mark.parametrize("ahead", [timedelta(days=365), timedelta(days=20_000)])
async def test_a_clock_that_is_ahead_deletes_no_records(
    run: Run, database: Database, ahead: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await run.read(*days(BEGAN, 5), clock=BEGAN + timedelta(days=5))
    await run.read(*days(BEGAN + timedelta(days=5), 5), clock=BEGAN + ahead)
    assert await rows(database) == 10
    assert f"accesses confirm only {BEGAN + timedelta(days=2)}" in caplog.text


async def counted_days(database: Database) -> list[date]:
    return [
        row["day"]
        for row in await database.rows(
            "SELECT day FROM downloads_daily WHERE counted = 1 ORDER BY day"
        )
    ]


@pytest.mark.parametrize("jump", [-18_000, -3000, 20_000, 1_000_000])
async def test_the_time_of_a_line_decides_its_day_whatever_the_clock_says(
    run: Run, database: Database, jump: int
) -> None:
    """The clock jumps by years, and lines of the days before it were not read yet."""
    before, unread = days(BEGAN, 5), [*days(BEGAN + timedelta(days=5), 3), date(2020, 9, 1)]
    await run.read(*before, clock=before[-1])
    await run.read(*unread, clock=before[-1] + timedelta(days=jump))
    assert await counted_days(database) == [*before, *unread]
    partitions = await database.value(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'access_records'::regclass"
    )
    assert partitions == 2  # of January and September


async def test_a_clock_that_is_behind_accepts_no_line_of_a_time_far_ahead(
    run: Run, database: Database
) -> None:
    """Lines more than a year after the days that are confirmed need a clock that says so."""
    before, later = days(BEGAN, 5), BEGAN + timedelta(days=700)
    await run.read(*before, clock=before[-1])
    await run.read(later, clock=date(1995, 1, 1))
    assert await counted_days(database) == before


async def test_two_days_logged_with_a_wrong_clock_delete_no_records(
    run: Run, database: Database
) -> None:
    """The web server has the same wrong clock."""
    wrong = BEGAN + timedelta(days=365)
    await run.read(*days(BEGAN, 5), clock=BEGAN + timedelta(days=5))
    await run.read(*days(wrong, 2), clock=wrong)
    await run.read(BEGAN + timedelta(days=6), clock=wrong)
    assert await rows(database) == 8


async def test_records_are_deleted_when_later_accesses_confirm_the_time(
    run: Run, database: Database
) -> None:
    later = BEGAN + timedelta(days=150)
    await run.read(*days(BEGAN, 5), clock=BEGAN + timedelta(days=5))
    await run.read(*days(later, 3), clock=later + timedelta(days=3))
    assert await rows(database) == 8
    await run.read(later + timedelta(days=3), BEGAN, clock=later + timedelta(days=3))
    assert await rows(database) == 4, "old ones are not even kept where they are read only now"


async def test_without_a_retention_no_records_are_kept(
    dsn: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(dsn, tmp_path, monkeypatch)
    run._config = msgspec.structs.replace(
        run._config,
        accesslog=msgspec.structs.replace(run._config.accesslog, retention_months=0),
    )
    await run.read(*days(BEGAN, 5), clock=BEGAN)
    assert await rows(database) == 0


async def test_a_reader_deletes_the_keys_of_addresses_of_days_that_are_over(
    run: Run, database: Database
) -> None:
    for number in range(5):
        day = BEGAN + timedelta(days=number)
        await run.read(day, clock=day)
    oldest = "SELECT min(day) FROM daily_address_keys WHERE key IS NOT NULL"
    assert await database.value(oldest) > BEGAN
    assert await database.value("SELECT min(day) FROM daily_client_hashes") > BEGAN
    await database.execute("UPDATE daily_address_keys SET made_at = now() - interval '49 hours'")
    newest = BEGAN + timedelta(days=5)
    await run.read(newest, clock=newest)
    assert await database.value(oldest) == newest
    assert await database.value("SELECT min(day) FROM daily_client_hashes") == newest


async def marked_days(database: Database) -> int:
    return int(await database.value("SELECT count(DISTINCT minute / 1440) FROM line_fingerprints"))


async def test_fingerprints_are_kept_for_some_days_before_confirmed_accesses(
    run: Run, read: Read, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    later, old = BEGAN + timedelta(days=RETENTION_DAYS + 2), BEGAN + timedelta(days=1)
    await run.read(*days(BEGAN, 5), clock=BEGAN + timedelta(days=5))
    await run.read(BEGAN + timedelta(days=5), clock=BEGAN + timedelta(days=20_000))
    await run.read(*days(later, 3), clock=later + timedelta(days=3))
    assert await marked_days(database) == 9
    await run.read(later + timedelta(days=3), clock=later + timedelta(days=3))
    assert await marked_days(database) == 8, "those of the first two days are too old"
    assert "nothing is kept" not in caplog.text
    await run.read(old, clock=later + timedelta(days=3))
    assert f"accesses of {old} were counted" in caplog.text
    assert "their fingerprints were not kept" in caplog.text
    caplog.clear()
    assert await marked_days(database) == 8
    (tmp_path / "part").write_bytes(b"\n" + download("a", at=datetime(2020, 1, 15, 12, tzinfo=UTC)))
    await read(tmp_path / "part")
    assert f"accesses of {old} were counted" in caplog.text, "though some of its lines are kept"
