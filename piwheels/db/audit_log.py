"""Writes and purges the audit log."""

from datetime import timedelta

from piwheels.db.database import Database

#: The newest events are kept regardless of their age.
MIN_KEPT_EVENTS = 1000

#: By number, which has an index and has the same order as age.
DELETE_OLD_EVENTS = """
    DELETE FROM events
     WHERE event_id IN (
         SELECT event_id
           FROM (SELECT event_id, at FROM events ORDER BY event_id LIMIT %(at_most)s) first
          WHERE at < now() - %(age)s
            AND event_id <= (SELECT max(event_id) FROM events) - %(kept)s
     )
"""


async def delete_old_events(db: Database, *, older_than: timedelta, limit: int) -> int:
    """Delete the oldest events above this age; returns how many.

    The newest thousand are kept in any case, so that a wrong clock cannot delete everything.
    """
    return await db.execute(
        DELETE_OLD_EVENTS, {"age": older_than, "at_most": limit, "kept": MIN_KEPT_EVENTS}
    )


async def record_event(
    db: Database, who: str, action: str, subject: str = "", outcome: str = ""
) -> int:
    """Append to the audit log; returns the event's number.

    `outcome` is the result of a command: "applied", or "rejected: why".
    """
    return int(
        await db.value(
            """
            INSERT INTO events (who, text, subject, outcome)
            VALUES (%(who)s, %(action)s, %(subject)s, %(outcome)s)
            RETURNING event_id
            """,
            {"who": who, "action": action, "subject": subject, "outcome": outcome},
        )
    )
