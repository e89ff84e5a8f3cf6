"""Which web root is this farm's: what the database knows of it, compared with the folder."""

import asyncio
import uuid
from pathlib import Path

from piwheels.db import audit_queries, key_values
from piwheels.db.database import Database
from piwheels.webroot.tree_epoch import read_epoch
from piwheels.webroot.tree_farm import require_farm, store_farm

#: The identity of this farm, which its web root has as well.
FARM = "farm/identity"
#: Set as soon as a web root has it.
_HAS_WEBROOT = "farm/has-webroot"
#: The epoch that the web root had when it was marked: older copies have a lower one.
_EPOCH = "farm/webroot-epoch"


async def require_own(db: Database, root: Path, *, may_be_new: bool = False) -> None:
    """Check that a folder is the web root of this farm, or may become it.

    It may if the farm has none yet. A farm of an earlier version has one that does not say whose
    it is: there are wheels in it, if the index lists any.

    Args:
        db: the connection.
        root: the folder.
        may_be_new: whether any folder will do that is not another farm's.

    Raises:
        OtherTreeError: it is not; the message has the way out.
        OSError: the folder cannot be read.
    """
    farm = await _identity(db)
    is_new = may_be_new or not await _has_webroot(db, root)
    least = int(await key_values.get_value(db, _EPOCH) or 0)
    await asyncio.to_thread(require_farm, root, farm, is_new=is_new, least_epoch=least)


async def mark_own(db: Database, root: Path) -> None:
    """Have a folder be the web root of this farm from now on, and older copies of it not.

    Raises:
        OSError: it cannot be written.
    """
    await asyncio.to_thread(store_farm, root, await _identity(db))
    if await key_values.get_value(db, _HAS_WEBROOT) is None:
        await key_values.set_value(db, _HAS_WEBROOT, "yes")
    written = await asyncio.to_thread(read_epoch, root)
    await key_values.set_value(db, _EPOCH, str(written.epoch) if written else None)


async def _has_webroot(db: Database, root: Path) -> bool:
    """Whether this farm has a web root that another folder must not be taken for."""
    if await key_values.get_value(db, _HAS_WEBROOT) is not None:
        return True
    if not await audit_queries.has_files(db):
        return False
    return not await asyncio.to_thread((root / "packages").is_dir)


async def _identity(db: Database) -> str:
    """The identity of this farm, made when it is first asked for."""
    await db.execute(
        """
        INSERT INTO key_values (key, value) VALUES (%(key)s, %(new)s)
            ON CONFLICT (key) DO NOTHING
        """,
        {"key": FARM, "new": str(uuid.uuid4())},
    )
    return str(await key_values.get_value(db, FARM))
