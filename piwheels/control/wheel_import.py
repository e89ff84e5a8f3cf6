"""Wheels that were built elsewhere: received from the client, checked, published."""

import asyncio
import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from piwheels import untrusted_names
from piwheels.append_file import AppendFile
from piwheels.control.command_executor import Call
from piwheels.db import completed_builds
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import IMPORT_MAKER, CompatibilityRules
from piwheels.protocol.messages import (
    CommandSucceeded,
    ImportChunk,
    ImportChunkRequest,
    ImportWheel,
)
from piwheels.protocol.upload_window import Transfer
from piwheels.scheduler import imported_wheels, reasons
from piwheels.scheduler.uploads import MAX_WHEEL_BYTES
from piwheels.scheduler.wheel_publisher import WheelPublisher

_CHUNK_TIMEOUT_S = 60.0


@dataclass(slots=True)
class WheelImporter:
    """Receives and publishes such wheels."""

    db: Database
    rules: CompatibilityRules
    publisher: WheelPublisher
    spool: Path

    def remove_leftovers(self) -> None:
        """Remove the incomplete imports of an earlier master."""
        shutil.rmtree(self.spool, ignore_errors=True)

    async def run(self, command: ImportWheel, call: Call) -> CommandSucceeded:
        """Request a wheel from the client, check it and publish it.

        Raises:
            RejectedError: it is not what was announced, or installs on no target of this farm.
        """
        name = untrusted_names.parse_wheel_filename(command.filename)
        if not 0 < command.size_bytes <= MAX_WHEEL_BYTES:
            raise RejectedError(reasons.wheel_size(command.size_bytes, MAX_WHEEL_BYTES))
        number = await completed_builds.next_build_id(self.db)
        folder = self.spool / str(number)
        folder.mkdir(parents=True)
        try:
            path = folder / command.filename
            await _receive(command, path, call)
            return await self._publish(number, name.project, str(name.version), path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _publish(
        self, number: int, project: str, wheel_version: str, path: Path
    ) -> CommandSucceeded:
        facts = await self.publisher.inspect(path)
        target = await imported_wheels.first_compatible_target(self.db, self.rules, facts)
        await imported_wheels.add_missing_release(
            self.db, self.rules, project, wheel_version, facts.requires_python
        )
        wheel = await self.publisher.install(facts, path, target=target)
        build = imported_wheels.build_of(number, project, wheel_version, target, IMPORT_MAKER)
        if not await completed_builds.record_import(self.db, build, [wheel], self.rules):
            raise RejectedError(f"{project} {wheel_version} was removed while it was imported")
        return CommandSucceeded(text=f"{wheel.filename} was published")


async def _receive(command: ImportWheel, path: Path, call: Call) -> None:
    """Request the wheel chunk by chunk; its hash has to be the one announced."""
    transfer = Transfer(command.size_bytes)
    digest = hashlib.sha256()
    with AppendFile(path) as file:
        while not transfer.complete:
            for byte_range in transfer.next_requests(time.monotonic()):
                await call.send(
                    ImportChunkRequest(offset=byte_range.offset, length=byte_range.length)
                )
            try:
                async with asyncio.timeout(_CHUNK_TIMEOUT_S):
                    chunk = await call.chunks.next()
            except TimeoutError:
                raise RejectedError(
                    f"{command.filename}: no chunk was received for {_CHUNK_TIMEOUT_S:.0f} s"
                ) from None
            if not isinstance(chunk, ImportChunk) or not transfer.on_chunk(
                chunk.offset, len(chunk.data), time.monotonic()
            ):
                raise RejectedError(
                    f"{command.filename}: a chunk was received that was not requested"
                )
            digest.update(chunk.data)
            file.write(chunk.data)
    if digest.hexdigest() != command.sha256:
        raise RejectedError(f"{command.filename} changed while it was sent")
