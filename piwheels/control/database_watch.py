"""What keeps the master waiting for its database: a lock of another client, or a fault that lasts.

Statements of the master wait for locks as long as they are held. Who holds one is looked up on a
connection of its own, logged once, and shown by `piw status` and the console.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from piwheels.db.blockers import LockHolder, find_lock_holders
from piwheels.db.database import Database
from piwheels.sanitize import truncate_line

log = logging.getLogger(__name__)

_INTERVAL_S = 5.0
#: Waiting for less is ordinary.
_MIN_WAIT_S = 3.0
_MAX_QUERY_LENGTH = 80
_MAX_LINE_LENGTH = 500


@dataclass(slots=True)
class DatabaseWatch:
    """The duty; `databases` are the connections whose faults it tells."""

    db: Database
    databases: list[Database] = field(default_factory=list)
    _blockers: list[LockHolder] = field(default_factory=list)

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            found = await find_lock_holders(self.db, after_s=_MIN_WAIT_S)
            self._log_changes(found)
            self._blockers = found
            await asyncio.sleep(_INTERVAL_S)

    @property
    def wait_reason(self) -> str:
        """What the master waits for, in one line; "" when it waits for nothing."""
        faults = (database.last_error for database in self.databases)
        if fault := next(filter(None, faults), ""):
            return truncate_line(fault)
        return describe_blocker(self._blockers[0]) if self._blockers else ""

    def _log_changes(self, found: list[LockHolder]) -> None:
        before = {blocker.pid for blocker in self._blockers}
        for blocker in found:
            if blocker.pid not in before:
                log.warning("%s", describe_blocker(blocker))
        for pid in sorted(before - {blocker.pid for blocker in found}):
            log.info("process %d of the database blocks the master no longer", pid)


def in_parentheses(problem: str) -> str:
    """A problem as the end of a sentence; "" for none."""
    return f" ({problem})" if problem else ""


def describe_blocker(blocker: LockHolder) -> str:
    """Who holds a lock, for how long, who waits for it, and the way out."""
    account = f" of {blocker.account}" if blocker.account else ""
    place = f" from {blocker.address}" if blocker.address else ""
    query = (
        f": {truncate_line(' '.join(blocker.query.split()), _MAX_QUERY_LENGTH)}"
        if blocker.query
        else ""
    )
    return truncate_line(
        f"{', '.join(blocker.duties)}: waiting for {blocker.waited_s:.0f} s for a lock held by "
        f"process {blocker.pid} ({blocker.client or 'a client'}{account}{place}, in a transaction "
        f"for {blocker.held_s:.0f} s{query}); end it, or run "
        f"SELECT pg_terminate_backend({blocker.pid})",
        _MAX_LINE_LENGTH,
    )
