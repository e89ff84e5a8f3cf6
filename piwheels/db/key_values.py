"""Key-value pairs that persist across restarts."""

from collections.abc import Sequence

from piwheels.db.database import Database


async def get_value(db: Database, key: str) -> str | None:
    """The value of a key, or None."""
    value = await db.value("SELECT value FROM key_values WHERE key = %(key)s", {"key": key})
    return None if value is None else str(value)


async def get_values(db: Database, prefix: str) -> dict[str, str]:
    """All values whose keys have a prefix, by the rest of the key."""
    rows = await db.rows(
        "SELECT key, value FROM key_values WHERE starts_with(key, %(prefix)s)", {"prefix": prefix}
    )
    return {row["key"].removeprefix(prefix): row["value"] for row in rows}


async def get_named(db: Database, keys: Sequence[str]) -> dict[str, str]:
    """The values of those of these keys that have one."""
    rows = await db.rows(
        "SELECT key, value FROM key_values WHERE key = ANY (%(keys)s)", {"keys": list(keys)}
    )
    return {row["key"]: row["value"] for row in rows}


async def lock_value(db: Database, key: str, first: str) -> str:
    """The value of a key that no other transaction changes until this one ends.

    Args:
        db: the connection, in a transaction.
        key: the key.
        first: its value if it has none.
    """
    value = await db.value(
        """
        INSERT INTO key_values AS own (key, value) VALUES (%(key)s, %(first)s)
            ON CONFLICT (key) DO UPDATE SET value = own.value
            RETURNING value
        """,
        {"key": key, "first": first},
    )
    return str(value)


async def set_value(db: Database, key: str, value: str | None) -> None:
    """Store a value; None deletes it."""
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
