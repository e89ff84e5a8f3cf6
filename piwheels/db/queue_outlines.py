"""What is known of long queues without reading them: see `model.queue_outline`."""

from collections.abc import Sequence

from piwheels.db.database import Database
from piwheels.db.row_counts import row_counts
from piwheels.model import QueueOutline

#: So many pages of the table of jobs are sampled: the place of a job in the middle of a queue is
#: then known within 7 percent of its length.
SAMPLED_PAGES = 200
#: The first jobs of a queue, whose places are known exactly.
FIRST_JOBS = 200

#: The same pages each time, so that an estimate changes only when the queue does.
_SAMPLES_SQL = """
    SELECT target, count(DISTINCT page)::int AS pages,
           array_agg(priority_s ORDER BY priority_s) AS times
      FROM (
          SELECT target, (ctid::text::point)[0] AS page,
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
        times, pages = samples.get(target, ((), 0))
        ended, hours = builds.get(target, (0, 0.0))
        outlines[target] = QueueOutline(
            waiting=jobs["pending"] + jobs["held"],
            sampled_times=times,
            sampled_pages=pages,
            builds=ended,
            builds_hours=hours,
        )
    return outlines


async def _samples(db: Database) -> dict[str, tuple[tuple[float, ...], int]]:
    """By target, the priority times of jobs in a sample of pages, and how many pages have any."""
    pages: int = await db.value(
        "SELECT pg_relation_size('jobs') / current_setting('block_size')::int"
    )
    percent = 100 * SAMPLED_PAGES / max(pages, SAMPLED_PAGES)
    rows = await db.rows(_SAMPLES_SQL, {"percent": percent})
    return {row["target"]: (tuple(row["times"]), row["pages"]) for row in rows}


async def _recent_builds(db: Database) -> dict[str, tuple[int, float]]:
    """By target, how many builds ended in the last day, and in how many hours of it."""
    rows = await db.rows(
        """
        SELECT target, count(*)::int AS builds,
               greatest(extract(epoch FROM now() - min(ended_at)) / 3600, 0.1)::float8 AS hours
          FROM builds
         WHERE ended_at > now() - interval '1 day'
         GROUP BY target
        """
    )
    return {row["target"]: (row["builds"], row["hours"]) for row in rows}


async def first_priority_times(db: Database, targets: Sequence[str]) -> dict[str, list[float]]:
    """By target, the priority times (s since 1970) of its first FIRST_JOBS jobs, ascending."""
    rows = await db.rows(
        """
        SELECT named.target,
               ARRAY(SELECT extract(epoch FROM priority_time)::float8
                       FROM jobs
                      WHERE jobs.target = named.target
                        AND claimed_by IS NULL AND retry_at IS NULL AND NOT parked
                      ORDER BY priority_time LIMIT %(limit)s) AS times
          FROM unnest(%(targets)s::text[]) AS named (target)
        """,
        {"targets": list(targets), "limit": FIRST_JOBS},
    )
    return {row["target"]: row["times"] for row in rows}
