"""What a clock that was ahead has left behind: nothing waits until the time has come."""

from datetime import UTC, datetime, timedelta

import pytest

from piwheels.db import catalog, file_deletions, history, job_queue, page_queue, target_queries
from piwheels.db.database import Database
from piwheels.db.database_clock import reset_future_times
from piwheels.db.page_queue import PageKind
from piwheels.master import clock_watch
from piwheels.master.clock_watch import ClockWatch, JumpDetector, SettledClock
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_as_built,
    make_build,
    make_release,
    make_wheel,
)

DELETION_DELAY = timedelta(hours=1)


async def set_up_farm(db: Database) -> None:
    """A target and two releases to build."""
    await target_queries.add_target(db, TARGETS[0], RULES)
    await target_queries.recompute_jobs(db)
    for project in ("early", "late"):
        await catalog.add_project(db, project, project)
        await catalog.add_releases(db, [make_release(project)], RULES)


async def test_pages_with_a_future_time_are_written_now(database: Database) -> None:
    await page_queue.invalidate(database, PageKind.PROJECT, ["rested", "failed"])
    await page_queue.collect_changes(database, [PageKind.PROJECT])
    await database.execute(
        """
        UPDATE page_queue
           SET dirty_since = now() + interval '1 year',
               written_at = CASE page_key WHEN 'rested' THEN now() + interval '1 year' END,
               retry_at = CASE page_key WHEN 'failed' THEN now() + interval '1 year' END
        """
    )
    assert not await page_queue.pages_to_write(database, PageKind.PROJECT, 10)
    assert await reset_future_times(database) == 2
    stale = await page_queue.pages_to_write(database, PageKind.PROJECT, 10)
    assert {page.key for page in stale} == {"rested", "failed"}


async def test_a_delay_within_its_maximum_is_unchanged(database: Database) -> None:
    await page_queue.invalidate(database, PageKind.PROJECT, ["failed"])
    await page_queue.collect_changes(database, [PageKind.PROJECT])
    for _ in range(20):  # as long as it gets
        await page_queue.postpone(
            database, PageKind.PROJECT, [page_queue.PageToWrite(key="failed", generation=1)]
        )
    assert not await reset_future_times(database)
    assert not await page_queue.pages_to_write(database, PageKind.PROJECT, 10)


async def test_a_file_removed_in_the_future_is_kept_for_the_deletion_delay(
    database: Database,
) -> None:
    await database.execute(
        """
        INSERT INTO file_deletions (filename, sha256, project, removed_at, installing)
        VALUES ('a.whl', '', 'a', now() + interval '1 year', false),
               ('b.whl', '', 'b', now() + interval '1 year', true)
        """
    )
    assert await reset_future_times(database) == 1
    assert not await file_deletions.files_to_delete(database, DELETION_DELAY, 10)
    due = await file_deletions.files_to_delete(database, timedelta(0), 10)
    assert [removal.filename for removal in due] == ["a.whl"]


async def test_a_job_queued_in_the_future_keeps_its_order(database: Database) -> None:
    await set_up_farm(database)
    await database.execute(
        """
        UPDATE jobs SET queued_at = queued_at + interval '1 year',
                        priority_time = priority_time + interval '1 year' - interval '2 days'
         WHERE project = 'late'
        """
    )
    assert await reset_future_times(database) == 1
    claimed = await job_queue.claim(database, "pi", [TARGETS[0].name])
    assert claimed is not None
    assert claimed.project == "late", "its priority is worth two days"


async def test_builds_in_the_future_count_as_the_last_hour(database: Database) -> None:
    await set_up_farm(database)
    job = await job_queue.claim(database, "pi", [TARGETS[0].name])
    assert job is not None
    assert await complete_as_built(database, job, "pi", make_wheel(job, "py3-none-any"))
    await database.execute("UPDATE builds SET ended_at = ended_at + interval '1 year'")
    assert await reset_future_times(database) == 1
    assert [ended.age_s for ended in await history.recent_results(database)] == [
        pytest.approx(0, abs=3600)
    ]
    assert make_build(job, "pi").started_at < datetime.now(UTC)
    assert not await reset_future_times(database)


def test_a_clock_jump_is_a_difference_from_the_monotonic_clock() -> None:
    clocks = JumpDetector()
    assert clocks.clock_jump_s(1000.0, 5.0) == 0.0
    assert clocks.clock_jump_s(1010.0, 15.0) == 0.0
    assert clocks.clock_jump_s(1021.0, 25.0) == 0.0, "corrected by a second"
    assert clocks.clock_jump_s(5031.0, 35.0) == 4000.0
    assert clocks.clock_jump_s(5041.0, 45.0) == 0.0
    assert clocks.clock_jump_s(1051.0, 55.0) == -4000.0


def test_a_clock_that_was_set_ahead_is_not_believed_for_a_day() -> None:
    clock, day_s = SettledClock(), 86_400.0
    assert clock.distrusted_s(0.0, 0.0) == 0.0
    assert clock.distrusted_s(3600.0, 3600.0) == 0.0
    assert clock.distrusted_s(7200.0 + day_s, 7200.0) == day_s
    assert clock.distrusted_s(10_800.0 + day_s, 10_800.0) == day_s
    assert clock.distrusted_s(14_400.0, 14_400.0) == 0.0, "it was set back"
    assert clock.distrusted_s(18_000.0 + day_s, 18_000.0) == day_s
    assert clock.distrusted_s(18_001.0 + 2 * day_s, 18_001.0 + day_s) == 0.0, "it stays so"


async def test_a_clock_jump_is_reported_once_and_stored_times_are_corrected(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, notes = timedelta(0), list[str]()

    async def database_time(_: Database) -> datetime:
        return datetime.now(UTC) + ahead

    async def note(what: str) -> None:
        notes.append(what)

    monkeypatch.setattr(clock_watch, "database_time", database_time)
    watch = ClockWatch(database, note)
    await watch.check()
    ahead = timedelta(days=1)
    await watch.check()
    await database.execute(
        "INSERT INTO file_deletions (filename, sha256, project, removed_at)"
        " VALUES ('a.whl', '', 'a', now() + interval '1 day')"
    )
    await watch.check()
    ahead = timedelta(0)
    await watch.check()
    await watch.check()
    assert notes == [
        "the database's clock was set ahead by 1d",
        "the database's clock was set back by 1d",
        "times ahead of the database's clock were set to now, in 1 row",
    ]
    assert await file_deletions.files_to_delete(database, timedelta(0), 10)
