"""Verifies the statements of wheels with the master's own keys, and writes them again.

It needs the package cryptography and the keys of the master, which only its account reads.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from piwheels.audit import tree
from piwheels.db import statements
from piwheels.db.database import Database
from piwheels.model import OTHER_MAKERS
from piwheels.provenance.dsse import MAX_ENVELOPE_BYTES
from piwheels.provenance.errors import NotVerifiedError
from piwheels.provenance.public_keys import PublicKey
from piwheels.provenance.statement import Subject
from piwheels.provenance.verification import verify
from piwheels.provenance.writer import StatementWriter
from piwheels.scheduler.recorded_builds import recorded_facts


@dataclass(frozen=True, slots=True)
class StatementCheck:
    """The keys that statements are trusted by, and what writes them."""

    writer: StatementWriter
    keys: Mapping[str, PublicKey]

    @classmethod
    def of(cls, writer: StatementWriter) -> "StatementCheck":
        """A check with the keys of a master.

        Raises:
            ConfigError: they cannot be read.
        """
        published, _ = writer.keys.load()
        return cls(writer, {key.keyid: key for key in published.keys})

    def problem(self, path: Path, filename: str, sha256: str) -> str:
        """Why the statement at a path does not prove how a wheel was built; "" if it does.

        Raises:
            OSError: it cannot be read.
        """
        try:
            data = tree.read_file(path, MAX_ENVELOPE_BYTES + 1)
            verify(data, self.keys, Subject(name=filename, sha256=sha256))
        except NotVerifiedError as error:
            return str(error)
        return ""

    async def write_again(
        self, db: Database, filename: str, sha256: str, lock: AbstractAsyncContextManager[None]
    ) -> None:
        """Write the statement of a wheel that has none, from the record of its build.

        An imported wheel has no such record, and gets none.

        Raises:
            OSError: it cannot be written.
        """
        wheel = await statements.unstated_wheel(db, filename, sha256, other_makers=OTHER_MAKERS)
        if wheel is None:
            return
        async with lock:
            subject = Subject(name=filename, sha256=sha256)
            await asyncio.to_thread(self.writer.write, subject, recorded_facts(wheel))
        await statements.record_statements(db, [wheel])
