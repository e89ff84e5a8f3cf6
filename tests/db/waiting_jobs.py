"""Jobs of the rule in tests/claim_rule.py, in a database."""

from collections.abc import Sequence

from piwheels.db.database import Database
from tests.claim_rule import WaitingJob


async def store_jobs(db: Database, jobs: Sequence[WaitingJob]) -> None:
    """Queue jobs, each of a project of its own; without the triggers, which would queue others."""
    await db.execute("SET session_replication_role = replica")
    for job in jobs:
        await db.execute(
            """
            WITH project AS (
                INSERT INTO projects (project, display_name) VALUES (%(name)s, %(name)s)
            ), release AS (
                INSERT INTO releases (project, version, released_at, requires_python,
                                      sdist_filename, sdist_url)
                VALUES (%(name)s, '1.0', now(), '', 'x.tar.gz', 'http://upstream/x.tar.gz')
            )
            INSERT INTO jobs (project, version, target, priority_class, priority_time, hold_reason,
                              avoid_builder, memory_over_bytes, min_disk_bytes, is_long, min_speed,
                              required_packages, attempts)
            VALUES (%(name)s, '1.0', %(target)s, %(priority)s, to_timestamp(%(time)s), %(hold)s,
                    %(avoid)s, %(memory)s, %(disk)s, %(long)s, %(speed)s, %(packages)s,
                    %(attempts)s)
            """,
            {
                "name": job.name,
                "target": job.target,
                "priority": int(job.priority),
                "time": job.priority_time,
                "hold": "an operator decides" if job.is_held else None,
                "avoid": job.avoid_builder,
                "memory": job.memory_over_bytes,
                "disk": job.min_disk_bytes,
                "long": job.is_long,
                "speed": job.min_speed,
                "packages": sorted(job.required_packages),
                "attempts": int(job.is_tried),
            },
        )
    await db.execute("SET session_replication_role = origin")
