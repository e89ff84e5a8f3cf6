"""The files of the site that no table names: found by looking at the web root now and then."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.bucket.site_objects import key_of
from piwheels.webroot import PROVENANCE_KEYS

#: What changes are recorded for, project by project.
_RECORDED = frozenset({"packages", "simple", "project", "logs"})

FileState = tuple[int, int]  # mtime in ns and size of a file


@dataclass(slots=True)
class SiteFiles:
    """The files outside of the folders of projects, as they were when they were copied."""

    root: Path
    _copied: dict[str, FileState] = field(default_factory=dict)

    def changed(self) -> dict[str, FileState | None]:
        """What changed since it was copied, in the order of copying; None is a removed file."""
        there: dict[str, FileState] = {}
        for key, state in _files(self.root, ""):
            there[key] = max(state, there.get(key, state))
        changed: dict[str, FileState | None] = {
            key: state for key, state in there.items() if self._copied.get(key) != state
        }
        changed |= dict.fromkeys(self._copied.keys() - there.keys())
        return dict(sorted(changed.items(), key=lambda it: _order(it[0], it[1])))

    def mark_copied(self, key: str, state: FileState | None) -> None:
        """Remember that the bucket has a file as it was then, or lacks it."""
        if state is None:
            self._copied.pop(key, None)
        else:
            self._copied[key] = state


def _order(key: str, state: FileState | None) -> tuple[int, str]:
    """What pages refer to before the pages; removals last."""
    if state is None:
        return 3, key
    if key == PROVENANCE_KEYS:
        return 0, key
    return (1 if key.startswith("static/") else 2), key


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, FileState]]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.startswith(".") or (not prefix and entry.name in _RECORDED):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield key_of(f"{prefix}{entry.name}"), (found.st_mtime_ns, found.st_size)
