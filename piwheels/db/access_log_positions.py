"""Positions of logs, their readers, line fingerprints, and the daily keys of address hashes."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from secrets import token_bytes

import msgspec

from piwheels.db.database import Database, transactional

SECONDS_RETENTION = timedelta(minutes=62)
_MAX_KEYS_KEPT = 3
#: The number of days with requests that confirm the passage of time.
CONFIRMING_DAYS = 3
_KEY_BYTES = 32
#: Taken by every transaction that changes totals, fingerprints or keys.
LOCK_TOTALS = "SELECT pg_advisory_xact_lock(7092)"


class IngestedLog(msgspec.Struct, frozen=True, kw_only=True):
    """A log that was read before, with its position."""

    log_id: int
    name: str  # of the file that it was last read from
    first_line: bytes  # its hash
    position: int
    digest: bytes
    checkpoints: dict[int, bytes]


# --- what was read before ----------------------------------------------------------------


async def find_logs(db: Database, first_line: bytes) -> list[IngestedLog]:
    """Logs that begin with a line of this hash, the longest first."""
    rows = await db.rows(
        "SELECT log_id FROM ingested_logs WHERE first_line = %(first_line)s",
        {"first_line": first_line},
    )
    return await _load_logs(db, [row["log_id"] for row in rows])


async def find_logs_at(db: Database, position: int) -> list[IngestedLog]:
    """Logs that have a checkpoint at a position, the longest first."""
    rows = await db.rows(
        "SELECT log_id FROM ingested_log_checkpoints WHERE position = %(position)s",
        {"position": position},
    )
    return await _load_logs(db, [row["log_id"] for row in rows])


async def _load_logs(db: Database, logs: Sequence[int]) -> list[IngestedLog]:
    rows = await db.rows(
        """
        SELECT l.log_id, l.name, l.first_line, l.position, l.digest,
               coalesce(array_agg(c.position ORDER BY c.position)
                        FILTER (WHERE c.log_id IS NOT NULL), '{}') AS positions,
               coalesce(array_agg(c.digest ORDER BY c.position)
                        FILTER (WHERE c.log_id IS NOT NULL), '{}') AS digests
          FROM ingested_logs l
          LEFT JOIN ingested_log_checkpoints c ON c.log_id = l.log_id
         WHERE l.log_id = ANY (%(logs)s)
         GROUP BY l.log_id
         ORDER BY l.position DESC, l.log_id
        """,
        {"logs": list(logs)},
    )
    return [
        IngestedLog(
            log_id=row["log_id"],
            name=row["name"],
            first_line=row["first_line"],
            position=row["position"],
            digest=row["digest"],
            checkpoints=dict(zip(row["positions"], row["digests"], strict=True)),
        )
        for row in rows
    ]


async def rename_log(db: Database, log_id: int, name: str) -> None:
    """Store the name under which a log is read now."""
    await db.execute(
        "UPDATE ingested_logs SET name = %(name)s, read_at = now() WHERE log_id = %(log_id)s",
        {"log_id": log_id, "name": name},
    )


async def last_reads_in_dir(db: Database, folder: str) -> dict[str, datetime]:
    """The files of a directory that logs were last read from, and when."""
    rows = await db.rows(
        """
        SELECT name, max(read_at) AS read_at FROM ingested_logs
         WHERE starts_with(name, %(folder)s || '/')
         GROUP BY name
        """,
        {"folder": folder},
    )
    return {row["name"]: row["read_at"] for row in rows}


async def read_positions(db: Database, first_line: bytes) -> list[int]:
    """How far the logs that begin with a line of this hash were read."""
    rows = await db.rows(
        "SELECT position FROM ingested_logs WHERE first_line = %(first_line)s",
        {"first_line": first_line},
    )
    return [row["position"] for row in rows]


# --- lines that were counted before ------------------------------------------------------


async def line_fingerprints(db: Database, minutes: Collection[int]) -> dict[int, list[bytes]]:
    """Fingerprints of lines that were counted, by their minutes since 1970."""
    rows = await db.rows(
        """
        SELECT minute, array_agg(fingerprints) AS fingerprints FROM line_fingerprints
         WHERE minute = ANY (%(minutes)s)
         GROUP BY minute
        """,
        {"minutes": list(minutes)},
    )
    return {row["minute"]: row["fingerprints"] for row in rows}


async def days_without_fingerprints(db: Database, days: Collection[date]) -> list[date]:
    """Those of these days that have requests without stored fingerprints.

    They were counted before fingerprints were stored, or their fingerprints have been deleted.
    """
    rows = await db.rows(
        """
        SELECT day FROM downloads_daily
         WHERE day = ANY (%(days)s)
           AND counted + index_hits + project_pages + json_pages + log_pages + others > 0
           AND (day IN (SELECT day FROM pruned_fingerprint_days)
                OR NOT EXISTS (
                   SELECT FROM line_fingerprints
                    WHERE minute BETWEEN (day - date '1970-01-01') * 1440
                                     AND (day - date '1970-01-01') * 1440 + 1439))
         ORDER BY day
        """,
        {"days": list(days)},
    )
    return [row["day"] for row in rows]


@transactional
async def compact_fingerprints(db: Database, before: int) -> None:
    """Merge the fingerprints of each minute before this one into one row."""
    await db.execute(LOCK_TOTALS)
    await db.execute("SELECT compact_line_fingerprints(%(before)s)", {"before": before})


@transactional
async def prune_fingerprints(db: Database, before: date) -> None:
    """Delete the fingerprints of lines that were logged on days before this one."""
    await db.execute(LOCK_TOTALS)
    await db.execute("SELECT prune_line_fingerprints(%(before)s)", {"before": before})


async def wheel_sizes(db: Database, filenames: Collection[str]) -> dict[str, int]:
    """The sizes of published wheels, in bytes; others are left out."""
    rows = await db.rows(
        "SELECT filename, size_bytes FROM files WHERE filename = ANY (%(filenames)s)",
        {"filenames": list(filenames)},
    )
    return {row["filename"]: row["size_bytes"] for row in rows}


# --- keys of addresses -------------------------------------------------------------------


async def address_keys(db: Database, days: Sequence[date]) -> dict[date, bytes | None]:
    """The keys that these days' addresses are hashed with; None for a deleted one."""
    await db.execute(
        """
        INSERT INTO daily_address_keys (day, key)
        SELECT * FROM unnest(%(days)s::date[], %(keys)s::bytea[])
            ON CONFLICT DO NOTHING
        """,
        {"days": list(days), "keys": [token_bytes(_KEY_BYTES) for _ in days]},
    )
    rows = await db.rows(
        "SELECT day, key FROM daily_address_keys WHERE day = ANY (%(days)s)", {"days": list(days)}
    )
    return {row["day"]: row["key"] for row in rows}


@transactional
async def delete_expired_keys(db: Database) -> None:
    """Delete the keys and the address hashes of days that are over.

    Yesterday and today are kept, and the three days whose keys were made last, since a log of
    the past is read day by day; nothing is kept for longer than two days.
    """
    await db.execute(LOCK_TOTALS)
    await db.execute(
        """
        WITH past AS (
            SELECT day, row_number() OVER (ORDER BY made_at DESC, day DESC) AS place, made_at
              FROM daily_address_keys
             WHERE key IS NOT NULL
               AND day NOT IN (%(today)s, %(today)s - 1)
        ), forgotten AS (
            UPDATE daily_address_keys k
               SET key = NULL
              FROM past
             WHERE k.day = past.day
               AND (past.place > %(kept)s OR past.made_at < now() - interval '48 hours')
         RETURNING k.day
        )
        DELETE FROM daily_client_hashes c USING forgotten f WHERE c.day = f.day
        """,
        {"today": datetime.now(UTC).date(), "kept": _MAX_KEYS_KEPT},
    )


# --- partitions --------------------------------------------------------------------------


async def confirmed_day(db: Database) -> date | None:
    """The day that requests confirm, whatever the clock says; None if there are too few.

    It is the third of the newest days on which anything was accessed: a clock that is wrong for
    two days, together with the web server's that writes the same machine's log, moves it by no day.
    """
    day: date | None = await db.value(
        """
        SELECT day FROM downloads_daily
         WHERE counted + index_hits + project_pages + json_pages + log_pages + others > 0
         ORDER BY day DESC
        OFFSET %(passed_over)s LIMIT 1
        """,
        {"passed_over": CONFIRMING_DAYS - 1},
    )
    return day


async def drop_partitions(db: Database, before: date) -> list[str]:
    """Drop the raw rows of all months before this one; returns the partitions' names."""
    rows = await db.rows(
        "SELECT drop_access_partitions(%(before)s) AS name", {"before": before.replace(day=1)}
    )
    return [row["name"] for row in rows]


# --- who reads ---------------------------------------------------------------------------


async def heartbeat_reader(db: Database, reader: str) -> None:
    """Record that a log is being read, and delete per-second counts that have expired."""
    await db.execute(
        """
        INSERT INTO active_log_readers (reader) VALUES (%(reader)s)
            ON CONFLICT (reader) DO UPDATE SET seen_at = now()
        """,
        {"reader": reader},
    )
    await db.execute("DELETE FROM active_log_readers WHERE seen_at < now() - interval '1 day'")
    await db.execute(
        "DELETE FROM downloads_recent_seconds WHERE second < now() - %(kept)s",
        {"kept": SECONDS_RETENTION},
    )


async def remove_reader(db: Database, reader: str) -> None:
    """Record that a log is no longer being read."""
    await db.execute("DELETE FROM active_log_readers WHERE reader = %(reader)s", {"reader": reader})
