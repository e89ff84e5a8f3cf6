"""Pages of the site rendered and written; runs in another process than the duty that asks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from piwheels.model import EndedBuild
from piwheels.site import assets, feeds, shards, single, sitemaps
from piwheels.site.content import Home, Packages, Project, Site, Stats
from piwheels.site.project import render_alias, render_project
from piwheels.webroot import Webroot


def write_static(root: Path, site: Site) -> None:
    """The static files, and the pages that change with the version alone."""
    webroot = Webroot(root)
    assets.write(webroot)
    _write(webroot, root, single.fixed(site))


def write_home(root: Path, site: Site, content: Home) -> None:
    """The home page."""
    _write(Webroot(root), root, single.home(site, content))


def write_search(
    root: Path, site: Site, content: Packages, listed: Sequence[tuple[str, int, int, int]]
) -> None:
    """The page of all projects, its search and their list (name, wheels, downloads, lately)."""
    webroot = Webroot(root)
    shards.write(webroot, [(name, recent) for name, _, _, recent in listed])
    rows = [(name, files, downloads) for name, files, downloads, _ in listed]
    _write(webroot, root, single.packages(site, content, rows))


def write_stats(root: Path, site: Site, content: Stats) -> None:
    """The figures."""
    _write(Webroot(root), root, single.stats(site, content))


def write_failures(root: Path, site: Site, builds: Sequence[EndedBuild]) -> None:
    """The feed of what was built before and fails."""
    _write(Webroot(root), root, {"failures.xml": feeds.failures_feed(site, builds)})


def write_sitemaps(root: Path, site: Site, projects: Sequence[str]) -> None:
    """The sitemaps, and no others."""
    webroot = Webroot(root)
    pages = sitemaps.sitemaps(site, projects)
    _write(webroot, root, pages)
    _remove_others(webroot, root, "sitemap-*.xml", pages)


def write_projects(
    root: Path, site: Site, found: Sequence[tuple[str, Project | None]]
) -> dict[str, str]:
    """The folders of projects; None removes one.

    Returns:
        Those that could not be rendered, and why.

    Raises:
        OSError: the tree takes nothing more; what is written is whole.
    """
    webroot = Webroot(root)
    rendered: dict[str, dict[str, bytes]] = {}
    problems: dict[str, str] = {}
    for name, content in found:
        try:
            rendered[name] = {} if content is None else render_project(site, content)
        except Exception as error:  # noqa: BLE001 - one project's page must not stop others'
            problems[name] = f"{type(error).__name__}: {error}"
    _write_folders(webroot, {webroot.project(name): pages for name, pages in rendered.items()})
    for name, pages in rendered.items():
        if pages:
            _remove_others(webroot, webroot.project(name), "releases-*.html", pages)
        else:
            _remove_folder(webroot, webroot.project(name))
    return problems


def write_aliases(root: Path, _: Site, found: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """Pages of names that lead to projects; None removes one."""
    webroot = Webroot(root)
    for name, project in found:
        folder = webroot.project(name)
        if project is None:
            _remove_folder(webroot, folder)
        else:
            webroot.write(folder / "index.html", render_alias(name, project))
    return {}


def _write(webroot: Webroot, folder: Path, pages: Mapping[str, bytes]) -> None:
    _write_folders(webroot, {folder: pages})


def _write_folders(webroot: Webroot, folders: Mapping[Path, Mapping[str, bytes]]) -> None:
    """Write what changed, in its order, the syncs shared."""
    changed = [
        [(folder / name, content)]
        for folder, pages in folders.items()
        for name, content in pages.items()
        if not webroot.says(folder / name, content)
    ]
    if changed:
        webroot.write_pages(changed)


def _remove_folder(webroot: Webroot, folder: Path) -> None:
    if folder.is_dir():
        webroot.remove(sorted(path for path in folder.iterdir() if path.is_file()))


def _remove_others(
    webroot: Webroot, folder: Path, pattern: str, pages: Mapping[str, bytes]
) -> None:
    gone = [path for path in folder.glob(pattern) if path.name not in pages]
    webroot.remove(path for page in gone for path in (page, page.with_name(f"{page.name}.gz")))
