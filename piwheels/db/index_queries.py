"""What the pages of the index list."""

from collections.abc import Sequence
from functools import lru_cache

from packaging.version import InvalidVersion, Version

from piwheels.db.database import Database
from piwheels.model import IndexEntry, IndexPage, ProjectStatus


async def index_pages(db: Database, projects: Sequence[str]) -> dict[str, IndexPage]:
    """What the index pages of these projects list; a project without files has no page."""
    heads = await db.rows(
        """
        SELECT project, status, status_reason FROM projects WHERE project = ANY (%(projects)s)
        """,
        {"projects": list(projects)},
    )
    rows = await db.rows(
        """
        SELECT f.project, f.filename, f.sha256, f.size_bytes, f.metadata_sha256,
               f.requires_python, f.version, f.attestations_url,
               coalesce(f.uploaded_at, r.released_at) AS released_at,
               coalesce(f.yanked, r.yanked) AS yanked
          FROM listed_files f
          JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.project = ANY (%(projects)s)
        """,
        {"projects": list(projects)},
    )
    files: dict[str, list[IndexEntry]] = {}
    for row in rows:
        files.setdefault(row.pop("project"), []).append(IndexEntry(**row))
    return {
        head["project"]: IndexPage(
            project=head["project"],
            status=ProjectStatus(head["status"]),
            status_reason=head["status_reason"],
            files=tuple(
                sorted(
                    files[head["project"]],
                    key=lambda file: (version_sort_key(file.version), file.filename),
                )
            ),
        )
        for head in heads
        if head["project"] in files
    }


@lru_cache(maxsize=10_000)
def version_sort_key(text: str) -> Version:
    """How versions are sorted; an invalid one (PEP 440) comes first."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")


async def indexed_projects(db: Database) -> list[str]:
    """Every project with files that are listed, by name; hidden releases do not count."""
    rows = await db.rows("SELECT DISTINCT project FROM listed_files ORDER BY project")
    return [row["project"] for row in rows]
