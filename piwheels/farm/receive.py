"""Files taken in from builders: fetched, checked as hostile input, and only then published.

Nothing that a builder says of a file is believed: the hash is computed anew, the wheel is
read, and it has to be the job's. A wheel lies in the served tree before the database names
it, so that no page can name a missing file.
"""

import asyncio
import hashlib
import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from piwheels import names
from piwheels.append_file import AppendFile
from piwheels.db.database import is_database_fault
from piwheels.errors import PiwheelsError, RefusedError
from piwheels.farm.publishing import Publisher
from piwheels.isolated import OF_THE_FILE
from piwheels.model import Job, Outcome, Target, WheelFile
from piwheels.protocol.channels import Envelope, Peer, Router
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.limited_log import LimitedLog
from piwheels.protocol.messages import (
    Built,
    Chunk,
    Fetch,
    Fetched,
    FileOffer,
    FromSender,
    Offer,
    Refused,
    ToSender,
)
from piwheels.protocol.transfer import Transfer

log = logging.getLogger(__name__)
_faults = LimitedLog(log)

#: A wheel may not be larger than this.
LARGEST_WHEEL_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a build's files: the file that is in the tree, or why there is none."""

    label: str
    job: Job
    built: Built
    outcome: Outcome
    reason: str = ""
    files: tuple[WheelFile, ...] = ()


@dataclass(frozen=True, slots=True)
class NotKept:
    """The spool or the tree could not take a build's files: the builder has them still."""

    label: str
    job: Job
    reason: str
    size_bytes: int


@dataclass(slots=True)
class _Expected:
    label: str
    job: Job
    built: Built
    target: Target
    offer: FileOffer
    part: Path
    file: AppendFile | None = None
    transfer: Transfer | None = None
    checking: bool = False


@dataclass(slots=True)
class Receiver:
    """The duty on the file socket.

    `results` gets one entry for every build whose files were expected: their check, or
    that they could not be kept, and are to be expected again later.
    """

    router: Router[FromSender, ToSender]
    keys: KeyStore
    publisher: Publisher
    spool: Path
    results: asyncio.Queue[Received | NotKept] = field(default_factory=asyncio.Queue)
    _expected: dict[int, _Expected] = field(default_factory=dict)
    _checks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def run(self) -> None:
        """Serve the file socket until cancelled."""
        self.spool.mkdir(parents=True, exist_ok=True)
        async with self._checks:
            while True:
                envelope = await self.router.receive()
                try:
                    await self._handle(envelope)
                except PiwheelsError:
                    raise
                except Exception as error:  # noqa: BLE001 - it is logged, not so often
                    # A builder may send what nobody thought of: that ends no master.
                    reason = f"the master failed: {type(error).__name__}; see its log"
                    key = envelope.peer.key
                    _faults.warning("a message of %s could not be handled", key, fault=True)
                    await self.router.send(envelope.peer, Refused(reason=reason))

    async def expect(self, label: str, job: Job, built: Built, target: Target) -> None:
        """Take the files of this build when its builder offers them."""
        reason = _unacceptable(built.files)
        if reason:
            self.results.put_nowait(Received(label, job, built, Outcome.REFUSED, reason))
            return
        offer = built.files[0]
        part = self.spool / str(job.build) / "wheel.part"
        self._expected[job.build] = _Expected(label, job, built, target, offer, part)

    def drop(self, build: int) -> None:
        """Stop expecting a build's files, and forget what has arrived of them."""
        expected = self._expected.pop(build, None)
        if expected is not None and not expected.checking:
            _close(expected)
            shutil.rmtree(expected.part.parent, ignore_errors=True)

    def tidy(self, claimed: set[int]) -> None:
        """Remove parts of builds that nobody has in hand, left by an earlier master."""
        self.spool.mkdir(parents=True, exist_ok=True)
        for folder in self.spool.iterdir():
            if not folder.name.isdigit() or int(folder.name) not in claimed:
                shutil.rmtree(folder, ignore_errors=True)

    async def _handle(self, envelope: Envelope[FromSender]) -> None:
        message, peer = envelope.message, envelope.peer
        expected = self._expected.get(message.build)
        label = self.keys.name_of(Role.BUILDER, peer.key)
        if expected is None or expected.label != label or expected.checking:
            note = "not expected"
            answer = Fetched(build=message.build, filename=message.filename, note=note)
            await self.router.send(peer, answer)
            return
        if message.filename != expected.offer.filename:
            await self.router.send(peer, Refused(reason=f"{message.filename} was not announced"))
            return
        try:
            if isinstance(message, Offer):
                await self._begin(expected, message, peer)
            else:
                await self._accept(expected, message, envelope.frames, peer)
        except OSError as error:
            await self._give_up(expected, error)

    async def _begin(self, expected: _Expected, offer: Offer, peer: Peer) -> None:
        if offer.size_bytes != expected.offer.size_bytes:
            await self.router.send(peer, Refused(reason="the size is not the one announced"))
            return
        _close(expected)
        expected.part.parent.mkdir(parents=True, exist_ok=True)
        expected.file = AppendFile(expected.part)
        start = min(expected.file.size_bytes, offer.size_bytes)
        expected.transfer = Transfer(offer.size_bytes, start=start)
        await self._ask_or_finish(expected, peer)

    async def _accept(
        self, expected: _Expected, chunk: Chunk, frames: tuple[bytes, ...], peer: Peer
    ) -> None:
        transfer, file = expected.transfer, expected.file
        if transfer is None or file is None or len(frames) != 1:
            await self.router.send(peer, Refused(reason="offer the file first"))
            return
        if not transfer.accept(chunk.offset, len(frames[0]), time.monotonic()):
            await self.router.send(peer, Refused(reason="this is not the piece that was due"))
            return
        file.write(frames[0])
        await self._ask_or_finish(expected, peer)

    async def _ask_or_finish(self, expected: _Expected, peer: Peer) -> None:
        transfer = expected.transfer
        if transfer is None:
            return
        build, filename = expected.job.build, expected.offer.filename
        if transfer.complete:
            _close(expected)
            expected.checking = True
            await self.router.send(peer, Fetched(build=build, filename=filename))
            self._checks.create_task(self._check(expected))
            return
        for piece in transfer.next_pieces(time.monotonic()):
            fetch = Fetch(build=build, filename=filename, offset=piece.offset, length=piece.length)
            await self.router.send(peer, fetch)

    async def _check(self, expected: _Expected) -> None:
        try:
            wheel = await self._publish(expected)
            result = Received(
                expected.label,
                expected.job,
                expected.built,
                Outcome.BUILT,
                expected.built.reason,  # what the wheel lacks
                files=(wheel,),
            )
        except RefusedError as error:
            log.warning("refused %s of %s: %s", expected.offer.filename, expected.label, error)
            result = Received(
                expected.label, expected.job, expected.built, Outcome.REFUSED, str(error)
            )
        except OSError as error:
            await self._give_up(expected, error)
            return
        except Exception as error:
            if is_database_fault(error):
                raise
            # A wheel is whatever a stranger made of it: none may end the master.
            log.exception("%s of %s", expected.offer.filename, expected.label)
            reason = f"the master went wrong over it: {type(error).__name__}; see its log"
            result = Received(expected.label, expected.job, expected.built, Outcome.REFUSED, reason)
        await self._conclude(expected, result)

    async def _publish(self, expected: _Expected) -> WheelFile:
        digest = await asyncio.to_thread(_sha256, expected.part)
        if digest != expected.offer.sha256:
            raise RefusedError(
                f"{expected.offer.filename} arrived with the sha256 {digest}, "
                f"not {expected.offer.sha256} as announced"
            )
        named = expected.part.with_name(expected.offer.filename)
        expected.part.rename(named)
        return await self.publisher.publish(
            named, expected.job, expected.target, expected.offer.dependencies
        )

    async def _give_up(self, expected: _Expected, error: OSError) -> None:
        """Forget what has arrived: what the builder made is as good as before, and is with it."""
        label, job = expected.label, expected.job
        reason = f"{error.strerror} ({error.filename or expected.part})"
        log.error("the wheel of build %s cannot be kept: %s", job.build, reason)
        if error.errno not in OF_THE_FILE:
            await self._conclude(expected, NotKept(label, job, reason, expected.offer.size_bytes))
            return
        reason = f"the master cannot keep such a file: {error.strerror}"
        await self._conclude(
            expected, Received(label, job, expected.built, Outcome.REFUSED, reason)
        )

    async def _conclude(self, expected: _Expected, result: Received | NotKept) -> None:
        _close(expected)
        self.results.put_nowait(result)
        self._expected.pop(expected.job.build, None)
        shutil.rmtree(expected.part.parent, ignore_errors=True)


def _unacceptable(files: tuple[FileOffer, ...]) -> str:
    """Why these files are not even fetched; "" when they are."""
    if len(files) != 1:
        return f"a build makes one wheel, and this one offers {len(files)}"
    offer = files[0]
    try:
        names.wheel(offer.filename)
    except RefusedError as error:
        return str(error)
    if not 0 < offer.size_bytes <= LARGEST_WHEEL_BYTES:
        return f"a wheel of {offer.size_bytes} bytes is not accepted"
    return ""


def _close(expected: _Expected) -> None:
    file, expected.file, expected.transfer = expected.file, None, None
    if file is not None:
        file.close()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
