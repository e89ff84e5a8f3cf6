"""What projects say about themselves: of the newest release that has a wheel."""

from collections.abc import Sequence

from piwheels.db.database import Database, transactional
from piwheels.db.index_queries import version_sort_key
from piwheels.db.rows import from_row, to_parameters
from piwheels.model import ProjectMetadata


@transactional
async def store_metadata(
    db: Database, project: str, version: str, metadata: ProjectMetadata
) -> None:
    """Keep the metadata of a release, unless that of a newer one is known."""
    known = await db.value(
        "SELECT version FROM project_metadata WHERE project = %(project)s FOR UPDATE",
        {"project": project},
    )
    if known is not None and version_sort_key(known) > version_sort_key(version):
        return
    await db.execute(
        """
        INSERT INTO project_metadata AS m
               (project, version, name, summary, license, link_labels, link_urls)
        SELECT project, %(version)s, %(name)s, %(summary)s, %(license)s,
               %(link_labels)s, %(link_urls)s
          FROM projects WHERE project = %(project)s
            ON CONFLICT (project) DO UPDATE
           SET version = excluded.version, name = excluded.name, summary = excluded.summary,
               license = excluded.license, link_labels = excluded.link_labels,
               link_urls = excluded.link_urls
         WHERE m IS DISTINCT FROM excluded
        """,
        {"project": project, "version": version, **to_parameters(metadata)},
    )


async def load_metadata(db: Database, projects: Sequence[str]) -> dict[str, ProjectMetadata]:
    """The known metadata of some projects, by project."""
    rows = await db.rows(
        """
        SELECT project, name, summary, license, link_labels, link_urls
          FROM project_metadata WHERE project = ANY (%(projects)s)
        """,
        {"projects": list(projects)},
    )
    return {row["project"]: from_row(ProjectMetadata, row) for row in rows}


async def load_summaries(db: Database, projects: Sequence[str]) -> dict[str, str]:
    """The known summaries of some projects, by project."""
    rows = await db.rows(
        "SELECT project, summary FROM project_metadata WHERE project = ANY (%(projects)s)",
        {"projects": list(projects)},
    )
    return {row["project"]: row["summary"] for row in rows}
