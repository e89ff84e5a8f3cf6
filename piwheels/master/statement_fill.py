"""Writes statements for wheels that were published without one, from what is recorded."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piwheels.db import statements
from piwheels.db.database import Database
from piwheels.db.statements import RecordedWheel
from piwheels.formatting import pluralize
from piwheels.model import OTHER_MAKERS
from piwheels.provenance.statement import Subject
from piwheels.scheduler.recorded_builds import recorded_facts
from piwheels.webroot import Webroot

if TYPE_CHECKING:
    from piwheels.provenance.writer import StatementWriter

log = logging.getLogger(__name__)

BATCH_ROWS = 50
#: Each batch has pages written again, and all of a large farm's must not come at once.
PAUSE_S = 1.0


@dataclass(slots=True)
class StatementFill:
    """Goes through all wheels once, by name, after the start of the master."""

    db: Database
    webroot: Webroot
    writer: "StatementWriter | None"
    pause_s: float = PAUSE_S

    async def run(self) -> None:
        """Write what is missing; a wheel that cannot be signed now is tried at the next start."""
        if self.writer is None:
            return
        written, after = 0, ""
        while batch := await statements.wheels_without_statement(
            self.db, after, BATCH_ROWS, other_makers=OTHER_MAKERS
        ):
            after = batch[-1].filename
            try:
                done = await asyncio.to_thread(self._write, self.writer, batch)
            except OSError as error:
                log.warning("statements of wheels cannot be written: %s", error)
                return
            await statements.record_statements(self.db, done)
            written += len(done)
            await asyncio.sleep(self.pause_s)
        if written:
            log.info("wrote statements of %s", pluralize(written, "wheel"))

    def _write(self, writer: "StatementWriter", batch: list[RecordedWheel]) -> list[RecordedWheel]:
        """Write the statements of those wheels that are there, and return these."""
        done = []
        with self.webroot.packages_lock():
            for wheel in batch:
                if self.webroot.wheel_path(wheel.sha256, wheel.filename).is_file():
                    writer.write(
                        Subject(name=wheel.filename, sha256=wheel.sha256), recorded_facts(wheel)
                    )
                    done.append(wheel)
        return done
