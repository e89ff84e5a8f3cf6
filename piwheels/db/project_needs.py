"""What the builds of projects need, as their last ones showed (see `model.project_needs`)."""

from msgspec.structs import replace

from piwheels.db.database import Database
from piwheels.db.job_queue import set_job_memory
from piwheels.db.rows import from_row, to_parameters
from piwheels.model import Build, ProjectNeeds, RetryDecision, is_long_build


async def learn_needs(db: Database, build: Build, decision: RetryDecision) -> None:
    """The next builds of a project go where there is what this one needed; needs its lock.

    The memory class of a written recipe counts instead of the memory.
    """
    row = await db.row(
        """
        SELECT min_memory_bytes, min_disk_bytes, expected_build_s,
               -- Cast outside: a plan may read every value first, and others are no JSON.
               (SELECT value FROM key_values WHERE key = 'recipe/written/' || p.project)::jsonb
                 ->> 'memory_class' IS NOT NULL AS has_memory_class
          FROM projects p WHERE project = %(project)s
        """,
        {"project": build.project},
    )
    if row is None:
        return
    known = from_row(ProjectNeeds, row)
    learned = known.after(build, decision)
    if row["has_memory_class"]:
        learned = replace(learned, min_memory_bytes=known.min_memory_bytes)
    if learned == known:
        return
    await _store_needs(db, build.project, learned)
    if _of_jobs(learned) != _of_jobs(known):
        await _update_jobs(db, build.project)
    if learned.min_memory_bytes != known.min_memory_bytes:
        await set_job_memory(db, build.project, learned.min_memory_bytes)


def _of_jobs(needs: ProjectNeeds) -> tuple[bool, int]:
    """What jobs have of it, besides the memory."""
    return is_long_build(needs.expected_build_s), needs.min_disk_bytes


async def _store_needs(db: Database, project: str, needs: ProjectNeeds) -> None:
    await db.execute(
        """
        UPDATE projects
           SET min_memory_bytes = %(min_memory_bytes)s, min_disk_bytes = %(min_disk_bytes)s,
               expected_build_s = %(expected_build_s)s
         WHERE project = %(project)s
        """,
        to_parameters(needs) | {"project": project},
    )


async def _update_jobs(db: Database, project: str) -> None:
    await db.execute(
        """
        UPDATE jobs j SET is_long = p.is_long, min_disk_bytes = p.min_disk_bytes
          FROM projects p
         WHERE j.project = %(project)s AND p.project = j.project
           AND (j.is_long, j.min_disk_bytes) IS DISTINCT FROM (p.is_long, p.min_disk_bytes)
        """,
        {"project": project},
    )
