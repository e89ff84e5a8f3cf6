"""Ends a master that was superseded: by another master, or because its database was.

Writes into the database are checked there. What this watch finds concerns the web root, and a
former primary that still accepts writes.
"""

import asyncio
import errno
import logging
from dataclasses import dataclass, field

from piwheels.db.connection import split_hosts
from piwheels.db.database import Database
from piwheels.db.replication import find_replication_risk, refuse_former_primary
from piwheels.formatting import join_words
from piwheels.webroot.tree_epoch import TreeEpoch, TreeTakenError

log = logging.getLogger(__name__)

#: What a full disk says.
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})

_INTERVAL_S = 1.0
#: Every so many checks, the other hosts of the DSN are looked at.
_HOSTS_EVERY = 5
#: And whether replication is synchronous: once a minute.
_RISK_EVERY = 60


@dataclass(slots=True)
class EpochWatch:
    """Checks periodically; `db` is the connection that holds the master's lock."""

    db: Database
    tree: TreeEpoch
    is_claimed: bool = field(default=False, init=False)  # not yet on a full disk
    _fault: str = field(default="", init=False)  # why the web root cannot be used, as logged last
    risk: str = field(default="", init=False)  # why a failover can lose acknowledged builds

    def log_server(self) -> None:
        """Say which of several hosts is used."""
        if len(hosts := split_hosts(self.db.dsn)) > 1:
            log.info("database: %s accepts writes, of %s", self.db.server, join_words(list(hosts)))

    async def claim_tree(self, wait_s: float) -> None:
        """Take the web root over.

        On a full disk, `run` tries again.

        Raises:
            TreeTakenError: a master with a higher epoch has written it.
            OSError: it cannot be written.
        """
        try:
            await asyncio.to_thread(self.tree.claim, self._epoch, wait_s)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise
            self._warn(error)
        else:
            self.is_claimed, self._fault = True, ""

    async def run(self) -> None:
        """Check until canceled.

        Raises:
            TreeTakenError: another master writes the web root now.
            DatabaseError: another server was promoted.
        """
        checks = 0
        while True:
            await self._check_tree()
            if checks % _HOSTS_EVERY == 0:
                await refuse_former_primary(self.db)
            if checks % _RISK_EVERY == 0:
                await self.check_risk()
            checks += 1
            await asyncio.sleep(_INTERVAL_S)

    async def check_risk(self) -> None:
        """Look whether replication is synchronous, and log a change."""
        risk = await find_replication_risk(self.db)
        if risk != self.risk:
            log.warning("%s", risk or "replication is synchronous now")
            self.risk = risk

    async def _check_tree(self) -> None:
        if not self.is_claimed:
            await self.claim_tree(0.0)
            return
        try:
            await asyncio.to_thread(self.tree.renew, self._epoch)
        except TreeTakenError:
            raise
        except OSError as error:
            self._warn(error)
        else:
            self._fault = ""

    def _warn(self, error: OSError) -> None:
        """Log a fault once, not at each check while it lasts."""
        if (fault := str(error.strerror)) != self._fault:
            log.warning("%s: %s; retrying", self.tree.root, fault)
            self._fault = fault

    @property
    def _epoch(self) -> int:
        return self.db.epoch.number if self.db.epoch else 0
