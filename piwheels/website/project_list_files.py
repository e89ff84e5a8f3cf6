"""Writes the pages of the list of all projects, read from the database part by part."""

from collections.abc import AsyncIterator

from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.model import ListedProject
from piwheels.webroot import Webroot, gz_path
from piwheels.website import project_list
from piwheels.website.page_data import Site

_PART_PROJECTS = 5000


async def write_project_list(db: Database, webroot: Webroot, site: Site) -> None:
    """Make projects/ hold exactly the pages of the list.

    Raises:
        OSError: a page cannot be written.
    """
    folder = webroot.root / "projects"
    kept: set[str] = set()
    async for group, projects in _groups(db):
        pages = dict(project_list.group_pages(site, group, projects))
        kept |= pages.keys()
        changed = [
            (folder / name, content)
            for name, content in pages.items()
            if not webroot.is_up_to_date(folder / name, content)
        ]
        problems = webroot.write_pages({group: changed}) if changed else {}
        for problem in problems.values():
            raise problem
    gone = [path for path in folder.glob("*.html") if path.name not in kept]
    webroot.remove(path for page in gone for path in (page, gz_path(page)))


async def _groups(db: Database) -> AsyncIterator[tuple[str, list[ListedProject]]]:
    """Every group, also an empty one, with its projects; one at a time is in memory."""
    found: dict[str, list[ListedProject]] = {group: [] for group in project_list.GROUPS}
    current = after = ""
    while part := await site_db.listed_projects(db, after, _PART_PROJECTS):
        for project in part:
            group = project_list.group_of(project.name)
            if current not in {"", group}:
                yield current, found.pop(current)
            current = group
            found[group].append(project)
        after = part[-1].name
    for group, projects in found.items():
        yield group, projects
