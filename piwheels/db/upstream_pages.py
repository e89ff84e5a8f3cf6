"""What the upstream pages of projects said when they were last read."""

from collections.abc import Sequence

from msgspec import structs

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.rows import from_row
from piwheels.model import UpstreamPage


async def store_upstream_page(db: Database, project: str, page: UpstreamPage) -> bool:
    """Store what a page said, for `piw explain` and the project's page.

    Returns:
        Whether it has problems that it did not have before. False for an unknown project.
    """
    known = await last_upstream_page(db, project)
    if known is not None and _is_unchanged(known, page):
        return False
    return await _replace(db, project, page)


@transactional
async def _replace(db: Database, project: str, page: UpstreamPage) -> bool:
    if not await lock_projects(db, [project]):
        return False
    before = await last_upstream_page(db, project)
    await _store(db, project, page)
    return bool(page.problems) and (before is None or page.problems != before.problems)


def _is_unchanged(known: UpstreamPage, page: UpstreamPage) -> bool:
    """Whether a page is unchanged, apart from what this farm has of it."""
    return known == structs.replace(
        page, newest_known=known.newest_known, newest_has_wheel=known.newest_has_wheel
    )


async def _store(db: Database, project: str, page: UpstreamPage) -> None:
    await db.execute(
        """
        INSERT INTO upstream_pages
               (project, newest_version, newest_at, newest_has_sdist, problem_count, problems)
        VALUES (%(project)s, %(newest_version)s, %(newest_at)s, %(newest_has_sdist)s,
                %(problem_count)s, %(problems)s)
            ON CONFLICT (project) DO UPDATE
           SET newest_version = excluded.newest_version, newest_at = excluded.newest_at,
               newest_has_sdist = excluded.newest_has_sdist,
               problem_count = excluded.problem_count, problems = excluded.problems
         WHERE (upstream_pages.newest_version, upstream_pages.newest_at,
                upstream_pages.newest_has_sdist, upstream_pages.problem_count,
                upstream_pages.problems)
               IS DISTINCT FROM
               (excluded.newest_version, excluded.newest_at, excluded.newest_has_sdist,
                excluded.problem_count, excluded.problems)
        """,
        {
            "project": project,
            "newest_version": page.newest_version,
            "newest_at": page.newest_at,
            "newest_has_sdist": page.newest_has_sdist,
            "problem_count": page.problem_count,
            "problems": list(page.problems),
        },
    )


async def last_upstream_page(db: Database, project: str) -> UpstreamPage | None:
    """What a project's page said when it was last read; None if it was not read yet."""
    return (await last_upstream_pages(db, [project])).get(project)


async def last_upstream_pages(db: Database, projects: Sequence[str]) -> dict[str, UpstreamPage]:
    """What the pages of projects said when they were last read, without those not read yet."""
    rows = await db.rows(
        """
        SELECT u.project, u.newest_version, u.newest_at, u.newest_has_sdist, u.problem_count,
               u.problems, r.version IS NOT NULL AS newest_known,
               EXISTS (
                   SELECT FROM files f WHERE f.project = r.project AND f.version = r.version
               ) AS newest_has_wheel
          FROM upstream_pages u
          LEFT JOIN releases r ON r.project = u.project AND r.version = u.newest_version
         WHERE u.project = ANY (%(projects)s)
        """,
        {"projects": list(projects)},
    )
    return {row["project"]: from_row(UpstreamPage, row) for row in rows}
