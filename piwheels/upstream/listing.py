"""Reads the upstream's list of all projects, to follow every one of them.

Its projects are stored (db.listed_projects), and their pages are read by listing_fill. An
interrupted list is read again from its start.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from piwheels.backoff import Backoff
from piwheels.db import key_values, listed_projects, upstream
from piwheels.db.database import Database
from piwheels.db.listed_projects import ListingState
from piwheels.errors import TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.listing import ProjectListing, read_listing
from piwheels.upstream.faults import describe_fault
from piwheels.upstream.listing_fill import ListingFill
from piwheels.upstream.reconcile import Reconciler

_LISTED_BATCH = 10_000
#: How often to look whether the list is due.
_LOOK_INTERVAL_S = 60.0
#: The changelog is read again from an older list's serial, unless that is too far back.
_MAX_SERIALS_BACK = 2_000_000


@dataclass(slots=True)
class ListingReader:
    """Reads and stores the list of all projects, each time that it is due.

    serial_lock: held while the changelog's serial is changed.
    max_age_s: after which time the list is read again.
    problem: why it could not be read; "" if it was.
    """

    db: Database
    index: SimpleIndex
    fill: ListingFill
    reconciler: Reconciler
    serial_lock: asyncio.Lock
    max_age_s: Callable[[], float]
    on_read: Callable[[], None]
    first_delay_s: float
    max_delay_s: float
    problem: str = ""
    _is_filling: bool = False

    @property
    def status_text(self) -> str:
        """How much of the list was read, for operators; "" after all of it."""
        return self.problem or self.fill.status_text

    async def run(self) -> None:
        """Read the list when it is due, until canceled."""
        backoff = Backoff(self.first_delay_s, self.max_delay_s, jitter=(0.8, 1.2))
        while True:
            wait_s = _LOOK_INTERVAL_S
            try:
                await self._read_if_due()
                self.problem = ""
                backoff.reset()
            except Exception as error:  # noqa: BLE001 - of the list; the database's are raised again
                subject = "the list of all projects"
                asked_s = error.retry_after_s if isinstance(error, TransientError) else 0.0
                wait_s = max(backoff.next_s(), asked_s)
                self.problem = f"{subject}: {describe_fault(error, subject)}; retrying"
            await asyncio.sleep(min(wait_s, self.max_age_s()))

    async def _read_if_due(self) -> None:
        state = await self._state()
        if state.is_due:
            await self._read(state)
            total = (await self._state()).total
            unread = await self.fill.restart(total)
            await self.reconciler.record_event(
                f"read the list of all projects: {total:,}, of which {unread:,} are to be read"
            )
        elif not self._is_filling:
            await self.fill.restart(state.total)
        self._is_filling = True
        self.on_read()

    async def _state(self) -> ListingState:
        return await listed_projects.listing_state(self.db, timedelta(seconds=self.max_age_s()))

    async def _read(self, state: ListingState) -> None:
        with tempfile.TemporaryDirectory(prefix="piwheels-listing-") as directory:
            path = Path(directory) / "projects"
            listing = await self.index.listing(path, etag=state.etag)
            if listing is not None:
                await self._store(path)
        # Without a list before, the changelog has to be read from this one's serial on.
        await self._finish(listing, is_first=not state.was_read)

    async def _store(self, path: Path) -> None:
        projects = read_listing(path)
        while batch := list(itertools.islice(projects, _LISTED_BATCH)):
            names = [item.project for item in batch]
            await listed_projects.store_listed(self.db, names, [item.serial for item in batch])

    async def _finish(self, listing: ProjectListing | None, *, is_first: bool) -> None:
        async with self.serial_lock:
            serial = None
            if is_first and listing is not None and listing.serial is not None:
                kept = await key_values.get_value(self.db, upstream.SERIAL_KEY)
                serial = serial_after_listing(None if kept is None else int(kept), listing.serial)
            await listed_projects.finish_listing(
                self.db,
                total=listing.projects if listing else None,
                etag=listing.etag if listing else "",
                serial=serial,
            )


def serial_after_listing(kept: int | None, listed: int) -> int | None:
    """From where the changelog is read after a list with this serial; None: from where it was.

    A list can be older than the serial from which events are read, if a cache held it: it lacks
    projects that were created in between.
    """
    if kept is None:
        return listed
    return listed if 0 < kept - listed <= _MAX_SERIALS_BACK else None
