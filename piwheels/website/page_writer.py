"""Renders and writes the pages of the website, in the render process.

Every function raises OSError if its files cannot be written, and PiwheelsError if the database,
from which long lists are queried here, cannot be reached.
"""

from collections.abc import Sequence
from pathlib import Path

from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.rendering import subprocess_query, write_errors
from piwheels.webroot import Webroot
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
from piwheels.website.compact_lists import NameList, ProjectTable
from piwheels.website.page_data import (
    FeedsData,
    HomeData,
    PackagesData,
    Site,
    StatsData,
)
from piwheels.website.page_files import remove_folder, remove_others, write_pages
from piwheels.website.project_page import render_alias
from piwheels.website.word_index import DescribedProject


def write_static(root: Path, site: Site, _: str = "") -> None:
    """Write the static files, and the pages that change only with the version."""
    webroot = Webroot(root)
    assets.write(webroot)
    write_pages(webroot, root, site_pages.static_pages(site))


def write_home(root: Path, site: Site, content: HomeData) -> None:
    """Write the home page."""
    log_page.write_log_pages(Webroot(root), site, log_page.failed_builds(content.recent))
    write_pages(Webroot(root), root, site_pages.home_pages(site, content))


def write_search(root: Path, site: Site, dsn: str) -> None:
    """Write the page of projects, the search index, the JSON lists and the pages by letter."""
    content, listed, described = subprocess_query.run_query(dsn, "search", _load_search)
    webroot = Webroot(root)
    search_files.write_search_files(
        webroot, ((item.name, item.recent_downloads) for item in listed)
    )
    search_files.write_word_files(webroot, described)
    for name, page in site_pages.packages_pages(site, content, listed):
        write_pages(webroot, root, {name: page})
        del page  # it may be large, and the next one is made before the name is bound again
    subprocess_query.run_query(
        dsn, "list", lambda db: project_list_files.write_project_list(db, webroot, site)
    )


async def _load_search(
    db: Database,
) -> tuple[PackagesData, ProjectTable, list[DescribedProject]]:
    listed = ProjectTable()
    async for project in site_db.list_projects(db):
        listed.append(project)
    return (
        await loaders.load_packages(db, listed),
        listed,
        await loaders.load_described(db, listed),
    )


def write_stats(root: Path, site: Site, content: StatsData) -> None:
    """Write the statistics."""
    write_pages(Webroot(root), root, site_pages.stats_pages(site, content))


def write_feeds(root: Path, site: Site, content: FeedsData) -> None:
    """Write the feeds of new wheels and of new build failures."""
    pages = {
        "wheels.atom": feeds.wheels_feed(site, content.wheels),
        "failures.atom": feeds.failures_feed(site, content.failures),
    }
    log_page.write_log_pages(Webroot(root), site, log_page.failed_builds(content.failures))
    write_pages(Webroot(root), root, pages)


def write_sitemaps(root: Path, site: Site, dsn: str) -> None:
    """Write the sitemaps, and remove others."""
    webroot = Webroot(root)
    names = subprocess_query.run_query(dsn, "sitemaps", _load_names)
    written: set[str] = set()
    for name, page in sitemaps.sitemap_files(site, names):
        write_pages(webroot, root, {name: page})
        written.add(name)
    remove_others(webroot, root, "sitemap-*.xml", written)


async def _load_names(db: Database) -> NameList:
    names = NameList()
    async for name in site_db.project_names(db):
        names.append(name)
    return names


def write_aliases(
    root: Path, site: Site, found: Sequence[tuple[str, str | None]]
) -> dict[str, str]:
    """Write the pages of aliases; None removes one. Returns problems, see project_writer."""
    webroot = Webroot(root)
    problems: dict[str, str] = {}
    for name, project in found:
        folder = webroot.project_dir(name)
        with write_errors.collecting_errors(problems, name):
            if project is None:
                remove_folder(webroot, folder)
            else:
                webroot.write(folder / "index.html", render_alias(site, name, project))
    return problems
