"""Writes the pages of the list of all projects, read from the database part by part."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.model import ListedProject
from piwheels.webroot import Webroot, gz_path
from piwheels.website import project_list
from piwheels.website.page_data import Site
from piwheels.website.project_list import PAGE_PROJECTS

_PART_PROJECTS = 5000
_PAGES_AT_ONCE = 50


class _Page(NamedTuple):
    """A page of a group, and the projects that it lists."""

    group: str
    number: int
    projects: Sequence[ListedProject]


async def write_project_list(db: Database, webroot: Webroot, site: Site) -> None:
    """Make projects/ hold exactly the pages of the list.

    Projects that are added meanwhile can be missing in links between pages until the next time.

    Raises:
        OSError: a page cannot be written.
    """
    sizes: Counter[str] = Counter()
    for first, count in (await site_db.group_sizes(db)).items():
        sizes[project_list.group_of(first)] += count
    files = {group: project_list.group_files(group, sizes[group]) for group in project_list.GROUPS}
    kept: set[str] = set()
    changed: dict[str, bytes] = {}
    folder = webroot.root / "projects"
    async for page in _pages(db):
        name = project_list.page_file(page.group, page.number)
        content = project_list.group_page(
            site, page.group, page.number, files[page.group], page.projects
        )
        kept.add(name)
        if not webroot.is_up_to_date(folder / name, content):
            changed[name] = content
        if len(changed) == _PAGES_AT_ONCE:
            _write(webroot, changed)
    _write(webroot, changed)
    gone = [path for path in folder.glob("*.html") if path.name not in kept]
    webroot.remove(path for page in gone for path in (page, gz_path(page)))


def _write(webroot: Webroot, changed: dict[str, bytes]) -> None:
    folder = webroot.root / "projects"
    if changed:
        pages = [(folder / name, content) for name, content in changed.items()]
        problems = webroot.write_pages({"projects": pages})
        changed.clear()
        for problem in problems.values():
            raise problem


async def _pages(db: Database) -> AsyncIterator[_Page]:
    """The pages of every group, also of an empty one.

    Of each group one page is in memory: where the database sorts `ch` after `h`, as in Czech, the
    projects of c do not follow each other.
    """
    numbers: Counter[str] = Counter()
    started: dict[str, list[ListedProject]] = {group: [] for group in project_list.GROUPS}
    async for project in _listed(db):
        group = project_list.group_of(project.name)
        started[group].append(project)
        if len(started[group]) == PAGE_PROJECTS:
            numbers[group] += 1
            yield _Page(group, numbers[group], started[group])
            started[group] = []
    for group, projects in started.items():
        if projects or not numbers[group]:
            yield _Page(group, numbers[group] + 1, projects)


async def _listed(db: Database) -> AsyncIterator[ListedProject]:
    after = ""
    while part := await site_db.listed_projects(db, after, _PART_PROJECTS):
        for project in part:
            yield project
        after = part[-1].name
