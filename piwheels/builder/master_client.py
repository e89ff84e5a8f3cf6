"""A builder's conversation with the master: one job at a time, and nothing lost on the way.

What a build has made stays in the work folder until the master says Done, so a cut link, a
new master or a restart of the builder costs a repeated message and never a repeated build.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from piwheels.builder.job_dir import JobDir
from piwheels.errors import ConfigError
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    Ack,
    ArtifactInfo,
    BuildAcknowledged,
    BuildFinished,
    BuildHeartbeat,
    CancelBuild,
    ChunkRequest,
    FileChunk,
    FromBuilder,
    FromUploader,
    Goodbye,
    Hello,
    IdleHeartbeat,
    LogChunk,
    NoJobAvailable,
    Rejected,
    Shutdown,
    StartBuild,
    ToBuilder,
    ToUploader,
    UploadComplete,
    UploadFiles,
    UploadOffer,
    Welcome,
)
from piwheels.protocol.sockets import Dealer, KeyPair, NotConnectedError
from piwheels.sanitize import truncate_line

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
_LOG_INTERVAL_S = 1.0
_LOG_CHUNK_BYTES = 64 * 1024
_MASTER_TIMEOUT_S = 30.0  # a master that says nothing for so long is greeted anew
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0


class RejectedByMasterError(ConfigError):
    """The master will not have this builder, and trying again will not change that."""


@dataclass(frozen=True, slots=True)
class MasterAddresses:
    """Where the master is, and the keys to speak to it."""

    builder_address: str
    upload_address: str
    key: KeyPair
    master_key: str


OnPhase = Callable[[str], None]
#: Carries out one job: writes its log and wheels to the outbox and returns what came of it.
BuildFunction = Callable[[Job, JobDir, OnPhase], Awaitable[BuildFinished]]


@dataclass(slots=True)
class MasterClient:
    """One builder's side of the protocol.

    `hello` describes this builder; its `busy` is filled in. `measure` gives the machine's
    state for the signs of life.
    """

    addresses: MasterAddresses
    describe: Callable[[int | None], Hello]
    host_metrics: Callable[[], HostMetrics]
    build: BuildFunction
    job_dir: JobDir
    _dealer: Dealer[ToBuilder, FromBuilder] | None = None
    _job: Job | None = None
    _built: BuildFinished | None = None
    _phase: str = ""
    _phase_since: float = 0.0
    _log_sent: int = 0
    _last_build: int = 0
    restart_after_shutdown: bool = True  # whether the master wants this process started again
    _shutdown_reason: str = ""  # why it ends after the running build
    _welcomed: bool = False
    _announced: bool = True  # the master knows what `hello` says now
    _lost_build: bool = False  # a build was lost here, and the master believes that we have it
    _build_task: asyncio.Task[None] | None = None
    _upload_task: asyncio.Task[None] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> str:
        """Serve the master until it says Stop; returns its reason.

        Raises:
            RefusedByMasterError: the master does not know this builder's key, or speaks
                another protocol.
        """
        self._restore()
        delay_s = _FIRST_DELAY_S
        try:
            while True:
                began = time.monotonic()
                reason = await self._run_connection()
                if reason is not None:
                    return reason
                if time.monotonic() - began > _MASTER_TIMEOUT_S * 2:
                    delay_s = _FIRST_DELAY_S
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _MAX_DELAY_S)
        finally:
            await self._cancel(self._build_task)
            await self._cancel(self._upload_task)

    def announce_again(self) -> None:
        """Describe this builder to the master again, as soon as no build is under way."""
        self._announced = False
        self._wake.set()

    def _restore(self) -> None:
        left = self.job_dir.restore()
        if left is not None:
            self._job, self._built = left
            self._last_build = self._job.build_id
            log.info("build %s was finished before the restart; offering it", self._job.build_id)

    async def _run_connection(self) -> str | None:
        """One connection, until it fails (None) or the master says Stop (its reason)."""
        self._welcomed = False
        try:
            async with self._open_connection() as dealer:
                busy = self._job.build_id if self._job else None
                await dealer.send(self.describe(busy), timeout_s=_MASTER_TIMEOUT_S)
                reason = await self._receive_loop(dealer)
                with contextlib.suppress(NotConnectedError):
                    await dealer.send(Goodbye(reason=reason), timeout_s=1.0)
                return reason
        except NotConnectedError as error:
            log.warning("%s; trying again", error)
            return None

    @contextlib.asynccontextmanager
    async def _open_connection(self) -> AsyncIterator[Dealer[ToBuilder, FromBuilder]]:
        ends = self.addresses
        dealer: Dealer[ToBuilder, FromBuilder] = Dealer(
            ToBuilder, ends.builder_address, key=ends.key, server_key=ends.master_key
        )
        self._dealer = dealer
        talking = asyncio.create_task(self._send_loop())
        try:
            yield dealer
        except asyncio.CancelledError:
            with contextlib.suppress(NotConnectedError):
                await dealer.send(Goodbye(reason="the builder was stopped"), timeout_s=1.0)
            raise
        finally:
            await self._cancel(talking)
            self._dealer = None
            dealer.close(linger_s=1.0)

    async def _receive_loop(self, dealer: Dealer[ToBuilder, FromBuilder]) -> str:
        while True:
            message = await dealer.receive(_MASTER_TIMEOUT_S)
            reason = await self._handle(message)
            if reason is not None:
                return reason

    async def _handle(self, message: ToBuilder) -> str | None:  # noqa: C901 - one case a message
        match message:
            case Welcome(log_offset=offset):
                log.info(
                    "the master at %s knows us as %s", self.addresses.builder_address, message.label
                )
                self._log_sent, self._welcomed = offset, True
                self._wake.set()
            case StartBuild(job=job):
                self._start_build(job)
            case CancelBuild(build=build, reason=reason):
                await self._cancel_build(build, reason)
            case UploadFiles(build=build):
                self._start_upload(build)
            case BuildAcknowledged(build=build):
                await self._finish_build(build)
            case Shutdown(reason=reason, after_build=after, restart=restart):
                self._shutdown_reason = reason or "told to stop"
                self.restart_after_shutdown = restart
                if self._job is None or not after:
                    return reason
            case Rejected(reason=reason, permanent=True):
                raise RejectedByMasterError(f"{self.addresses.builder_address}: {reason}")
            case Rejected(reason=reason):
                raise NotConnectedError(f"{self.addresses.builder_address}: {reason}")
            case NoJobAvailable() | Ack():
                pass
        if self._lost_build:
            self._lost_build = False
            raise NotConnectedError("greeting the master anew, without the build that was lost")
        return self._shutdown_reason if self._shutdown_reason and self._job is None else None

    # --- the job in hand ---

    def _start_build(self, job: Job) -> None:
        if self._job is not None:
            return
        self._job, self._built, self._log_sent = job, None, 0
        self._last_build = max(self._last_build, job.build_id)
        self._set_phase("starting")
        self._build_task = asyncio.create_task(self._run_build(job))
        log.info("build %s: %s %s for %s", job.build_id, job.project, job.version, job.target)

    async def _run_build(self, job: Job) -> None:
        try:
            self.job_dir.start(job)
            built = await self.build(job, self.job_dir, self._set_phase)
            self.job_dir.save_result(built)
        except Exception as error:
            # Whatever it is ends this build; unsaid, it would leave the master waiting for it.
            log.exception("build %s", job.build_id)
            built = _internal_failure(job, error)
        self._built = built
        log.info("build %s: %s %s", job.build_id, built.outcome, built.reason)
        self._set_phase("reporting")

    async def _cancel_build(self, build: int, reason: str) -> None:
        if self._job is not None and self._job.build_id == build:
            log.info("build %s is abandoned: %s", build, reason)
            await self._clear_job()

    async def _finish_build(self, build: int) -> None:
        if self._job is not None and self._job.build_id == build:
            await self._clear_job()

    async def _clear_job(self) -> None:
        await self._cancel(self._build_task)
        await self._cancel(self._upload_task)
        self._build_task = self._upload_task = None
        self.job_dir.clear()
        self._job = self._built = None
        self._wake.set()

    def _set_phase(self, phase: str) -> None:
        self._phase, self._phase_since = phase, time.monotonic()
        self._wake.set()

    # --- what we say ---

    async def _send_loop(self) -> None:
        """Signs of life, the log as it grows, and the result until it is taken."""
        spoke = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOG_INTERVAL_S):
                    await self._wake.wait()
            woken = self._wake.is_set()
            self._wake.clear()
            if not self._welcomed or self._dealer is None:
                continue
            with contextlib.suppress(NotConnectedError):
                await self._send_log(self._dealer)
                if woken or time.monotonic() - spoke >= HEARTBEAT_S:
                    spoke = time.monotonic()
                    await self._dealer.send(self._heartbeat())

    def _heartbeat(self) -> FromBuilder:
        if self._job is None and not self._announced:
            self._announced = True
            return self.describe(None)
        if self._job is None:
            return IdleHeartbeat(last_build=self._last_build, host=self.host_metrics())
        if self._built is not None and (self._upload_task is None or self._upload_task.done()):
            return self._built
        return BuildHeartbeat(
            build=self._job.build_id,
            phase=self._phase,
            phase_s=time.monotonic() - self._phase_since,
            host=self.host_metrics(),
        )

    async def _send_log(self, dealer: Dealer[ToBuilder, FromBuilder]) -> None:
        while self._job is not None:
            data = self.job_dir.read_log(self._log_sent, _LOG_CHUNK_BYTES)
            if not data:
                return
            await dealer.send(LogChunk(build=self._job.build_id, offset=self._log_sent, data=data))
            self._log_sent += len(data)

    # --- files ---

    def _start_upload(self, build: int) -> None:
        if self._built is None or self._built.build != build:
            return
        if self._upload_task is None or self._upload_task.done():
            self._set_phase("uploading")
            self._upload_task = asyncio.create_task(self._upload(build, self._built.files))

    async def _upload(self, build: int, files: tuple[ArtifactInfo, ...]) -> None:
        ends = self.addresses
        dealer: Dealer[ToUploader, FromUploader] = Dealer(
            ToUploader, ends.upload_address, key=ends.key, server_key=ends.master_key
        )
        try:
            for offer in files:
                await self._send_file(dealer, build, offer)
        except NotConnectedError as error:
            log.warning("the upload of build %s stopped: %s", build, error)
        except OSError as error:
            log.error("what build %s made cannot be read any more: %s", build, error)
            self._drop_lost_build()
        finally:
            dealer.close(linger_s=1.0)

    def _drop_lost_build(self) -> None:
        """Have nothing in hand, and say so to the master anew: it gives the job back."""
        self.job_dir.clear()
        self._job = self._built = None
        self._lost_build = True
        self._wake.set()

    async def _send_file(
        self, dealer: Dealer[ToUploader, FromUploader], build: int, offer: ArtifactInfo
    ) -> None:
        with self.job_dir.wheel_path(offer.filename).open("rb") as file:
            await dealer.send(
                UploadOffer(build=build, filename=offer.filename, size_bytes=offer.size_bytes)
            )
            while True:
                match await dealer.receive(_MASTER_TIMEOUT_S):
                    case ChunkRequest(offset=offset, length=length):
                        file.seek(offset)
                        data = file.read(min(length, CHUNK_BYTES))
                        chunk = FileChunk(build=build, filename=offer.filename, offset=offset)
                        await dealer.send(chunk, data, timeout_s=_MASTER_TIMEOUT_S)
                    case UploadComplete():
                        return
                    case Rejected(reason=reason):
                        raise NotConnectedError(reason)

    @staticmethod
    async def _cancel(task: asyncio.Task[None] | None) -> None:
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _internal_failure(job: Job, error: Exception) -> BuildFinished:
    """What to say of a build that this machine could not carry out, or not keep."""
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    outcome = Outcome.DISK_FULL if full else Outcome.BUILDER_FAILED
    said = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    reason = truncate_line(f"the builder: {said}")
    return BuildFinished(build=job.build_id, outcome=outcome, reason=reason, duration_s=0.0)
