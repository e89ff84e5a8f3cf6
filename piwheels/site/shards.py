"""The search's shards in the tree: only those that changed are written."""

from collections.abc import Iterable

from piwheels.site import search
from piwheels.webroot import Webroot


def write(webroot: Webroot, downloads: Iterable[tuple[str, int]]) -> int:
    """Make search/ hold the shards of these projects and no others; returns how many it wrote.

    Args:
        webroot: the tree.
        downloads: each project's normalised name and how often it was downloaded lately.
    """
    folder = webroot.root / "search"
    kept: set[str] = set()
    written = 0
    for name, content in search.shards(downloads):
        path = folder / f"{name}.json"
        written += webroot.write_page(path, content)
        kept |= {path.name, f"{path.name}.gz"}
    webroot.remove(path for path in sorted(folder.iterdir()) if path.name not in kept)
    return written
