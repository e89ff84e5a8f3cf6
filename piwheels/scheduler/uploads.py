"""Uploads of builders: fetched, checked as hostile input, and only then published.

Nothing that a builder reports about a file is trusted: the hash is computed again, the wheel is
read, and it has to be the job's. A wheel is in the web root before the database names it, so that
no page can name a missing file.
"""

import asyncio
import logging
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from piwheels import untrusted_names
from piwheels.append_file import AppendFile
from piwheels.db.database import is_database_error
from piwheels.errors import ConfigError, PiwheelsError, RejectedError
from piwheels.isolated_process import FILE_CAUSED_ERRNOS
from piwheels.model import Job, Outcome, ReproductionJob, Target, projection
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.messages import (
    MAX_INPUTS,
    ArtifactInfo,
    BuildFinished,
    ChunkRequest,
    FileChunk,
    FromUploader,
    Rejected,
    ToUploader,
    UploadComplete,
    UploadOffer,
)
from piwheels.protocol.rate_limit import RateLimitedLog
from piwheels.protocol.sockets import Envelope, Peer, Router
from piwheels.protocol.upload_window import Transfer
from piwheels.provenance.statement import BuildFacts
from piwheels.scheduler import reasons
from piwheels.scheduler.state_machine_events import (
    CompleteBuild,
    StartUpload,
    WheelNotStored,
)
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.wheel.isolated_read import file_sha256

log = logging.getLogger(__name__)
_error_log = RateLimitedLog(log)

#: A wheel may not be larger than this.
MAX_WHEEL_BYTES = 4 * 1024**3


@dataclass(slots=True)
class PendingUpload:
    """A build whose wheels are being uploaded."""

    label: str
    job: Job
    result: BuildFinished
    target: Target
    artifact: ArtifactInfo
    partial_path: Path
    reported_at: datetime  # when its builder said that it has ended
    file: AppendFile | None = None
    transfer: Transfer | None = None
    route: bytes = b""  # of the connection that offered it last: the others are left over
    checking: bool = False
    resumed: bool = False  # a part of it had arrived before


@dataclass(slots=True)
class UploadServer:
    """The service on the upload socket.

    `results` gets one entry for every expected upload: the build with its published file, or as
    refused; or that the file could not be stored and has to be expected again later.
    """

    router: Router[FromUploader, ToUploader]
    keys: KeyStore
    publisher: WheelPublisher
    spool_dir: Path
    results: asyncio.Queue[CompleteBuild | WheelNotStored] = field(default_factory=asyncio.Queue)
    _pending: dict[int, PendingUpload] = field(default_factory=dict)
    _check_tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def run(self) -> None:
        """Serve the upload socket until canceled."""
        self.spool_dir.mkdir(parents=True, exist_ok=True)
        async with self._check_tasks:
            while True:
                envelope = await self.router.receive()
                try:
                    await self._handle(envelope)
                except PiwheelsError:
                    raise
                except Exception as error:  # noqa: BLE001 - it is logged, not so often
                    # No message of a builder may end the master.
                    reason = reasons.internal_error(error)
                    key = envelope.peer.key
                    _error_log.warning(reasons.UNHANDLED_MESSAGE, key, with_traceback=True)
                    await self.router.send(envelope.peer, Rejected(reason=reason))

    def expect(self, upload: StartUpload, target: Target) -> None:
        """Accept the files of this build when its builder offers them."""
        label, job, result = upload.label, upload.job, upload.result
        reason = _rejection_reason(result.files)
        if reason:
            self.results.put_nowait(_refused(upload, reason))
            return
        part = self.spool_dir / str(job.build_id) / "wheel.part"
        self._pending[job.build_id] = PendingUpload(
            label, job, result, target, result.files[0], part, datetime.now(UTC)
        )

    def cancel(self, build: int) -> None:
        """Stop expecting a build's files, and delete what has arrived."""
        expected = self._pending.pop(build, None)
        if expected is not None and not expected.checking:
            _close(expected)
            shutil.rmtree(expected.partial_path.parent, ignore_errors=True)

    def remove_orphans(self, claimed: set[int]) -> None:
        """Delete partial uploads that an earlier master left of builds that are not running."""
        self.spool_dir.mkdir(parents=True, exist_ok=True)
        for folder in self.spool_dir.iterdir():
            if not folder.name.isdigit() or int(folder.name) not in claimed:
                shutil.rmtree(folder, ignore_errors=True)

    async def _handle(self, envelope: Envelope[FromUploader]) -> None:
        message, peer = envelope.message, envelope.peer
        expected = self._pending.get(message.build)
        try:
            label = self.keys.name_of(Role.BUILDER, peer.key)
        except ConfigError as error:
            _error_log.warning("%s", error)
            await self.router.send(peer, Rejected(reason=reasons.KEYS_UNREADABLE))
            return
        if expected is None or expected.label != label or expected.checking:
            note = "not expected"
            answer = UploadComplete(build=message.build, filename=message.filename, note=note)
            await self.router.send(peer, answer)
            return
        if message.filename != expected.artifact.filename:
            await self.router.send(peer, Rejected(reason=f"{message.filename} was not announced"))
            return
        try:
            if isinstance(message, UploadOffer):
                await self._on_offer(expected, message, peer)
            else:
                await self._on_chunk(expected, message, envelope.frames, peer)
        except OSError as error:
            await self._on_disk_error(expected, error)

    async def _on_offer(self, expected: PendingUpload, offer: UploadOffer, peer: Peer) -> None:
        if offer.size_bytes != expected.artifact.size_bytes:
            await self.router.send(peer, Rejected(reason="the size is not the announced one"))
            return
        _close(expected)
        expected.route = peer.route
        expected.partial_path.parent.mkdir(parents=True, exist_ok=True)
        expected.file = AppendFile(expected.partial_path)
        start = min(expected.file.size_bytes, offer.size_bytes)
        expected.transfer = Transfer(offer.size_bytes, start=start)
        expected.resumed = expected.resumed or start > 0
        await self._request_or_check(expected, peer)

    async def _on_chunk(
        self, expected: PendingUpload, chunk: FileChunk, frames: tuple[bytes, ...], peer: Peer
    ) -> None:
        transfer, file = expected.transfer, expected.file
        if expected.route and peer.route != expected.route:
            return  # what was under way when its builder opened another connection
        if transfer is None or file is None or len(frames) != 1:
            await self.router.send(peer, Rejected(reason="offer the file first"))
            return
        if not transfer.on_chunk(chunk.offset, len(frames[0]), time.monotonic()):
            await self.router.send(
                peer, Rejected(reason="this is not the chunk that was requested next")
            )
            return
        file.write(frames[0])
        await self._request_or_check(expected, peer)

    async def _request_or_check(self, expected: PendingUpload, peer: Peer) -> None:
        transfer = expected.transfer
        if transfer is None:
            return
        build, filename = expected.job.build_id, expected.artifact.filename
        if transfer.complete:
            _close(expected)
            expected.checking = True
            await self.router.send(peer, UploadComplete(build=build, filename=filename))
            self._check_tasks.create_task(self._check(expected))
            return
        for piece in transfer.next_requests(time.monotonic()):
            fetch = ChunkRequest(
                build=build, filename=filename, offset=piece.offset, length=piece.length
            )
            await self.router.send(peer, fetch)

    async def _check(self, expected: PendingUpload) -> None:
        try:
            if not await self._is_whole(expected):
                return
            ended = await self._publish_or_compare(expected)
        except RejectedError as error:
            log.warning("rejected %s of %s: %s", expected.artifact.filename, expected.label, error)
            ended = _refused(expected, str(error))
        except OSError as error:
            await self._on_disk_error(expected, error)
            return
        except Exception as error:
            if is_database_error(error):
                raise
            # No wheel, however hostile, may end the master.
            log.exception("%s of %s", expected.artifact.filename, expected.label)
            ended = _refused(expected, reasons.internal_error(error))
        await self._finish(expected, ended)

    async def _publish_or_compare(self, expected: PendingUpload) -> CompleteBuild:
        label, job, result = expected.label, expected.job, expected.result
        named = expected.partial_path.with_name(expected.artifact.filename)
        expected.partial_path.rename(named)
        if isinstance(job, ReproductionJob):
            sha256, comparison = await self.publisher.compare(named, job, expected.target)
            return CompleteBuild(label, job, result, rebuilt_sha256=sha256, comparison=comparison)
        wheel = await self.publisher.publish(
            named, job, expected.target, expected.artifact.debian_packages, _build_facts(expected)
        )
        return CompleteBuild(label, job, result, (wheel,))

    async def _is_whole(self, expected: PendingUpload) -> bool:
        """Whether the file is what was announced; if not, it is fetched again, whole.

        A loss of power may have damaged what had arrived before. The builder reports the end of its
        build until it is acknowledged, and offers the file then.

        Raises:
            RejectedError: it arrived in one piece, and is another file.
        """
        artifact = expected.artifact
        digest = await asyncio.to_thread(file_sha256, expected.partial_path)
        if digest == artifact.sha256:
            return True
        if not expected.resumed:
            raise RejectedError(
                f"the sha256 of {artifact.filename} is {digest}, not {artifact.sha256} as announced"
            )
        log.warning(
            "%s of %s: what had arrived before is damaged; it is fetched again",
            artifact.filename,
            expected.label,
        )
        expected.partial_path.unlink()
        expected.resumed = expected.checking = False
        return False

    async def _on_disk_error(self, expected: PendingUpload, error: OSError) -> None:
        """Delete what has arrived: the builder still has its wheel."""
        build, size_bytes = expected.job.build_id, expected.artifact.size_bytes
        reason = f"{error.strerror} ({error.filename or expected.partial_path})"
        log.error("the wheel of build %s cannot be stored: %s", build, reason)
        if error.errno not in FILE_CAUSED_ERRNOS:
            not_stored = WheelNotStored(expected.label, build, reason, size_bytes)
            await self._finish(expected, not_stored)
            return
        reason = f"the master cannot store such a file: {error.strerror}"
        await self._finish(expected, _refused(expected, reason))

    async def _finish(
        self, expected: PendingUpload, result: CompleteBuild | WheelNotStored
    ) -> None:
        _close(expected)
        self.results.put_nowait(result)
        self._pending.pop(expected.job.build_id, None)
        shutil.rmtree(expected.partial_path.parent, ignore_errors=True)


def _build_facts(expected: PendingUpload) -> BuildFacts:
    """What the statement of a wheel says of its build, by the master's clock."""
    result = expected.result
    return projection(
        BuildFacts,
        expected.job,
        result,
        builder=expected.label,
        started_at=expected.reported_at - timedelta(seconds=result.duration_s),
        finished_at=expected.reported_at,
        added_packages=result.added_packages or (),
        inputs_are_complete=len(result.build_inputs) < MAX_INPUTS,
    )


def _refused(upload: StartUpload | PendingUpload, reason: str) -> CompleteBuild:
    result = replace(upload.result, outcome=Outcome.REFUSED, reason=reason)
    return CompleteBuild(upload.label, upload.job, result)


def _rejection_reason(files: tuple[ArtifactInfo, ...]) -> str:
    """Why these files are not fetched; "" when they are."""
    if len(files) != 1:
        return f"a build makes one wheel, not {len(files)}"
    offer = files[0]
    try:
        untrusted_names.parse_wheel_filename(offer.filename)
    except RejectedError as error:
        return str(error)
    if not 0 < offer.size_bytes <= MAX_WHEEL_BYTES:
        return reasons.wheel_size(offer.size_bytes, MAX_WHEEL_BYTES)
    return ""


def _close(expected: PendingUpload) -> None:
    file, expected.file, expected.transfer = expected.file, None, None
    if file is not None:
        file.close()
