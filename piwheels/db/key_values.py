"""Values that outlive the process, by a key."""

from piwheels.db.database import Database


async def get_value(db: Database, key: str) -> str | None:
    """A value that outlives the process, or None."""
    value = await db.value("SELECT value FROM key_values WHERE key = %(key)s", {"key": key})
    return None if value is None else str(value)


async def get_values(db: Database, prefix: str) -> dict[str, str]:
    """Every value whose key begins so, by the rest of its key."""
    rows = await db.rows(
        "SELECT key, value FROM key_values WHERE starts_with(key, %(prefix)s)", {"prefix": prefix}
    )
    return {row["key"].removeprefix(prefix): row["value"] for row in rows}


async def set_value(db: Database, key: str, value: str | None) -> None:
    """Keep a value across restarts; None lets go of it."""
    if value is None:
        await db.execute("DELETE FROM key_values WHERE key = %(key)s", {"key": key})
        return
    await db.execute(
        """
        INSERT INTO key_values (key, value) VALUES (%(key)s, %(value)s)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value
        """,
        {"key": key, "value": value},
    )
