"""Backups in a folder: their names, and which are deleted."""

import fcntl
import logging
import re
from datetime import datetime
from pathlib import Path

log = logging.getLogger(__name__)

_NAME = re.compile(r"piwheels-\d{4}-\d\d-\d\dT\d{6}Z\.zip")
_PART = re.compile(rf"\.{_NAME.pattern}\.part")


def file_name(created_at: datetime) -> str:
    """The name of a backup of that time (UTC); names sort by time."""
    return f"piwheels-{created_at:%Y-%m-%dT%H%M%SZ}.zip"


def delete_old(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest backups of a folder; returns what was deleted.

    Args:
        folder: it may hold other files, too.
        keep: how many stay; 0: all.
    """
    found = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    old = found[:-keep] if keep else []
    for path in old:
        path.unlink(missing_ok=True)
    return old


def part_path(path: Path) -> Path:
    """Where a backup is written, before it gets its name."""
    return path.with_name(f".{path.name}.part")


def delete_leftovers(path: Path) -> None:
    """Delete what interrupted backups left beside a new one; what is being written is locked."""
    found = [entry for entry in path.parent.iterdir() if _PART.fullmatch(entry.name)]
    for part in {*found, part_path(path)}:
        try:
            with part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue
        except PermissionError as error:
            log.warning(
                "%s was left by an interrupted backup of another account; delete it: %s",
                part,
                error.strerror,
            )
