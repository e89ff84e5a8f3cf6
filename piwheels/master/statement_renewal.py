"""Signs statements again after a key was revoked, so that they are trusted as before.

Each is compared with what is recorded of its build: a revoked key may have signed anything.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piwheels.db import bucket_changes, key_values, statements
from piwheels.db.database import Database
from piwheels.db.statements import RecordedWheel
from piwheels.errors import ConfigError
from piwheels.formatting import pluralize
from piwheels.master.statement_fill import BATCH_ROWS, PAUSE_S
from piwheels.model import OTHER_MAKERS
from piwheels.provenance.statement import Subject
from piwheels.scheduler.recorded_builds import recorded_facts
from piwheels.webroot import Webroot

if TYPE_CHECKING:
    from piwheels.provenance.writer import Renewal, StatementWriter

log = logging.getLogger(__name__)

_INTERVAL_S = 30.0
#: The revoked keys whose statements were all signed again, with spaces between them.
_DONE = "provenance/renewed-after"
#: So many statements that are not signed again get an event each.
_MAX_EVENTS = 20


@dataclass(slots=True)
class StatementRenewal:
    """Publishes revocations, and signs what revoked keys had signed with the present key.

    record: adds an event.
    """

    db: Database
    webroot: Webroot
    writer: "StatementWriter | None"
    record: Callable[[str], Awaitable[None]]
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
        await asyncio.to_thread(self._record_keys, writer)
        revoked = await asyncio.to_thread(writer.keys.revoked)
        done = frozenset((await key_values.get_value(self.db, _DONE) or "").split())
        if revoked <= done:
            return 0
        await asyncio.to_thread(writer.publish_keys)  # a revocation also without statements
        count, refused, after = 0, 0, ""
        while batch := await statements.wheels_with_statement(
            self.db, after, BATCH_ROWS, other_makers=OTHER_MAKERS
        ):
            after = batch[-1].filename
            renewal = await asyncio.to_thread(self._renew_batch, writer, batch)
            await self._record_refused(renewal.refused[: max(0, _MAX_EVENTS - refused)])
            refused += len(renewal.refused)
            renewed = [(wheel.name, wheel.sha256) for wheel in renewal.signed]
            await bucket_changes.record_wheels(self.db, renewed)  # pages link to the same file
            count += len(renewed)
            await asyncio.sleep(self.pause_s)
        await key_values.set_value(self.db, _DONE, " ".join(sorted(revoked)))
        if refused > _MAX_EVENTS:
            more = pluralize(refused - _MAX_EVENTS, "more statement")
            await self.record(f"{more} of a revoked key differ from the records of their builds")
        log.info("signed %s of a revoked key again", pluralize(count, "statement"))
        return count

    def _record_keys(self, writer: "StatementWriter") -> None:
        """Have the database know the keys that a rotation made, also while nothing is signed."""
        public, _ = writer.keys.load()
        writer.record_keys(public)

    async def _record_refused(self, refused: "list[tuple[Subject, str]]") -> None:
        for wheel, problem in refused:
            await self.record(
                f"the statement of {wheel.name} is not signed again: {problem}; `piw audit --fix` "
                "writes it from the record"
            )

    def _renew_batch(self, writer: "StatementWriter", batch: list[RecordedWheel]) -> "Renewal":
        with self.webroot.packages_lock():
            return writer.renew(
                (Subject(name=wheel.filename, sha256=wheel.sha256), recorded_facts(wheel))
                for wheel in batch
            )
