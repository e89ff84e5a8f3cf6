"""How the builds for a target ended: the last hour, and the week before it."""

from piwheels.db.database import Database
from piwheels.db.history import target_results
from piwheels.model import TargetResults
from tests.db.test_build_history import add_release

_WEEK = 7 * 24 * 60


async def test_the_builds_of_the_last_hour_are_apart_from_those_of_the_week_before(
    database: Database,
) -> None:
    await add_release(database)
    ended = [  # outcome, whether it is retried, minutes ago
        ("built", False, 5),
        ("built", False, 50),
        ("failed", False, 30),
        ("lost", True, 30),
        ("built", False, 62),
        ("failed", False, _WEEK),
        ("timed-out", False, _WEEK - 1),
        ("failed", False, _WEEK + 61),
    ]
    for number, (outcome, will_retry, minutes_ago) in enumerate(ended, 1):
        await database.execute(
            """
            INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry,
                                reason, started_at, ended_at, duration_s, attempt, build_inputs)
            VALUES (%(build)s, 'numpy', '1.0', 't', 'b', %(outcome)s, %(will_retry)s, '', now(),
                    now() - make_interval(mins => %(minutes_ago)s), 1, 1, '{}')
            """,
            {
                "build": number,
                "outcome": outcome,
                "will_retry": will_retry,
                "minutes_ago": minutes_ago,
            },
        )
    assert await target_results(database) == {
        "t": TargetResults(built=2, failed=1, built_before=1, failed_before=2)
    }
