"""What is known of long queues without reading them: see `model.queue_outline`."""

from collections.abc import Sequence

from piwheels.db.database import Database
from piwheels.db.row_counts import row_counts
from piwheels.model import QueueKey, QueueOutline

#: So many pages of the table of jobs are sampled: the place of a job in the middle of a queue is
#: then known within 7 percent of its length.
SAMPLED_PAGES = 200
#: The first jobs of a queue, whose places are known exactly.
FIRST_JOBS = 200

#: The same pages each time, so that an estimate changes only when the queue does.
_SAMPLES_SQL = """
    SELECT target, count(DISTINCT page)::int AS pages,
           array_agg(priority_class ORDER BY priority_class, priority_s) AS classes,
           array_agg(priority_s ORDER BY priority_class, priority_s) AS times
      FROM (
          SELECT target, (ctid::text::point)[0] AS page, priority_class,
                 extract(epoch FROM priority_time)::float8 AS priority_s
            FROM jobs TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (0)
           WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked
      ) sampled
     GROUP BY target
"""


async def queue_outlines(db: Database) -> dict[str, QueueOutline]:
    """The outline of each target's queue, without targets that have neither jobs nor builds."""
    counts = await row_counts(db)
    samples = await _samples(db)
    builds = await _recent_builds(db)
    queued = {target for table, target, _ in counts.numbers if table == "jobs"}
    outlines = {}
    for target in queued | builds.keys():
        jobs = counts.by_state("jobs", target)
        sampled, pages = samples.get(target, ((), 0))
        ended, hours = builds.get(target, (0, 0.0))
        outlines[target] = QueueOutline(
            waiting=jobs["pending"] + jobs["held"],
            sampled_jobs=sampled,
            sampled_pages=pages,
            builds=ended,
            builds_hours=hours,
        )
    return outlines


async def _samples(db: Database) -> dict[str, tuple[tuple[QueueKey, ...], int]]:
    """By target, the places of jobs in a sample of pages, and how many pages have any."""
    pages: int = await db.value(
        "SELECT pg_relation_size('jobs') / current_setting('block_size')::int"
    )
    percent = 100 * SAMPLED_PAGES / max(pages, SAMPLED_PAGES)
    rows = await db.rows(_SAMPLES_SQL, {"percent": percent})
    return {
        row["target"]: (tuple(zip(row["classes"], row["times"], strict=True)), row["pages"])
        for row in rows
    }


async def _recent_builds(db: Database) -> dict[str, tuple[int, float]]:
    """By target, how many builds ended in the last day, and in how many hours of it."""
    rows = await db.rows(
        """
        SELECT target, count(*)::int AS builds,
               greatest(extract(epoch FROM now() - min(ended_at)) / 3600, 0.1)::float8 AS hours
          FROM made_builds
         WHERE ended_at > now() - interval '1 day'
         GROUP BY target
        """
    )
    return {row["target"]: (row["builds"], row["hours"]) for row in rows}


async def first_queue_keys(db: Database, targets: Sequence[str]) -> dict[str, list[QueueKey]]:
    """By target, the places of its first FIRST_JOBS jobs, ascending."""
    rows = await db.rows(
        """
        SELECT named.target, first.priority_class,
               extract(epoch FROM first.priority_time)::float8 AS priority_s
          FROM unnest(%(targets)s::text[]) AS named (target)
         CROSS JOIN LATERAL (
             SELECT priority_class, priority_time
               FROM jobs
              WHERE jobs.target = named.target
                AND claimed_by IS NULL AND retry_at IS NULL AND NOT parked
              ORDER BY priority_class, priority_time
              LIMIT %(limit)s
         ) first
        """,
        {"targets": list(targets), "limit": FIRST_JOBS},
    )
    keys: dict[str, list[QueueKey]] = {target: [] for target in targets}
    for row in rows:
        keys[row["target"]].append((row["priority_class"], row["priority_s"]))
    return {target: sorted(found) for target, found in keys.items()}
