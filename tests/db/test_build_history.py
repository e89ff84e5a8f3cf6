"""Completed builds by hour: each build is in the hour in which it ended."""

from collections.abc import Iterable

from piwheels.db.database import Database
from piwheels.db.history import build_history, peer_ratios, usual_durations
from piwheels.model import BUILD_HISTORY_HOURS

_TARGET = """
    INSERT INTO targets (target, sort_order, python, python_full, implementation, abi, arch, os,
                         glibc)
    VALUES ('t', 1, '3.11', '3.11.2', 'cp', 'cp311', 'armv7l', 'bookworm', '2.36')
"""
_BUILD = """
    INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry, reason,
                        started_at, ended_at, duration_s, attempt, build_inputs)
    VALUES (%(build)s, 'numpy', '1.0', 't', 'b', %(outcome)s, %(will_retry)s, '', now(),
            date_trunc('minute', now()) - make_interval(mins => %(minutes_ago)s), 1, 1, '{}')
"""
#: Outcome, whether it is retried, and how many minutes ago it ended.
_BUILDS = (
    ("built", False, 0),
    ("built", False, 59),
    ("failed", False, 30),
    ("lost", True, 30),
    ("built", False, 60),
    ("failed", False, 24 * 60 + 1),
    ("built", False, 48 * 60 - 1),
    ("built", False, 48 * 60),
    ("built", False, -1),  # in the minute that has not ended
)


async def test_each_build_counts_in_the_hour_in_which_it_ended(database: Database) -> None:
    await database.execute("INSERT INTO requires_python_specifiers VALUES ('')")
    await database.execute("INSERT INTO projects (project, display_name) VALUES ('numpy', 'numpy')")
    await database.execute(
        """
        INSERT INTO releases (project, version, released_at, requires_python)
        VALUES ('numpy', '1.0', now(), '')
        """
    )
    await database.execute(_TARGET)
    async with database.transaction():  # one time for all
        for number, (outcome, will_retry, minutes_ago) in enumerate(_BUILDS, 1):
            await database.execute(
                _BUILD,
                {
                    "build": number,
                    "outcome": outcome,
                    "will_retry": will_retry,
                    "minutes_ago": minutes_ago,
                },
            )
        history = await build_history(database)
    assert len(history.built) == len(history.failed) == BUILD_HISTORY_HOURS
    assert {place: number for place, number in enumerate(history.built) if number} == {
        47: 2, 46: 1, 0: 1,
    }  # fmt: skip
    assert {place: number for place, number in enumerate(history.failed) if number} == {
        47: 1, 23: 1,
    }  # fmt: skip


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
