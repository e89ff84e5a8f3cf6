"""Completed builds: how many ended in a minute, and how long they usually take."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from piwheels.db import history, site_queries, status_queries
from piwheels.db.builder_builds import counts_by_builder, usual_duration
from piwheels.db.database import Database
from piwheels.db.history import MinuteCounts, counts_of_minute, peer_ratios, usual_durations
from piwheels.db.queue_outlines import queue_outlines
from piwheels.db.row_counts import row_count_errors
from piwheels.model import MIRROR_MAKER, OTHER_MAKERS

_TARGET = """
    INSERT INTO targets (target, sort_order, python, python_full, implementation, abi, arch, os,
                         glibc)
    VALUES ('t', 1, '3.11', '3.11.2', 'cp', 'cp311', 'armv7l', 'bookworm', '2.36')
"""
_BUILD = """
    INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry, reason,
                        started_at, ended_at, duration_s, attempt, build_inputs)
    VALUES (%(build)s, 'numpy', '1.0', 't', 'b', %(outcome)s, %(will_retry)s, '', %(at)s, %(at)s,
            1, 1, '{}')
"""
_MINUTE = datetime(2026, 11, 30, 12, 34, tzinfo=UTC)
#: Outcome, whether it is retried, and how many seconds after the begin of the minute it ended.
_BUILDS = (
    ("built", False, 0),
    ("built", False, 59),
    ("failed", False, 30),
    ("lost", True, 30),
    ("built", False, 60),
    ("failed", False, -1),
)


async def test_builds_count_in_the_minute_in_which_they_ended(database: Database) -> None:
    await add_release(database)
    await database.execute(_TARGET.replace("'t'", "'other'"))
    for number, (outcome, will_retry, seconds) in enumerate(_BUILDS, 1):
        await database.execute(
            _BUILD,
            {
                "build": number,
                "outcome": outcome,
                "will_retry": will_retry,
                "at": _MINUTE + timedelta(seconds=seconds),
            },
        )
    counts = {each.target: each for each in await counts_of_minute(database, _MINUTE)}
    assert counts == {
        "t": MinuteCounts(target="t", added=0, built=2, failed=1),
        "other": MinuteCounts(target="other", added=0, built=0, failed=0),
    }


async def add_release(database: Database) -> None:
    await database.execute("INSERT INTO requires_python_specifiers VALUES ('')")
    await database.execute("INSERT INTO projects (project, display_name) VALUES ('numpy', 'numpy')")
    await database.execute(
        """
        INSERT INTO releases (project, version, released_at, requires_python)
        VALUES ('numpy', '1.0', now(), '')
        """
    )
    await database.execute(_TARGET)


async def add_builds(database: Database, rows: Iterable[tuple[str, str, str, int]]) -> None:
    """Builds: builder, target, outcome, duration; numbered from 1, the last ended last."""
    for number, (builder, target, outcome, duration_s) in enumerate(rows, 1):
        await database.execute(
            """
            INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry,
                                reason, started_at, ended_at, duration_s, attempt, build_inputs)
            VALUES (%(build)s, 'numpy', '1.0', %(target)s, %(builder)s, %(outcome)s, false, '',
                    now(), now() - make_interval(mins => 1000 - %(build)s), %(duration_s)s, 1, '{}')
            """,
            {
                "build": number,
                "target": target,
                "builder": builder,
                "outcome": outcome,
                "duration_s": duration_s,
            },
        )


async def test_usual_durations_are_those_of_other_builders_for_the_same_target(
    database: Database,
) -> None:
    await add_release(database)
    await database.execute(_TARGET.replace("'t'", "'other'"))
    rows = [  # builder, target, outcome, duration
        ("slow", "t", "built", 190),
        ("one", "t", "built", 90),
        ("two", "t", "built", 100),
        ("three", "t", "built", 150),
        ("four", "t", "failed", 5),
        ("five", "other", "built", 7),
    ]
    await add_builds(database, rows)
    assert await usual_durations(database, [1, 6]) == {1: 100.0}


async def test_a_builder_is_compared_with_its_peers_over_its_last_ten_builds(
    database: Database,
) -> None:
    await add_release(database)
    await database.execute(_TARGET.replace("'t'", "'alone'"))
    rows = [("fast", "t", "built", 100)] * 10 + [("slow", "t", "built", 100)] * 9
    await add_builds(database, rows)
    assert await peer_ratios(database) == {"fast": 1.0}, "not before there are ten builds"
    await database.execute("DELETE FROM builds")
    rows += [("slow", "t", "built", 190)] * 10
    rows += [("slow", "t", "failed", 1), ("slow", "alone", "built", 1)]
    await add_builds(database, rows)
    ratios = await peer_ratios(database)
    assert ratios["slow"] == 1.9
    assert ratios["fast"] < 1.0


async def test_a_mirrored_wheel_is_no_build(database: Database) -> None:
    await add_release(database)
    rows = [("pi", "t", "built", 60), (MIRROR_MAKER, "t", "built", 0)]
    await add_builds(database, rows)
    await database.execute("UPDATE builds SET ended_at = now() - interval '1 minute'")
    minute = await database.value("SELECT now() - interval '90 s'")
    (outline,) = (await queue_outlines(database)).values()
    (status,) = await status_queries.queue_statuses(database)
    (rate,) = await site_queries.success_rates(database)
    counts = [
        outline.builds,
        status.built_last_hour,
        rate.built,
        (await history.target_results(database))["t"].built,
        (await history.outcomes_last_hour(database))["built"],
        (await counts_of_minute(database, minute))[0].built,
        (await status_queries.farm_totals(database)).builds,
    ]
    assert counts == [1] * len(counts)
    assert await row_count_errors(database) == []
    for builds in (
        await history.recent_builds(database, limit=9),
        await site_queries.latest_builds(database, 9),
        await site_queries.project_builds(database, "numpy", 9),
        (await site_queries.last_builds(database, ["numpy"], 9))["numpy"],
        await history.recent_results(database),
    ):
        assert [build.builder for build in builds] == ["pi"]
    assert set(await counts_by_builder(database, minute, timedelta(hours=1))) == {"pi"}
    assert await usual_duration(database, "other", "numpy", "t") == 60.0
    assert await usual_duration(database, "pi", "numpy", "t") is None


async def test_a_failure_after_a_mirrored_wheel_is_no_regression(database: Database) -> None:
    await add_release(database)
    await add_builds(database, [(MIRROR_MAKER, "t", "built", 0), ("pi", "t", "failed", 9)])
    assert await site_queries.regressions(database, 9) == ()
    await database.execute("UPDATE builds SET builder = 'pi'")
    assert len(await site_queries.regressions(database, 9)) == 1


async def test_imported_wheels_give_no_builder_a_record(database: Database) -> None:
    await add_release(database)
    await add_builds(database, [(maker, "t", "built", 0) for maker in (*OTHER_MAKERS, "pi")])
    await database.execute("UPDATE builds SET ended_at = now()")
    assert [ended.builder for ended in await history.recent_results(database)] == ["pi"]
