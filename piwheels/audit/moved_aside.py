"""Moves files out of the web root into a folder that nobody serves; nothing is deleted."""

import errno
import itertools
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from piwheels.webroot import make_dir


class MovedAside:
    """The folder of moved files: each has its path in the web root, below the day of its move."""

    def __init__(self, root: Path, folder: Path, day: str) -> None:
        self._root = root
        self.folder = folder / day

    @classmethod
    def today(cls, root: Path, state_dir: Path) -> Self:
        """The folder for what is moved today (UTC), in a master's folder of states."""
        return cls(root, state_dir / "moved-aside", f"{datetime.now(UTC):%Y-%m-%d}")

    def move(self, path: Path) -> Path:
        """Move a file, link or directory there; returns its new path.

        Raises:
            OSError: it cannot be moved.
        """
        target = self._free_path(path)
        self._make_parent(target)
        try:
            path.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.move(path, target)  # another file system: a copy, then the original goes
        return target

    def copy(self, path: Path) -> Path:
        """Keep a copy of a file there; returns its path.

        Raises:
            OSError: it cannot be copied.
        """
        target = self._free_path(path)
        self._make_parent(target)
        shutil.copy2(path, target, follow_symlinks=False)
        return target

    def _make_parent(self, target: Path) -> None:
        if not self.folder.is_dir():
            make_dir(self.folder)
            self.folder.parent.chmod(0o700)  # what is in there is not to be served or run
        make_dir(target.parent)

    def _free_path(self, path: Path) -> Path:
        wanted = self.folder / path.relative_to(self._root)
        if not os.path.lexists(wanted):
            return wanted
        numbered = (wanted.with_name(f"{wanted.name}.{number}") for number in itertools.count(1))
        return next(path for path in numbered if not os.path.lexists(path))
