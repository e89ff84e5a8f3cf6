"""Completed builds: how many ended in a minute, and how long they usually take."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from piwheels.db.database import Database
from piwheels.db.history import MinuteCounts, counts_of_minute, peer_ratios, usual_durations

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
