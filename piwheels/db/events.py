"""The list of who did what, and what the farm did of itself, written and shortened."""

from datetime import timedelta

from piwheels.db.database import Database

#: So many events stay, however old they are.
MIN_KEPT_EVENTS = 1000

#: By number, for which there is an index, and which is as good as by age.
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
    """Delete from the beginning of the event list what is so old; returns how many.

    Whatever their age, the last thousand stay: a clock that was wrong costs no more than the rest.
    """
    return await db.execute(
        DELETE_OLD_EVENTS, {"age": older_than, "at_most": limit, "kept": MIN_KEPT_EVENTS}
    )


async def record_event(
    db: Database, who: str, action: str, subject: str = "", outcome: str = ""
) -> int:
    """Add to the list of who did what; returns the event's number.

    `outcome` is what came of a command: "applied", or "refused: why".
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
