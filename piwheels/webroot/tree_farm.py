"""Which farm a web root belongs to: a file with the farm's identity, which its database has too.

An empty mount point looks like a new web root. It is not taken for one where the database knows
that the farm has a web root.
"""

import contextlib
from pathlib import Path

import msgspec

from piwheels.errors import MALFORMED, PiwheelsError
from piwheels.webroot.atomic_file import replace_file
from piwheels.webroot.tree_epoch import EPOCH_FILE, read_epoch

FARM_FILE = ".farm.json"
_ADOPT = (
    "If what it had is lost, or it is to be this farm's from now on, run "
    "`piw master adopt`, start the master, and then have `piw audit` say what is missing"
)


class OtherTreeError(PiwheelsError):
    """A folder that is not the web root of this farm: another farm's, or an empty one."""


class FarmRecord(msgspec.Struct, frozen=True):
    """The content of the file: the identity of a farm; "" for whichever looks next."""

    farm: str = ""


def read_farm(root: Path) -> FarmRecord | None:
    """What the file of a web root says; None where there is none, or it is not readable as one.

    Raises:
        OSError: it cannot be read.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, *MALFORMED):
        return msgspec.json.decode((root / FARM_FILE).read_bytes(), type=FarmRecord)
    return None


def store_farm(root: Path, farm: str) -> None:
    """Write the file, unless it says so already.

    Raises:
        OSError: it cannot be written.
    """
    record = FarmRecord(farm)
    if read_farm(root) != record:
        replace_file(root / FARM_FILE, msgspec.json.encode(record))


def give_up(root: Path) -> None:
    """Have a folder be the web root of whichever farm looks next.

    Raises:
        OSError: it cannot be written.
    """
    (root / EPOCH_FILE).unlink(missing_ok=True)  # of a master that other databases do not know
    store_farm(root, "")


def require_farm(root: Path, farm: str, *, is_new: bool, least_epoch: int = 0) -> None:
    """Check that a folder is the web root of a farm.

    Args:
        root: the folder.
        farm: the farm's identity.
        is_new: whether the farm has no web root yet, so that any folder without the file will do.
        least_epoch: the epoch of the last master that claimed the web root; 0: it is not known.

    Raises:
        OtherTreeError: it is not; the message has the way out.
        OSError: its file cannot be read.
    """
    found = read_farm(root)
    if found is None and not is_new:
        raise OtherTreeError(
            f"{root} (webroot.root) is not the web root of this farm, which has a {FARM_FILE}: is "
            f"its file system mounted? {_ADOPT}"
        )
    if found is not None and found.farm not in {"", farm}:
        raise OtherTreeError(
            f"{root} (webroot.root) is the web root of another farm, as its {FARM_FILE} says: is "
            f"database.dsn right, and the right file system mounted? {_ADOPT}"
        )
    if found is None or found.farm != farm or not least_epoch:
        return
    written = read_epoch(root)
    if written is None or written.epoch < least_epoch:
        raise OtherTreeError(
            f"{root} (webroot.root) is an older copy of this farm's web root, as its {EPOCH_FILE} "
            f"says: are these files beneath a mount point whose file system is not there? {_ADOPT}"
        )
