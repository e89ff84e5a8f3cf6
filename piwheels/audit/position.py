"""How far an audit is: stored, so that one that was interrupted goes on there."""

import contextlib
from pathlib import Path

import msgspec

from piwheels.errors import MALFORMED
from piwheels.model import Struct
from piwheels.webroot import replace_file

_FORMAT = 1


class Counts(msgspec.Struct, kw_only=True):
    """What an audit has done so far.

    files: what was compared, pages and logs included.
    read_bytes: of wheels and other files.
    logs_of_removed_builds: logs of builds that were removed with their release.
    """

    files: int = 0
    read_bytes: int = 0
    missing: int = 0
    extra: int = 0
    wrong: int = 0
    repaired: int = 0
    logs_of_removed_builds: int = 0

    @property
    def findings(self) -> int:
        """How many files are missing, extra or wrong."""
        return self.missing + self.extra + self.wrong


class Position(Struct, frozen=True, kw_only=True):
    """Where an audit goes on.

    options: what it was asked for; an audit with other options does not go on here.
    part: the name of the part of the farm that it was at.
    after: what of that part was done; "" for nothing.
    """

    format: int = _FORMAT
    options: str
    part: str
    after: str
    counts: Counts


def load_position(path: Path, options: str) -> Position | None:
    """The stored position of an audit with the same options, if there is one."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Position)
    except (OSError, *MALFORMED):
        return None
    return found if (found.format, found.options) == (_FORMAT, options) else None


def store_position(path: Path, position: Position) -> None:
    """Store a position durably.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(path, msgspec.json.encode(position), mode=0o600)


def forget_position(path: Path) -> None:
    """Delete the stored position: the audit is complete."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
