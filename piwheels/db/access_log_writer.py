"""Writes access-log batches: raw rows, aggregates and the position of each log, together.

A commit is one transaction, so a crash leaves all of a batch or nothing. A batch begins at the
stored position of its log; if that has changed, another process has read the log, and nothing is
written.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from piwheels.db import binary_copy
from piwheels.db.access_log_positions import LOCK_TOTALS, SECONDS_RETENTION
from piwheels.db.database import Database, transpose_rows
from piwheels.db.rows import integer_array, to_parameters
from piwheels.errors import PiwheelsError
from piwheels.model import DownloadedWheel, UserAgent

REQUEST_KIND_COUNT = 6  # kinds of accesses, numbered from 0
_DOWNLOAD = 1
_MAX_CACHED = 200_000
_MAX_USER_AGENTS = 100_000
_MAX_DIMENSION_VALUES = 500  # values per day, because clients can send anything
_OTHER_VALUES = "other"
_CACHED_DAYS = 3


class ConcurrentReadError(PiwheelsError):
    """Another process has read this log meanwhile."""


class LogAdvance(msgspec.Struct, frozen=True, kw_only=True):
    """A step through a log, from one position to another."""

    log_id: int | None  # None for a new log
    first_line: bytes
    ordinal: int  # for a new log: how many with the same first line exist
    start_position: int  # the position that it had
    position: int
    digest: bytes
    lines: int  # in this step, as are the rejected ones
    rejected_lines: int
    name: str
    checkpoints: Sequence[tuple[int, bytes]]


class DayCounts(msgspec.Struct, kw_only=True):
    """What a batch counted of one day."""

    day: date
    by_kind: list[int] = msgspec.field(default_factory=lambda: [0] * REQUEST_KIND_COUNT)
    size_bytes: int = 0  # of downloads
    wheels: dict[int, int] = {}  # downloads by wheel, as below
    projects: dict[str, int] = {}
    dimensions: dict[tuple[str, str], int] = {}
    clients: set[bytes] = set()  # as packed in a row


class AccessBatch(msgspec.Struct, kw_only=True):
    """What a step read."""

    rows: list[bytes] = []  # in the binary format of COPY
    months: set[date] = set()  # that the rows lie in
    days: list[DayCounts] = []
    seconds: dict[int, int] = {}  # downloads by second since 1970
    wheels: dict[int, DownloadedWheel] = {}
    agents: dict[int, UserAgent] = {}
    lines: dict[int, bytes] = {}  # fingerprints by minute since 1970, as they are kept


# --- writing -----------------------------------------------------------------------------


class AccessLogWriter:
    """Commits batches; caches what it has written, to avoid writing it again."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._wheels: set[int] = set()
        self._agents: set[int] = set()
        self._clients: dict[date, set[bytes]] = {}

    async def commit(self, advance: LogAdvance, batch: AccessBatch) -> int:
        """Write a batch and the log's new position; returns the log's number.

        If it is repeated after a lost connection, it finds its own data and does nothing.

        Raises:
            ConcurrentReadError: the log is not at the position where the step began.
        """
        log_id = await self._db.in_transaction(lambda: self._write(advance, batch))
        self._cache(batch)
        return log_id

    async def _write(self, advance: LogAdvance, batch: AccessBatch) -> int:
        # One at a time: totals of two readers update the same rows in any order.
        await self._db.execute(LOCK_TOTALS)
        log_id = await self._advance(advance)
        if log_id is None:
            return await self._already_committed(advance)
        await self._add_checkpoints(log_id, advance.checkpoints)
        await self._add_wheels(batch)
        await self._add_agents(batch)
        await self._add_rows(batch)
        for counts in batch.days:
            await self._add_day(counts)
        await self._add_seconds(batch.seconds)
        await self._add_line_fingerprints(batch.lines)
        return log_id

    async def _advance(self, advance: LogAdvance) -> int | None:
        """The log's number, or None if it is not at the position where the step began."""
        values = msgspec.structs.asdict(advance)
        if advance.log_id is None:
            query = """
                INSERT INTO ingested_logs
                       (first_line, ordinal, position, digest, lines, rejected_lines, name)
                VALUES (%(first_line)s, %(ordinal)s, %(position)s, %(digest)s, %(lines)s,
                        %(rejected_lines)s, %(name)s)
                    ON CONFLICT DO NOTHING
             RETURNING log_id
            """
        else:
            query = """
                UPDATE ingested_logs
                   SET position = %(position)s, digest = %(digest)s, name = %(name)s,
                       lines = lines + %(lines)s,
                       rejected_lines = rejected_lines + %(rejected_lines)s,
                       read_at = now()
                 WHERE log_id = %(log_id)s AND position = %(start_position)s
             RETURNING log_id
            """
        number: int | None = await self._db.value(query, values)
        return number

    async def _already_committed(self, advance: LogAdvance) -> int:
        found = await self._db.row(
            """
            SELECT log_id, position, digest FROM ingested_logs
             WHERE log_id = %(log_id)s
                OR (%(log_id)s::bigint IS NULL
                    AND first_line = %(first_line)s AND ordinal = %(ordinal)s)
            """,
            {
                "log_id": advance.log_id,
                "first_line": advance.first_line,
                "ordinal": advance.ordinal,
            },
        )
        if found and (found["position"], found["digest"]) == (advance.position, advance.digest):
            return int(found["log_id"])
        raise ConcurrentReadError(f"{advance.name} is being read by another process")

    async def _add_checkpoints(self, log: int, checkpoints: Sequence[tuple[int, bytes]]) -> None:
        if not checkpoints:
            return
        positions, digests = zip(*checkpoints, strict=True)
        await self._db.execute(
            """
            INSERT INTO ingested_log_checkpoints (log_id, position, digest)
            SELECT %(log_id)s, * FROM unnest(%(positions)s::bigint[], %(digests)s::bytea[])
                ON CONFLICT DO NOTHING
            """,
            {"log_id": log, "positions": list(positions), "digests": list(digests)},
        )

    async def _add_wheels(self, batch: AccessBatch) -> None:
        """New wheels, each with the build time that one download saves.

        The first generation's formula: the duration (times 6 on armv6) less 6.7 s, never below
        0; nothing for a build of over a week, or for a wheel without an ABI.
        """
        rows = [row for key, row in sorted(batch.wheels.items()) if key not in self._wheels]
        if not rows:
            return
        await self._db.execute(
            """
            INSERT INTO downloaded_wheels (wheel_id, filename, project, saved_s)
            SELECT n.wheel_id, n.filename, n.project,
                   CASE WHEN n.factor = 0 OR b.duration_s > 7 * 86400 THEN 0
                        WHEN b.duration_s IS NOT NULL
                        THEN greatest(b.duration_s * n.factor - 6.7, 0)
                   END
              FROM unnest(%(key)s::bigint[], %(filename)s::text[], %(project)s::text[],
                          %(time_factor)s::integer[]) AS n (wheel_id, filename, project, factor)
              LEFT JOIN files f ON f.filename = n.filename
              LEFT JOIN builds b ON b.build_id = f.build_id
                ON CONFLICT (wheel_id) DO UPDATE
               SET saved_s = excluded.saved_s
             WHERE downloaded_wheels.saved_s IS NULL AND excluded.saved_s IS NOT NULL
            """,
            transpose_rows(list(map(to_parameters, rows))),
        )

    async def _add_agents(self, batch: AccessBatch) -> None:
        rows = [row for key, row in sorted(batch.agents.items()) if key not in self._agents]
        if not rows:
            return
        await self._db.execute(
            """
            INSERT INTO user_agents
            SELECT * FROM unnest(%(key)s::bigint[], %(agent_class)s::text[],
                   %(installer)s::text[], %(installer_version)s::text[], %(arch)s::text[],
                   %(os)s::text[], %(os_release)s::text[], %(python)s::text[])
             WHERE (SELECT count(*) FROM user_agents) < %(largest)s
                ON CONFLICT DO NOTHING
            """,
            {**transpose_rows(list(map(to_parameters, rows))), "largest": _MAX_USER_AGENTS},
        )

    async def _add_rows(self, batch: AccessBatch) -> None:
        if not batch.rows:
            return
        for month in sorted(batch.months):
            await self._db.execute(
                "SELECT create_access_partition(%(at)s::date::timestamp AT TIME ZONE 'UTC')",
                {"at": month},
            )
        await self._db.copy(
            f"COPY access_records ({binary_copy.COLUMNS}) FROM STDIN (FORMAT binary)",
            (binary_copy.HEADER, *batch.rows, binary_copy.TRAILER),
        )

    # --- aggregates ---

    async def _add_day(self, counts: DayCounts) -> None:
        clients = await self._add_clients(counts)
        await self._db.execute(
            """
            INSERT INTO downloads_daily AS d
                   (day, counted, counted_bytes, counted_saved_s, clients, others, index_hits,
                    project_pages, json_pages, log_pages)
            SELECT %(day)s, %(counted)s, %(bytes)s,
                   (SELECT coalesce(sum(n.count * w.saved_s), 0)
                      FROM unnest(%(wheels)s::bigint[], %(counts)s::integer[])
                           AS n (wheel_id, count)
                      JOIN downloaded_wheels w ON w.wheel_id = n.wheel_id),
                   %(clients)s, %(others)s, %(index)s, %(project)s, %(json)s, %(log)s
                ON CONFLICT (day) DO UPDATE
               SET counted = d.counted + excluded.counted,
                   counted_bytes = d.counted_bytes + excluded.counted_bytes,
                   counted_saved_s = d.counted_saved_s + excluded.counted_saved_s,
                   clients = d.clients + excluded.clients,
                   others = d.others + excluded.others,
                   index_hits = d.index_hits + excluded.index_hits,
                   project_pages = d.project_pages + excluded.project_pages,
                   json_pages = d.json_pages + excluded.json_pages,
                   log_pages = d.log_pages + excluded.log_pages
            """,
            {
                "day": counts.day,
                "bytes": counts.size_bytes,
                "wheels": integer_array(counts.wheels),
                "counts": integer_array(counts.wheels.values()),
                "clients": clients,
                **dict(
                    zip(
                        ("others", "counted", "index", "project", "json", "log"),
                        counts.by_kind,
                        strict=True,
                    )
                ),
            },
        )
        if counts.by_kind[_DOWNLOAD]:
            await self._add_downloads(counts)
            await self._add_dimensions(counts)

    async def _add_clients(self, counts: DayCounts) -> int:
        """Store clients; returns how many are new on their day."""
        new = counts.clients - self._clients.get(counts.day, set())
        if not new:
            return 0
        return await self._db.execute(
            """
            INSERT INTO daily_client_hashes (day, client_hash)
            SELECT k.day, n.client_hash
              FROM daily_address_keys k, unnest(%(clients)s::bigint[]) AS n (client_hash)
             WHERE k.day = %(day)s AND k.key IS NOT NULL
                ON CONFLICT DO NOTHING
            """,
            {"day": counts.day, "clients": integer_array(sorted(binary_copy.unpack_clients(new)))},
        )

    async def _add_downloads(self, counts: DayCounts) -> None:
        place = {"day": counts.day, "place": counts.day.day}
        wheels: dict[Any, int] = dict(sorted(counts.wheels.items()))
        projects: dict[Any, int] = dict(sorted(counts.projects.items()))
        wheel_keys = integer_array(wheels)
        for column, kind, keys, counted in (
            ("wheel_id", "bigint", wheel_keys, wheels),
            ("project", "text", list(projects), projects),
        ):
            await self._db.execute(
                f"""
                INSERT INTO downloads_monthly_by_{column.removesuffix("_id")} AS d
                       (month, {column}, downloads, days)
                SELECT date_trunc('month', %(day)s::date), n.key, n.count,
                       array_fill(n.count, ARRAY[1], ARRAY[%(place)s])
                  FROM unnest(%(keys)s::{kind}[], %(counts)s::integer[]) AS n (key, count)
                    ON CONFLICT (month, {column}) DO UPDATE
                   SET downloads = d.downloads + excluded.downloads,
                       days[%(place)s] = coalesce(d.days[%(place)s], 0) + excluded.downloads
                """,  # noqa: S608 - of constants alone
                {**place, "keys": keys, "counts": integer_array(counted.values())},
            )
        await self._db.execute(
            """
            INSERT INTO downloads_by_project AS t (project, downloads, saved_s)
            SELECT w.project, sum(n.count), sum(n.count * coalesce(w.saved_s, 0))
              FROM unnest(%(wheels)s::bigint[], %(counts)s::integer[]) AS n (wheel_id, count)
              JOIN downloaded_wheels w ON w.wheel_id = n.wheel_id
             GROUP BY w.project
             ORDER BY w.project
                ON CONFLICT (project) DO UPDATE
               SET downloads = t.downloads + excluded.downloads,
                   saved_s = t.saved_s + excluded.saved_s
            """,
            {"wheels": wheel_keys, "counts": integer_array(wheels.values())},
        )

    async def _add_dimensions(self, counts: DayCounts) -> None:
        known: dict[str, set[str]] = {}
        for row in await self._db.rows(
            "SELECT dimension, value FROM downloads_daily_by_dimension WHERE day = %(day)s",
            {"day": counts.day},
        ):
            known.setdefault(row["dimension"], set()).add(row["value"])
        kept: dict[tuple[str, str], int] = {}
        for (dimension, value), count in sorted(counts.dimensions.items()):
            values = known.setdefault(dimension, set())
            shown = value
            if value not in values and len(values) >= _MAX_DIMENSION_VALUES:
                shown = _OTHER_VALUES
            values.add(shown)
            kept[dimension, shown] = kept.get((dimension, shown), 0) + count
        await self._db.execute(
            """
            INSERT INTO downloads_daily_by_dimension AS d (day, dimension, value, downloads)
            SELECT %(day)s, n.dimension, n.value, n.count
              FROM unnest(%(dimensions)s::text[], %(values)s::text[], %(counts)s::bigint[])
                   AS n (dimension, value, count)
             ORDER BY n.dimension, n.value
                ON CONFLICT (dimension, day, value) DO UPDATE
               SET downloads = d.downloads + excluded.downloads
            """,
            {
                "day": counts.day,
                "dimensions": [dimension for dimension, _ in kept],
                "values": [value for _, value in kept],
                "counts": list(kept.values()),
            },
        )

    async def _add_seconds(self, seconds: dict[int, int]) -> None:
        earliest = (datetime.now(UTC) - SECONDS_RETENTION).timestamp()
        recent = {second: count for second, count in seconds.items() if second >= earliest}
        if not recent:
            return
        await self._db.execute(
            """
            INSERT INTO downloads_recent_seconds AS d (second, downloads)
            SELECT to_timestamp(n.second), n.count
              FROM unnest(%(seconds)s::bigint[], %(counts)s::integer[]) AS n (second, count)
             ORDER BY n.second
                ON CONFLICT (second) DO UPDATE SET downloads = d.downloads + excluded.downloads
            """,
            {"seconds": integer_array(recent), "counts": integer_array(recent.values())},
        )

    async def _add_line_fingerprints(self, lines: dict[int, bytes]) -> None:
        if lines:
            await self._db.execute(
                """
                INSERT INTO line_fingerprints (minute, fingerprints)
                SELECT * FROM unnest(%(minutes)s::integer[], %(marks)s::bytea[])
                """,
                {"minutes": list(lines), "marks": list(lines.values())},
            )

    def _cache(self, batch: AccessBatch) -> None:
        for known, new in ((self._wheels, batch.wheels), (self._agents, batch.agents)):
            if len(known) > _MAX_CACHED:
                known.clear()
            known.update(new)
        for counts in batch.days:
            clients = self._clients.pop(counts.day, set())
            if len(clients) > _MAX_CACHED:
                clients.clear()
            clients.update(counts.clients)
            self._clients[counts.day] = clients
        while len(self._clients) > _CACHED_DAYS:
            del self._clients[next(iter(self._clients))]
