"""What is known of long queues without reading them: see `model.queue_outline`."""

from collections.abc import Sequence

from piwheels.db.database import Database
from piwheels.db.row_counts import row_counts
from piwheels.db.rows import from_row
from piwheels.model import QueueKey, QueueOutline, Struct

#: So many pages of the table of jobs are sampled: the place of a job in the middle of a queue is
#: then known within 7 percent of its length.
SAMPLED_PAGES = 200
#: The first jobs of a queue, whose places are known exactly.
FIRST_JOBS = 200

#: The same pages each time, so that an estimate changes only when the queue does.
_SAMPLES_SQL = """
    SELECT target, count(DISTINCT page)::int AS pages,
           count(nullif(expected_s, 0))::int AS known, sum(expected_s)::float8 AS known_s,
           array_agg(priority_class ORDER BY priority_class, priority_s) AS classes,
           array_agg(priority_s ORDER BY priority_class, priority_s) AS times
      FROM (
          SELECT target, (ctid::text::point)[0] AS page, priority_class,
                 (SELECT expected_build_s FROM projects p
                   WHERE p.project = jobs.project) AS expected_s,
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
        sample = samples.get(target, _NO_SAMPLE)
        recent = builds.get(target, _NO_BUILDS)
        outlines[target] = QueueOutline(
            waiting=jobs["pending"] + jobs["held"],
            sampled_jobs=sample.jobs,
            sampled_pages=sample.pages,
            builds=recent.builds,
            builds_hours=recent.hours,
            build_s=recent.build_s,
            expected_s=sample.expected_s(recent.build_s),
        )
    return outlines


class _Sample(Struct, frozen=True, kw_only=True):
    """The places of jobs in some pages; how long those take whose duration is known."""

    jobs: tuple[QueueKey, ...] = ()
    pages: int = 0
    known: int = 0
    known_s: float = 0.0

    def expected_s(self, usual_s: float) -> float:
        """How long a job takes on average, if those that are unknown take as long as usual."""
        unknown = len(self.jobs) - self.known
        return (self.known_s + unknown * usual_s) / len(self.jobs) if self.jobs else 0.0


class _RecentBuilds(Struct, frozen=True, kw_only=True):
    """How many ended in so many hours, and how long those took that succeeded, on average."""

    builds: int = 0
    hours: float = 0.0
    build_s: float = 0.0


_NO_SAMPLE, _NO_BUILDS = _Sample(), _RecentBuilds()


async def _samples(db: Database) -> dict[str, _Sample]:
    """By target, what is known of the jobs in a sample of pages."""
    pages: int = await db.value(
        "SELECT pg_relation_size('jobs') / current_setting('block_size')::int"
    )
    percent = 100 * SAMPLED_PAGES / max(pages, SAMPLED_PAGES)
    rows = await db.rows(_SAMPLES_SQL, {"percent": percent})
    return {
        row["target"]: from_row(
            _Sample, row, jobs=tuple(zip(row["classes"], row["times"], strict=True))
        )
        for row in rows
    }


async def _recent_builds(db: Database) -> dict[str, _RecentBuilds]:
    """By target, the builds of the last day."""
    rows = await db.rows(
        """
        SELECT target, count(*)::int AS builds,
               greatest(extract(epoch FROM now() - min(ended_at)) / 3600, 0.1)::float8 AS hours,
               coalesce(avg(duration_s) FILTER (WHERE outcome = 'built'), 0) AS build_s
          FROM made_builds
         WHERE ended_at > now() - interval '1 day'
         GROUP BY target
        """
    )
    return {row["target"]: from_row(_RecentBuilds, row) for row in rows}


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
