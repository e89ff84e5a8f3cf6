"""Wheels that were built elsewhere: fetched from who imports them, checked, published."""

import asyncio
import hashlib
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from piwheels import names
from piwheels.append_file import AppendFile
from piwheels.db import catalog, jobs
from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.farm.publishing import Publisher
from piwheels.farm.receive import LARGEST_WHEEL_BYTES
from piwheels.master.fates import Inbox, Send
from piwheels.model import Build, Kind, Outcome, Release, Rules, Target
from piwheels.protocol.messages import Applied, Import, ImportChunk, ImportFetch
from piwheels.protocol.transfer import Transfer

_CHUNK_WAIT_S = 60.0
_IMPORTED_BY = "import"


@dataclass(slots=True)
class Importer:
    """Takes such wheels in."""

    db: Database
    rules: Rules
    publisher: Publisher
    spool: Path

    def tidy(self) -> None:
        """Remove what an earlier master was importing when it ended."""
        shutil.rmtree(self.spool, ignore_errors=True)

    async def take(self, command: Import, send: Send, inbox: Inbox) -> Applied:
        """Fetch a wheel from its asker, check it and publish it.

        Raises:
            RefusedError: it is not what was announced, or installs nowhere here.
        """
        name = names.wheel(command.filename)
        if not 0 < command.size_bytes <= LARGEST_WHEEL_BYTES:
            raise RefusedError(f"a wheel of {command.size_bytes} bytes is not accepted")
        number = await self.db.retrying(lambda: jobs.new_build_number(self.db))
        folder = self.spool / str(number)
        folder.mkdir(parents=True)
        try:
            path = folder / command.filename
            await _fetch(command, path, send, inbox)
            return await self._publish(number, name.project, str(name.version), path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _publish(self, number: int, project: str, wheel_version: str, path: Path) -> Applied:
        facts = await self.publisher.read(path)
        target = await self._first_covered(facts.filename, facts.kind)
        db, now = self.db, datetime.now(UTC)
        known = await db.retrying(lambda: catalog.known_releases(db, project))
        if wheel_version not in {item.version for item in known}:
            release = Release(
                project=project,
                version=wheel_version,
                released_at=now,
                requires_python=facts.requires_python,
            )
            await db.retrying(lambda: catalog.add_project(db, project, project))
            await db.retrying(lambda: catalog.add_releases(db, [release], self.rules))
        wheel = await self.publisher.lay_down(facts, path, target=target)
        build = Build(
            build=number,
            project=project,
            version=wheel_version,
            target=target.name,
            builder=_IMPORTED_BY,
            outcome=Outcome.BUILT,
            started_at=now,
            duration_s=0.0,
        )
        if not await db.retrying(lambda: jobs.record_import(db, build, [wheel], self.rules)):
            raise RefusedError(f"{project} {wheel_version} was removed while it was imported")
        return Applied(text=f"{wheel.filename} is published")

    async def _first_covered(self, filename: str, kind: Kind) -> Target:
        for target in await self.db.retrying(lambda: catalog.targets(self.db)):
            if self.rules.covers(kind, target):
                return target
        raise RefusedError(f"{filename} installs on none of this farm's targets")


async def _fetch(command: Import, path: Path, send: Send, inbox: Inbox) -> None:
    """Ask for the wheel piece by piece; its hash has to be the one announced."""
    transfer = Transfer(command.size_bytes)
    digest = hashlib.sha256()
    with AppendFile(path) as file:
        while not transfer.complete:
            for piece in transfer.next_pieces(time.monotonic()):
                await send(ImportFetch(offset=piece.offset, length=piece.length))
            try:
                async with asyncio.timeout(_CHUNK_WAIT_S):
                    chunk = await inbox.next()
            except TimeoutError:
                raise RefusedError(
                    f"{command.filename}: nothing of it came for {_CHUNK_WAIT_S:.0f} s"
                ) from None
            if not isinstance(chunk, ImportChunk) or not transfer.accept(
                chunk.offset, len(chunk.data), time.monotonic()
            ):
                raise RefusedError(f"{command.filename}: a piece came that was not asked for")
            digest.update(chunk.data)
            file.write(chunk.data)
    if digest.hexdigest() != command.sha256:
        raise RefusedError(f"{command.filename} changed while it was read")
