"""Access records are deleted by the time that accesses confirm, not by the clock alone."""

import asyncio
import logging
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from piwheels.accesslog import service
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
