"""Pages of the site rendered and written; runs in another process than the duty that asks.

Raises, everywhere: OSError if the tree takes nothing now, or not this. PiwheelsError if the
database, from which long lists are read here, cannot be reached.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from piwheels.db import site as site_db
from piwheels.db.database import Database
from piwheels.model import EndedBuild
from piwheels.site import assets, failing, feeds, gathering, reading, shards, single, sitemaps
from piwheels.site.content import Home, Packages, Project, Site, Stats
from piwheels.site.project import render_alias, render_project
from piwheels.webroot import Webroot, twin


def write_static(root: Path, site: Site) -> None:
    """The static files, and the pages that change with the version alone."""
    webroot = Webroot(root)
    assets.write(webroot)
    _write(webroot, root, single.fixed(site))


def write_home(root: Path, site: Site, content: Home) -> None:
    """The home page."""
    _write(Webroot(root), root, single.home(site, content))


def write_search(root: Path, site: Site, dsn: str) -> None:
    """The page of all projects, its search and their list."""
    content, listed = reading.read(dsn, "search", _projects)
    webroot = Webroot(root)
    shards.write(webroot, [(item.name, item.recent) for item in listed])
    rows = [(item.name, item.files, item.downloads) for item in listed]
    _write(webroot, root, single.packages(site, content, rows))


async def _projects(db: Database) -> tuple[Packages, list[site_db.Listed]]:
    listed = await site_db.listing(db)
    return await gathering.packages(db, listed), listed


def write_stats(root: Path, site: Site, content: Stats) -> None:
    """The figures."""
    _write(Webroot(root), root, single.stats(site, content))


def write_failures(root: Path, site: Site, builds: Sequence[EndedBuild]) -> None:
    """The feed of what was built before and fails."""
    _write(Webroot(root), root, {"failures.xml": feeds.failures_feed(site, builds)})


def write_sitemaps(root: Path, site: Site, dsn: str) -> None:
    """The sitemaps, and no others."""
    webroot = Webroot(root)
    pages = sitemaps.sitemaps(site, reading.read(dsn, "sitemaps", site_db.project_names))
    _write(webroot, root, pages)
    _remove_others(webroot, root, "sitemap-*.xml", pages)


def write_projects(
    root: Path, site: Site, found: Sequence[tuple[str, Project | None]]
) -> dict[str, str]:
    """The folders of projects; None removes one.

    Returns:
        Those that cannot be rendered, or not be written where they belong, and why.

    Raises:
        OSError: the tree takes nothing now; what is written is whole.
    """
    webroot = Webroot(root)
    rendered: dict[str, dict[str, bytes]] = {}
    problems: dict[str, str] = {}
    for name, content in found:
        try:
            rendered[name] = {} if content is None else render_project(site, content)
        except Exception as error:  # noqa: BLE001 - one project's page must not stop others'
            problems[name] = failing.reason(error)
    folders = {name: (webroot.project(name), pages) for name, pages in rendered.items()}
    torn = _write_folders(webroot, folders)
    problems |= {name: failing.reason(problem) for name, problem in torn.items()}
    for name, (folder, pages) in folders.items():
        with failing.noting(problems, name):
            if pages:
                _remove_others(webroot, folder, "releases-*.html", pages)
            else:
                _remove_folder(webroot, folder)
    return problems


def write_aliases(root: Path, _: Site, found: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """Pages of names that lead to projects; None removes one. Returns problems, as above."""
    webroot = Webroot(root)
    problems: dict[str, str] = {}
    for name, project in found:
        folder = webroot.project(name)
        with failing.noting(problems, name):
            if project is None:
                _remove_folder(webroot, folder)
            else:
                webroot.write(folder / "index.html", render_alias(name, project))
    return problems


def _write(webroot: Webroot, folder: Path, pages: Mapping[str, bytes]) -> None:
    """Write what can be written, and then tell what cannot."""
    places = {name: (folder, {name: content}) for name, content in pages.items()}
    for problem in _write_folders(webroot, places).values():
        raise problem


def _write_folders(
    webroot: Webroot, folders: Mapping[str, tuple[Path, Mapping[str, bytes]]]
) -> dict[str, OSError]:
    """Write what changed of named folders, in its order, the syncs shared; returns problems."""
    changed = {
        name: [
            (folder / file, content)
            for file, content in pages.items()
            if not webroot.says(folder / file, content)
        ]
        for name, (folder, pages) in folders.items()
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
    webroot.remove(path for page in gone for path in (page, twin(page)))
