"""The files of the site that no table names: found by looking at the web root now and then."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.bucket.site_objects import key_of
from piwheels.webroot import PROVENANCE_KEYS

log = logging.getLogger(__name__)

#: What changes are recorded for, project by project.
_RECORDED = frozenset({"packages", "simple", "project", "logs"})

_DELETED = (FileNotFoundError, NotADirectoryError)

FileState = tuple[int, int]  # mtime in ns and size of a file


@dataclass(slots=True)
class SiteFiles:
    """The files outside of the folders of projects, as they were when they were copied."""

    root: Path
    _copied: dict[str, FileState] = field(default_factory=dict)
    _unreadable: dict[str, OSError] = field(default_factory=dict)  # by prefix of keys

    def changed(self) -> dict[str, FileState | None]:
        """What changed since it was copied, in the order of copying; None is a removed file.

        What cannot be read is logged once, and nothing of it has changed.

        Raises:
            OSError: the web root itself cannot be read.
        """
        there: dict[str, FileState] = {}
        known, self._unreadable = self._unreadable, {}
        for key, state in self._files(self.root, ""):
            there[key] = max(state, there.get(key, state))
        for prefix, error in self._unreadable.items():
            if prefix not in known:
                log.error("%s is not copied: %s", self.root / prefix, error.strerror)
        changed: dict[str, FileState | None] = {
            key: state for key, state in there.items() if self._copied.get(key) != state
        }
        unknown = tuple(self._unreadable)
        changed |= {
            key: None for key in self._copied if key not in there and not key.startswith(unknown)
        }
        return dict(sorted(changed.items(), key=lambda it: _order(it[0], it[1])))

    def mark_copied(self, key: str, state: FileState | None) -> None:
        """Remember that the bucket has a file as it was then, or lacks it."""
        if state is None:
            self._copied.pop(key, None)
        else:
            self._copied[key] = state

    def _files(self, folder: Path, prefix: str) -> Iterator[tuple[str, FileState]]:
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if not prefix:
                raise
            if not isinstance(error, _DELETED):
                self._unreadable[prefix] = error
            return
        for entry in entries:
            if entry.name.startswith(".") or (not prefix and entry.name in _RECORDED):
                continue
            path = f"{prefix}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._files(folder / entry.name, f"{path}/")
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    yield key_of(path), (found.st_mtime_ns, found.st_size)
            except _DELETED:
                continue
            except OSError as error:
                self._unreadable[key_of(path)] = error


def _order(key: str, state: FileState | None) -> tuple[int, str]:
    """What pages refer to before the pages; removals last."""
    if state is None:
        return 3, key
    if key == PROVENANCE_KEYS:
        return 0, key
    return (1 if key.startswith("static/") else 2), key
