"""How many jobs wait for builders, by target and by the memory that their builds need."""

from collections import Counter
from collections.abc import Sequence

from piwheels.db.database import Database
from piwheels.model import QueueDemand

#: So many jobs of a target are counted, those that are next: more would start no further builder.
_MOST_JOBS = 10_000
_MB = 1 << 20

_WAITING_SQL = """
    SELECT t.target, next.memory_over_bytes, count(*) AS jobs
      FROM targets t
     CROSS JOIN LATERAL (
         SELECT j.memory_over_bytes FROM jobs j
          WHERE j.target = t.target AND j.claimed_by IS NULL AND j.retry_at IS NULL
            AND NOT j.parked AND j.hold_reason IS NULL
          ORDER BY j.priority_class, j.priority_time
          LIMIT %(most)s
     ) next
     WHERE t.skip_reason IS NULL
     GROUP BY t.target, next.memory_over_bytes
"""
# Jobs that wait until a builder has the packages that they need.
_PARKED_SQL = """
    SELECT t.target, next.memory_over_bytes, count(*) AS jobs
      FROM targets t
     CROSS JOIN LATERAL (
         SELECT j.memory_over_bytes FROM jobs j
          WHERE j.target = t.target AND j.required_packages <> '{}' -- for the index of these
            AND j.parked AND j.claimed_by IS NULL AND j.hold_reason IS NULL
          LIMIT %(most)s
     ) next
     WHERE t.skip_reason IS NULL AND t.target <> ALL (%(seen)s)
     GROUP BY t.target, next.memory_over_bytes
"""


async def queue_demand(db: Database, seen_targets: Sequence[str]) -> list[QueueDemand]:
    """The jobs that a builder could take now, in order of target and memory.

    Args:
        db: the connection.
        seen_targets: those of which builders have been here. Jobs of others count also if they
            wait for packages: nobody knows whether builders of the target have them.
    """
    waiting: Counter[tuple[str, int]] = Counter()
    for sql in (_WAITING_SQL, _PARKED_SQL):
        for row in await db.rows(sql, {"most": _MOST_JOBS, "seen": list(seen_targets)}):
            waiting[row["target"], needed_mb(row["memory_over_bytes"])] += row["jobs"]
    return [
        QueueDemand(target=target, memory_mb=memory_mb, waiting=jobs)
        for (target, memory_mb), jobs in sorted(waiting.items())
    ]


def needed_mb(over_bytes: int) -> int:
    """The memory of a builder for jobs that need more than this: 1, 2, 4, 8, ... GiB, or 0."""
    if over_bytes == 0:
        return 0
    needed = 1024
    while needed * _MB <= over_bytes:
        needed *= 2
    return needed
