"""Writes the files of the search index that changed.

All shards are computed each time (8 s of CPU time for 700,000 projects), at low priority and with
pauses of fifty times that duration. An incremental computation would need the inputs of each shard
and would save little: among so many projects some always change, and their words are spread over
most of the large shards.
"""

from collections.abc import Iterable
from pathlib import Path

from piwheels.webroot import Webroot
from piwheels.website import search_index, word_index
from piwheels.website.word_index import DescribedProject

#: The number of files written with one sync of the disk.
_BATCH_SIZE = 500


def write_search_files(webroot: Webroot, downloads: Iterable[tuple[str, int]]) -> int:
    """Make search/ hold exactly the shards of these projects; returns the number written.

    Args:
        webroot: where to write.
        downloads: the normalized name of each project and its recent downloads.
    """
    return _write_shards(webroot, "search", search_index.build_search_files(downloads))


def write_word_files(webroot: Webroot, projects: Iterable[DescribedProject]) -> int:
    """Make search-words/ hold exactly the index of words; returns the number written."""
    return _write_shards(webroot, "search-words", word_index.build_word_files(projects))


def _write_shards(webroot: Webroot, directory: str, files: Iterable[tuple[str, bytes]]) -> int:
    folder = webroot.root / directory
    kept: set[str] = set()
    changed: list[tuple[Path, bytes]] = []
    written = 0
    for name, content in files:
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
    """Write the collected files, in order."""
    count = len(changed)
    if count:
        problems = webroot.write_pages({path.name: [(path, content)] for path, content in changed})
        changed.clear()
        for problem in problems.values():
            raise problem
    return count
