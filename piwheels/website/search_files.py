"""The search's shards in the tree: only those that changed are written.

All are reckoned anew each time (13 s of the processor at 700,000 projects), in a process that
stands back for all others and rests fifty times as long. To reckon only those below a prefix whose
projects changed, it would have to be remembered what each was made of, and it would spare little:
among so many projects some always come or reach another level of downloads meanwhile, and their
words begin with what most of the large groups begin with.
"""

from collections.abc import Iterable
from pathlib import Path

from piwheels.webroot import Webroot
from piwheels.website import search_index

#: So many are written with one sync of the disk.
_BATCH_SIZE = 500


def write_search_files(webroot: Webroot, downloads: Iterable[tuple[str, int]]) -> int:
    """Make search/ hold the shards of these projects and no others; returns how many it wrote.

    Args:
        webroot: the tree.
        downloads: each project's normalised name and how often it was downloaded lately.
    """
    folder = webroot.root / "search"
    kept: set[str] = set()
    changed: list[tuple[Path, bytes]] = []
    written = 0
    for name, content in search_index.build_search_files(downloads):
        path = folder / f"{name}.json"
        kept |= {path.name, f"{path.name}.gz"}
        if not webroot.is_up_to_date(path, content):
            changed.append((path, content))
        if len(changed) == _BATCH_SIZE:
            written += _flush(webroot, changed)
    written += _flush(webroot, changed)
    webroot.remove(path for path in sorted(folder.iterdir()) if path.name not in kept)
    return written


def _flush(webroot: Webroot, changed: list[tuple[Path, bytes]]) -> int:
    """Write what has gathered, in its order."""
    count = len(changed)
    if count:
        problems = webroot.write_pages({path.name: [(path, content)] for path, content in changed})
        changed.clear()
        for problem in problems.values():
            raise problem
    return count
