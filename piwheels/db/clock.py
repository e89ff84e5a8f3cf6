"""Moments of the database's clock that lie too far ahead: kept while that clock was wrong.

A moment that something waits for is at most its longest delay ahead. One that is further ahead was
kept by a clock that has been set back since, and would be waited for as long as it was wrong.
"""

from datetime import datetime, timedelta

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional

#: What kept a moment may run beside what compares it.
_TOLERANCE = {"tolerance": timedelta(minutes=1)}

#: Each statement sets back what nothing waits for so long by right.
_RESET_STATEMENTS = (
    # Pages are in the order of `since`; they rest after they were written, or for an hour at
    # most after they could not be written (pages.put_off).
    """
    UPDATE page_queue
       SET dirty_since = least(dirty_since, now()),
           written_at = CASE WHEN written_at > now() THEN now() ELSE written_at END,
           retry_at = CASE WHEN retry_at > now() + interval '1 hour' THEN now() ELSE retry_at END
     WHERE dirty_since > now() + %(tolerance)s
        OR written_at > now() + %(tolerance)s
        OR retry_at > now() + interval '1 hour' + %(tolerance)s
    """,
    # The grace of a removed file begins now; one that is being published stays at infinity.
    """
    UPDATE file_deletions SET removed_at = now()
     WHERE removed_at > now() + %(tolerance)s AND NOT installing
    """,
    # A job that was queued in the future would be due after all that are queued until then.
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
    """Set back every kept moment that is further ahead than it can be; returns how many rows."""
    count = 0
    for statement in _RESET_STATEMENTS:
        count += await db.execute(statement, _TOLERANCE)
    return count + await _reset_future_builds(db)


@transactional
async def _reset_future_builds(db: Database) -> int:
    """Builds that ended in the future would count as the last hour's until then."""
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
