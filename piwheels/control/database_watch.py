"""Finds what the master's statements wait for: a lock of another client, or a lasting error.

Statements of the master wait for locks as long as they are held. The holder is looked up on a
separate connection, logged once, and shown by `piw status` and the console.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from piwheels.db.database import Database
from piwheels.db.lock_holders import LockHolder, find_lock_holders
from piwheels.formatting import format_duration
from piwheels.sanitize import truncate_line

log = logging.getLogger(__name__)

_INTERVAL_S = 5.0
#: Shorter waits are normal.
_MIN_WAIT_S = 3.0
_MAX_QUERY_LENGTH = 80
_MAX_LINE_LENGTH = 500


@dataclass(slots=True)
class DatabaseWatch:
    """Checks periodically; `databases` are the connections whose errors it reports."""

    db: Database
    databases: list[Database] = field(default_factory=list)
    _blockers: list[LockHolder] = field(default_factory=list)

    async def run(self) -> None:
        """Check every few seconds, until canceled."""
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
            log.info("database process %d no longer blocks the master", pid)


def in_parentheses(reason: str) -> str:
    """A reason as the end of a sentence; "" for none."""
    return f" ({reason})" if reason else ""


def describe_blocker(blocker: LockHolder) -> str:
    """Who holds a lock, for how long, who waits for it, and how to end it."""
    account = f" of {blocker.account}" if blocker.account else ""
    origin = f" from {blocker.address}" if blocker.address else ""
    query = (
        f": {truncate_line(' '.join(blocker.query.split()), _MAX_QUERY_LENGTH)}"
        if blocker.query
        else ""
    )
    waited, held = format_duration(blocker.waited_s), format_duration(blocker.held_s)
    return truncate_line(
        f"{', '.join(blocker.roles)}: waiting for {waited} for a lock held by process "
        f"{blocker.pid} ({blocker.client or 'a client'}{account}{origin}, in a transaction "
        f"for {held}{query}); stop it, or run "
        f"SELECT pg_terminate_backend({blocker.pid})",
        _MAX_LINE_LENGTH,
    )
