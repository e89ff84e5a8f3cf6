"""Stored times that are too far in the future, written while the database's clock was wrong.

A time that something waits for is at most its longest delay ahead. A later one was stored before
the clock was set back, and would be waited for as long as the clock was wrong.
"""

from datetime import datetime, timedelta

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional

#: The clocks of the writer and of this comparison may differ a little.
_TOLERANCE = {"tolerance": timedelta(minutes=1)}

#: Each statement resets times that are further ahead than any valid wait.
_RESET_STATEMENTS = (
    # Pages are ordered by dirty_since; they are not rewritten for an interval, or for an hour at
    # most after a failure (page_queue.postpone).
    """
    UPDATE page_queue
       SET dirty_since = least(dirty_since, now()),
           written_at = CASE WHEN written_at > now() THEN now() ELSE written_at END,
           retry_at = CASE WHEN retry_at > now() + interval '1 hour' THEN now() ELSE retry_at END
     WHERE dirty_since > now() + %(tolerance)s
        OR written_at > now() + %(tolerance)s
        OR retry_at > now() + interval '1 hour' + %(tolerance)s
    """,
    # The deletion delay of a removed file begins now.
    """
    UPDATE file_deletions SET removed_at = now()
     WHERE removed_at > now() + %(tolerance)s AND NOT installing
    """,
    # A job that was queued in the future would come after all that are queued until then.
    """
    UPDATE jobs SET priority_time = priority_time - (queued_at - now()), queued_at = now()
     WHERE queued_at > now() + %(tolerance)s AND claimed_by IS NULL
    """,
    "UPDATE jobs SET claimed_at = now() WHERE claimed_at > now() + %(tolerance)s",
)


async def database_time(db: Database) -> datetime:
    """The time by the database's clock."""
    moment: datetime = await db.value("SELECT clock_timestamp()")
    return moment


async def reset_future_times(db: Database) -> int:
    """Reset every stored time that is too far in the future; returns how many rows."""
    count = 0
    for statement in _RESET_STATEMENTS:
        count += await db.execute(statement, _TOLERANCE)
    return count + await _reset_future_builds(db)


@transactional
async def _reset_future_builds(db: Database) -> int:
    """Builds that ended in the future would count for the last hour until then."""
    rows = await db.rows(
        "SELECT DISTINCT project FROM builds WHERE ended_at > now() + %(tolerance)s", _TOLERANCE
    )
    if not rows:
        return 0
    await lock_projects(db, [row["project"] for row in rows])
    return await db.execute(
        """
        UPDATE builds SET started_at = started_at - (ended_at - now()), ended_at = now()
         WHERE ended_at > now() + %(tolerance)s
        """,
        _TOLERANCE,
    )
