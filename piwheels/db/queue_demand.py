"""How many jobs wait for builders, by target and by the memory that their builds need."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from piwheels.db.database import Database
from piwheels.model import QueueDemand

#: So many jobs of a target are counted, those that are next: more would start no further builder.
_MOST_JOBS = 10_000
_MB = 1 << 20
_NO_LIMITS: Mapping[str, int] = MappingProxyType({})

_WAITING_SQL = """
    SELECT t.target, next.memory_over_bytes, count(*) AS jobs
      FROM targets t
      LEFT JOIN unnest(%(limited)s::text[], %(disk)s::bigint[]) AS limits (target, disk_bytes)
             ON limits.target = t.target
     CROSS JOIN LATERAL (
         SELECT j.memory_over_bytes FROM jobs j
          WHERE j.target = t.target AND j.claimed_by IS NULL AND j.retry_at IS NULL
            AND NOT j.parked AND j.hold_reason IS NULL
            AND j.min_disk_bytes <= coalesce(limits.disk_bytes, j.min_disk_bytes)
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


async def queue_demand(
    db: Database, seen_targets: Sequence[str], max_disk_bytes: Mapping[str, int] = _NO_LIMITS
) -> list[QueueDemand]:
    """The jobs that a builder could take now, in order of target and memory.

    Args:
        db: the connection.
        seen_targets: those of which builders have been here. Jobs of others count also if they
            wait for packages: nobody knows whether builders of the target have them.
        max_disk_bytes: by target, the most disk of a job that is counted; those that need more are
            left to other builders than those that can be started.
    """
    limits = {"limited": list(max_disk_bytes), "disk": list(max_disk_bytes.values())}
    waiting: Counter[tuple[str, int]] = Counter()
    for sql in (_WAITING_SQL, _PARKED_SQL):
        seen = {"most": _MOST_JOBS, "seen": list(seen_targets)}
        for row in await db.rows(sql, seen | limits):
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
