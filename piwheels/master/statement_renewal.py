"""Signs statements again after a key was revoked, so that they are trusted as before."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piwheels.db import bucket_changes, key_values, statements
from piwheels.db.database import Database
from piwheels.errors import ConfigError
from piwheels.formatting import pluralize
from piwheels.master.statement_fill import BATCH_ROWS, PAUSE_S
from piwheels.provenance.statement import Subject
from piwheels.webroot import Webroot

if TYPE_CHECKING:
    from piwheels.provenance.writer import StatementWriter

log = logging.getLogger(__name__)

_INTERVAL_S = 30.0
#: The revoked keys whose statements were all signed again, with spaces between them.
_DONE = "provenance/renewed-after"


@dataclass(slots=True)
class StatementRenewal:
    """Publishes revocations, and signs what revoked keys had signed with the present key."""

    db: Database
    webroot: Webroot
    writer: "StatementWriter | None"
    interval_s: float = _INTERVAL_S
    pause_s: float = PAUSE_S

    async def run(self) -> None:
        """Look for revoked keys now and then."""
        while self.writer is not None:
            try:
                await self.renew(self.writer)
            except (ConfigError, OSError) as error:
                log.warning("statements of a revoked key are not signed again yet: %s", error)
            await asyncio.sleep(self.interval_s)

    async def renew(self, writer: "StatementWriter") -> int:
        """Sign again what is left to; returns how many statements were.

        An interruption loses nothing: those that were signed again are skipped the next time.

        Raises:
            ConfigError: the keys cannot be read.
            OSError: a statement cannot be written.
        """
        revoked = await asyncio.to_thread(writer.keys.revoked)
        done = frozenset((await key_values.get_value(self.db, _DONE) or "").split())
        if revoked <= done:
            return 0
        await asyncio.to_thread(writer.publish_keys)  # a revocation also without statements
        count, after = 0, ""
        while batch := await statements.wheels_with_statement(self.db, after, BATCH_ROWS):
            after = batch[-1][0]
            renewed = await asyncio.to_thread(self._renew_batch, writer, batch)
            await bucket_changes.record_wheels(self.db, renewed)  # pages link to the same file
            count += len(renewed)
            await asyncio.sleep(self.pause_s)
        await key_values.set_value(self.db, _DONE, " ".join(sorted(revoked)))
        log.info("signed %s of a revoked key again", pluralize(count, "statement"))
        return count

    def _renew_batch(
        self, writer: "StatementWriter", batch: list[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """Those whose statements were signed again."""
        with self.webroot.packages_lock():
            renewed = writer.renew(Subject(name=name, sha256=sha256) for name, sha256 in batch)
            return [(wheel.name, wheel.sha256) for wheel in renewed]
