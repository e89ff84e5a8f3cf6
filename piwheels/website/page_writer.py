"""Renders and writes the pages of the website, in the render process.

Every function raises OSError if its files cannot be written, and PiwheelsError if the database,
from which long lists are queried here, cannot be reached.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.model import ProjectListing
from piwheels.rendering import subprocess_query, write_errors
from piwheels.webroot import Webroot, gz_path
from piwheels.website import (
    assets,
    feeds,
    loaders,
    log_page,
    project_list_files,
    search_files,
    site_pages,
    sitemaps,
)
from piwheels.website.page_data import (
    FeedsData,
    HomeData,
    PackagesData,
    ProjectData,
    Site,
    StatsData,
)
from piwheels.website.project_page import render_alias, render_project
from piwheels.website.word_index import DescribedProject


def write_static(root: Path, site: Site, _: str = "") -> None:
    """Write the static files, and the pages that change only with the version."""
    webroot = Webroot(root)
    assets.write(webroot)
    _write_pages(webroot, root, site_pages.static_pages(site))


def write_home(root: Path, site: Site, content: HomeData) -> None:
    """Write the home page."""
    log_page.write_log_pages(Webroot(root), site, log_page.failed_builds(content.recent))
    _write_pages(Webroot(root), root, site_pages.home_pages(site, content))


def write_search(root: Path, site: Site, dsn: str) -> None:
    """Write the page of projects, the search index, the JSON list and the pages by letter."""
    content, listed, described = subprocess_query.run_query(dsn, "search", _load_search)
    webroot = Webroot(root)
    search_files.write_search_files(
        webroot, [(item.name, item.recent_downloads) for item in listed]
    )
    search_files.write_word_files(webroot, described)
    _write_pages(webroot, root, site_pages.packages_pages(site, content, listed))
    subprocess_query.run_query(
        dsn, "list", lambda db: project_list_files.write_project_list(db, webroot, site)
    )


async def _load_search(
    db: Database,
) -> tuple[PackagesData, list[ProjectListing], list[DescribedProject]]:
    listed = await site_db.list_projects(db)
    return (
        await loaders.load_packages(db, listed),
        listed,
        await loaders.load_described(db, listed),
    )


def write_stats(root: Path, site: Site, content: StatsData) -> None:
    """Write the statistics."""
    _write_pages(Webroot(root), root, site_pages.stats_pages(site, content))


def write_feeds(root: Path, site: Site, content: FeedsData) -> None:
    """Write the feeds of new wheels and of new build failures."""
    pages = {
        "wheels.atom": feeds.wheels_feed(site, content.wheels),
        "failures.atom": feeds.failures_feed(site, content.failures),
    }
    log_page.write_log_pages(Webroot(root), site, log_page.failed_builds(content.failures))
    _write_pages(Webroot(root), root, pages)


def write_sitemaps(root: Path, site: Site, dsn: str) -> None:
    """Write the sitemaps, and remove others."""
    webroot = Webroot(root)
    pages = sitemaps.sitemap_files(
        site, subprocess_query.run_query(dsn, "sitemaps", site_db.project_names)
    )
    _write_pages(webroot, root, pages)
    _remove_others(webroot, root, "sitemap-*.xml", pages)


def write_projects(
    root: Path, site: Site, found: Sequence[tuple[str, ProjectData | None]]
) -> dict[str, str]:
    """Write the directories of projects; None removes one.

    Returns:
        By project, why its pages cannot be rendered or written; all others are written.

    Raises:
        OSError: the whole web root cannot be written now; each file is complete, old or new.
    """
    webroot = Webroot(root)
    rendered: dict[str, dict[str, bytes]] = {}
    problems: dict[str, str] = {}
    for name, content in found:
        try:
            rendered[name] = {} if content is None else render_project(site, content)
        except Exception as error:  # noqa: BLE001 - one project's page must not stop others'
            problems[name] = write_errors.describe_error(error)
    problems |= _write_log_pages(webroot, site, found)
    folders = {name: (webroot.project_dir(name), pages) for name, pages in rendered.items()}
    failed = _write_folders(webroot, folders)
    problems |= {name: write_errors.describe_error(problem) for name, problem in failed.items()}
    for name, (folder, pages) in folders.items():
        with write_errors.collecting_path_errors(problems, name):
            if pages:
                _remove_others(webroot, folder, "releases-*.html", pages)
            else:
                _remove_folder(webroot, folder)
    return problems


def _write_log_pages(
    webroot: Webroot, site: Site, found: Sequence[tuple[str, ProjectData | None]]
) -> dict[str, str]:
    """Write the pages of the failed builds that projects' pages link to; returns problems."""
    problems: dict[str, str] = {}
    for name, content in found:
        if content is not None:
            with write_errors.collecting_path_errors(problems, name):
                log_page.write_log_pages(webroot, site, log_page.linked_builds(content))
    return problems


def write_aliases(
    root: Path, site: Site, found: Sequence[tuple[str, str | None]]
) -> dict[str, str]:
    """Write the pages of aliases; None removes one. Returns problems, see write_projects."""
    webroot = Webroot(root)
    problems: dict[str, str] = {}
    for name, project in found:
        folder = webroot.project_dir(name)
        with write_errors.collecting_path_errors(problems, name):
            if project is None:
                _remove_folder(webroot, folder)
            else:
                webroot.write(folder / "index.html", render_alias(site, name, project))
    return problems


def _write_pages(webroot: Webroot, folder: Path, pages: Mapping[str, bytes]) -> None:
    """Write all pages that can be written, then raise the first problem."""
    directories = {name: (folder, {name: content}) for name, content in pages.items()}
    for problem in _write_folders(webroot, directories).values():
        raise problem


def _write_folders(
    webroot: Webroot, folders: Mapping[str, tuple[Path, Mapping[str, bytes]]]
) -> dict[str, OSError]:
    """Write the changed files of named directories, in order; returns problems by name."""
    changed = {
        name: [
            (path, content)
            for path, content in ((folder / file, content) for file, content in pages.items())
            if is_new or not webroot.is_up_to_date(path, content)
        ]
        for name, (folder, pages) in folders.items()
        for is_new in [not folder.is_dir()]  # looking for its files takes as long as writing one
    }
    wanted = {name: pages for name, pages in changed.items() if pages}
    return webroot.write_pages(wanted) if wanted else {}


def _remove_folder(webroot: Webroot, folder: Path) -> None:
    if folder.is_dir():
        webroot.remove(sorted(path for path in folder.iterdir() if path.is_file()))


def _remove_others(
    webroot: Webroot, folder: Path, pattern: str, pages: Mapping[str, bytes]
) -> None:
    gone = [path for path in folder.glob(pattern) if path.name not in pages]
    webroot.remove(path for page in gone for path in (page, gz_path(page)))
