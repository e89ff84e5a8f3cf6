"""Makes single objects of the bucket like the files of the web root, with conditional writes.

A page is looked at in the bucket before it is read from the disk, and replaces only the object
that was seen: of two followers, the one with the older page is refused, and reads again. So is a
statement, which may be signed again. Other objects of packages/ are written only where there is
none.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from piwheels.bucket.site_objects import LocalFile, is_immutable, read_local
from piwheels.bucket.store import Store, StoredObject
from piwheels.model import Struct
from piwheels.object_storage.errors import ChangedMeanwhileError
from piwheels.object_storage.files import MAX_HELD_BYTES
from piwheels.webroot import Webroot

log = logging.getLogger(__name__)

#: Files that are held at the same time are smaller than this; larger ones are copied one by one.
_SMALL_BYTES = 2**20


class CopyOutcome(StrEnum):
    """What was done about an object."""

    COPIED = "copied"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    ABSENT = "absent"  # in the bucket and on the disk
    REFUSED = "refused"  # what is there is not the follower's, or the file is damaged


class PreparedPage(Struct, frozen=True, kw_only=True):
    """A page that was read, and the object that it may replace."""

    key: str
    local: LocalFile | None
    before: StoredObject | None


@dataclass(slots=True)
class Copier:
    """Copies objects.

    max_requests: how many at the same time.
    """

    store: Store
    webroot: Webroot
    max_requests: int = 16
    copied: int = 0
    _slots: asyncio.Semaphore = field(init=False)
    _large: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.max_requests)

    async def sync(self, key: str) -> CopyOutcome:
        """Make an object like the file: write, keep or delete it.

        Raises:
            BucketError: the bucket does not answer or refuses.
            ChangedMeanwhileError: something else writes the same page; try again.
            TreeMissingError: there is no file, and no web root.
            OSError: the file cannot be read.
        """
        if not is_immutable(key):
            return await self.write_page(await self.prepare_page(key))
        async with self._slots:
            path = self.webroot.root / key
            size = await asyncio.to_thread(_size, path)
            if size is None:
                return await self._remove(key, await self.store.head(key))
            if size <= _SMALL_BYTES:
                return await self._write_immutable(key)
            async with self._large:
                return await self._write_immutable(key)

    async def prepare_page(self, key: str) -> PreparedPage:
        """Look at the object, then read the page."""
        async with self._slots:
            before = await self.store.head(key)
            return PreparedPage(key=key, local=await self._read(key), before=before)

    async def write_page(self, page: PreparedPage) -> CopyOutcome:
        """Write a page over the object that was seen before it was read, or delete that."""
        async with self._slots:
            if page.local is None:
                return await self._remove(page.key, page.before)
            if page.before is not None and page.before.is_copy_of(page.local):
                return CopyOutcome.UNCHANGED
            await self.store.put(page.key, page.local, page.before)
            self.copied += 1
            return CopyOutcome.COPIED

    async def _read(self, key: str) -> LocalFile | None:
        return await asyncio.to_thread(read_local, self.webroot.root, key, MAX_HELD_BYTES)

    async def _write_immutable(self, key: str) -> CopyOutcome:
        local = await self._read(key)
        if local is None:  # deleted just now: its removal is recorded
            await asyncio.to_thread(self.webroot.tree_epoch.check_there)
            return CopyOutcome.ABSENT
        if key.endswith(".whl") and f"/{local.sha256}/" not in key:
            log.error("%s is damaged, and not copied into the bucket: see `piw audit`", key)
            return CopyOutcome.REFUSED
        there = await self.store.head(key) if local.content is None else None
        if there is None:
            try:
                await self.store.put(key, local, None)
            except ChangedMeanwhileError:
                there = await self.store.head(key)
            else:
                self.copied += 1
                return CopyOutcome.COPIED
        if there is not None and there.sha256 == local.sha256:
            if there.headers == local.headers:
                return CopyOutcome.UNCHANGED
            await self.store.put(key, local, there)  # the same bytes, with the right headers
            self.copied += 1
            return CopyOutcome.COPIED
        log.error("%s in the bucket has other bytes than on this disk; it is not overwritten", key)
        return CopyOutcome.REFUSED

    async def _remove(self, key: str, there: StoredObject | None) -> CopyOutcome:
        # After the file was not found: it may lack because the whole web root does.
        await asyncio.to_thread(self.webroot.tree_epoch.check_there)
        if there is None:
            return CopyOutcome.ABSENT
        if not there.sha256:
            log.warning("%s in the bucket is not a copy of this farm; it is not deleted", key)
            return CopyOutcome.REFUSED
        await self.store.delete(key)
        return CopyOutcome.REMOVED


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
