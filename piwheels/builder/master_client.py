"""The builder's connection to the master: sockets, timers and tasks around the state machine."""

import asyncio
import errno
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from piwheels.builder import connection_events as events
from piwheels.builder import connection_instructions as instructions
from piwheels.builder.build_log import OnPhase
from piwheels.builder.connection_events import Event
from piwheels.builder.connection_instructions import Instruction
from piwheels.builder.connection_state_machine import MASTER_TIMEOUT_S, ConnectionStateMachine
from piwheels.builder.job_dir import JobDir
from piwheels.errors import ConfigError
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    ArtifactInfo,
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
    Rejected,
    ToBuilder,
    ToUploader,
    UploadComplete,
    UploadOffer,
    Welcome,
)
from piwheels.protocol.sockets import CONNECTION_ENDED, Dealer, KeyPair, NotConnectedError
from piwheels.sanitize import truncate_line

log = logging.getLogger(__name__)

_LOG_CHUNK_BYTES = 64 * 1024
_SEND_TIMEOUT_S = 5.0
_GOODBYE_TIMEOUT_S = 1.0
_LINGER_S = 1.0


class RejectedByMasterError(ConfigError):
    """The master does not accept this builder, and trying again will not change that."""


@dataclass(frozen=True, slots=True)
class MasterAddresses:
    """Where the master is, and the keys to authenticate both sides."""

    builder_address: str
    upload_address: str
    key: KeyPair
    master_key: str


#: Builds one job: writes its log and wheels to the job directory and returns its result.
BuildFunction = Callable[[Job, JobDir, OnPhase], Awaitable[BuildFinished]]

_Connection = Dealer[ToBuilder, FromBuilder]


@dataclass(slots=True)
class MasterClient:
    """Carries out what the state machine instructs, and tells it what happened.

    Of several masters one runs: each connection tries the next.
    `describe` gives the `Hello` of this builder, for its current and last build; `host_metrics`
    gives the machine's state for heartbeats.
    """

    addresses: MasterAddresses | Sequence[MasterAddresses]
    describe: Callable[[int | None, int], Hello]
    host_metrics: Callable[[], HostMetrics]
    build: BuildFunction
    job_dir: JobDir
    machine: ConnectionStateMachine = field(
        default_factory=lambda: ConnectionStateMachine(
            check_each_event=bool(os.environ.get("PIWHEELS_DEBUG"))
        )
    )
    _masters: tuple[MasterAddresses, ...] = field(init=False)
    _events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    _dealer: _Connection | None = None
    _receiving: asyncio.Task[None] | None = None
    _watching: asyncio.Task[None] | None = None
    _end: str = ""  # of the connection: why the master ended it
    _building: asyncio.Task[None] | None = None
    _uploading: asyncio.Task[None] | None = None
    _removing: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        given = self.addresses
        self._masters = (given,) if isinstance(given, MasterAddresses) else tuple(given)
        self.machine.know_masters(len(self._masters))

    @property
    def master(self) -> MasterAddresses:
        """The master of the last connection, or of the first one."""
        return self._masters[(max(self.machine.connection, 1) - 1) % len(self._masters)]

    async def run(self) -> instructions.Exit:
        """Serve the master until it ends this builder; returns its instruction.

        Raises:
            RejectedByMasterError: the master does not know this builder's key, or has
                another protocol version.
        """
        self._restore()
        try:
            while True:
                end = await self._handle(await self._next_event())
                if end is not None:
                    return end
        except asyncio.CancelledError:
            await self._handle(events.TerminationRequested("the builder was stopped"))
            raise
        finally:
            if self._removing is not None:
                await self._removing  # it ends soon, and a canceled one could leave processes
            await _cancel(self._building)
            await _cancel(self._uploading)
            await self._close()

    def announce_again(self) -> None:
        """Describe this builder to the master again, as soon as no build is running."""
        self._events.put_nowait(events.DescriptionChanged())

    def drain(self, reason: str) -> None:
        """End after the running build, at once if there is none."""
        self._events.put_nowait(events.DrainRequested(reason))

    def _restore(self) -> None:
        restored = self.job_dir.restore()
        if restored is not None:
            job, result = restored
            self.machine.handle(events.FinishedBuildRestored(job, result), time.monotonic())
            log.info("build %s was finished before the restart; offering it", job.build_id)

    async def _next_event(self) -> Event:
        timeout_s = self.machine.next_timer() - time.monotonic()
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                return await self._events.get()
        except TimeoutError:
            return events.TimerExpired()

    async def _handle(self, event: Event) -> instructions.Exit | None:
        pending = deque([event])
        while pending:
            _log_event(pending[0])
            for instruction in self.machine.handle(pending.popleft(), time.monotonic()):
                if isinstance(instruction, instructions.Exit):
                    return instruction
                result = await self._execute(instruction)
                if result is not None:
                    pending.append(result)
        return None

    async def _execute(self, instruction: Instruction) -> Event | None:  # noqa: C901 - one case an instruction
        match instruction:
            case instructions.OpenConnection(connection):
                self._open(connection)
            case instructions.CloseConnection(reason):
                if reason:
                    log.warning("%s: %s", self.master.builder_address, reason)
                await self._close()
            case instructions.SendHello(current_build, last_build):
                lost = await self._send(
                    self.describe(current_build, last_build), self.machine.welcome_timeout_s
                )
                return lost or events.HelloSent(self.machine.connection)
            case instructions.SendIdleHeartbeat(last_build):
                return await self._send(
                    IdleHeartbeat(last_build=last_build, host=self.host_metrics())
                )
            case instructions.SendBuildHeartbeat(build_id, phase, phase_s):
                host = self.host_metrics()
                return await self._send(
                    BuildHeartbeat(build=build_id, phase=phase, phase_s=phase_s, host=host)
                )
            case instructions.SendBuildResult(result):
                return await self._send(result)
            case instructions.SendGoodbye(reason):
                await self._send(Goodbye(reason=reason), _GOODBYE_TIMEOUT_S)
            case instructions.SendLog(build_id, offset, end):
                return await self._send_log(build_id, offset, end)
            case instructions.RunBuild(job):
                self._building = asyncio.create_task(self._run_build(job))
            case instructions.UploadArtifacts(result):
                self._uploading = asyncio.create_task(self._upload(result))
            case instructions.RemoveBuild(build_id):
                self._removing = asyncio.create_task(self._remove(build_id))
            case instructions.FailPermanently(reason):
                raise RejectedByMasterError(f"{self.master.builder_address}: {reason}")
            case instructions.Exit():
                pass  # _handle() returns it
        return None

    # --- the connection ---

    def _open(self, connection: int) -> None:
        addresses = self.master
        self._dealer = Dealer(
            ToBuilder,
            addresses.builder_address,
            key=addresses.key,
            server_key=addresses.master_key,
            monitored=True,
        )
        self._end = ""
        self._receiving = asyncio.create_task(self._receive(connection, self._dealer))
        self._watching = asyncio.create_task(self._watch(self._dealer))

    async def _receive(self, connection: int, dealer: _Connection) -> None:
        while True:
            message = await dealer.receive()
            self._events.put_nowait(events.MessageReceived(connection, message))

    async def _watch(self, dealer: _Connection) -> None:
        """Wait until the master rejects this builder's key; ZeroMQ repairs other disconnections."""
        key = "this builder's key: it has to be authorized there"
        while (reason := await dealer.disconnected(key)) == CONNECTION_ENDED:
            pass
        self._end = reason

    async def _close(self) -> None:
        for task in (self._receiving, self._watching):
            await _cancel(task)
        self._receiving = self._watching = None
        if self._dealer is not None:
            self._dealer.close(linger_s=_LINGER_S)
            self._dealer = None

    async def _send(
        self, message: FromBuilder, timeout_s: float = _SEND_TIMEOUT_S
    ) -> events.ConnectionLost | None:
        if self._dealer is None:
            return None  # an earlier message of the same event could not be sent
        try:
            await self._send_unless_rejected(self._dealer, message, timeout_s)
        except NotConnectedError as error:
            await self._close()
            return events.ConnectionLost(self.machine.connection, str(error))
        return None

    async def _send_unless_rejected(
        self, dealer: _Connection, message: FromBuilder, timeout_s: float
    ) -> None:
        """Send; a key that the master rejected ends this at once, as nothing would connect it."""
        if self._watching is None:
            raise NotConnectedError("the connection is closed")
        sending = asyncio.create_task(dealer.send(message, timeout_s=timeout_s))
        try:
            await asyncio.wait({sending, self._watching}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise NotConnectedError(self._end or CONNECTION_ENDED)
            sending.result()
        finally:
            if not sending.done():
                await _cancel(sending)

    async def _send_log(
        self, build_id: int, offset: int, end: int
    ) -> events.ConnectionLost | events.LogSent:
        while data := self.job_dir.read_log(offset, min(end - offset, _LOG_CHUNK_BYTES)):
            lost = await self._send(LogChunk(build=build_id, offset=offset, data=data))
            if lost is not None:
                return lost
            offset += len(data)
        complete = not self.job_dir.read_log(offset, 1)
        return events.LogSent(build_id, offset, complete=complete)

    # --- the current build ---

    async def _run_build(self, job: Job) -> None:
        def on_phase(phase: str) -> None:
            self._events.put_nowait(events.PhaseEntered(job.build_id, phase))

        try:
            self.job_dir.start(job)
            result = await self.build(job, self.job_dir, on_phase)
            self.job_dir.save_result(result)
        except Exception as error:
            # Any error ends this build; if it were not reported, the master would wait for it.
            log.exception("build %s", job.build_id)
            result = _internal_failure(job, error)
        self._events.put_nowait(events.BuildEnded(result))

    async def _remove(self, build_id: int) -> None:
        for task in (self._building, self._uploading):
            await _cancel(task)
        self._building = self._uploading = None
        self.job_dir.clear()
        self._events.put_nowait(events.BuildRemoved(build_id))

    # --- files ---

    async def _upload(self, result: BuildFinished) -> None:
        addresses = self.master
        dealer: Dealer[ToUploader, FromUploader] = Dealer(
            ToUploader,
            addresses.upload_address,
            key=addresses.key,
            server_key=addresses.master_key,
        )
        ended: Event = events.UploadEnded(result.build)
        try:
            for artifact in result.files:
                await self._send_file(dealer, result.build, artifact)
        except NotConnectedError as error:
            log.warning("the upload of build %s stopped: %s", result.build, error)
        except OSError as error:
            log.error("the files of build %s can no longer be read: %s", result.build, error)
            ended = events.BuildFilesLost(result.build)
        finally:
            dealer.close(linger_s=_LINGER_S)
            self._events.put_nowait(ended)

    async def _send_file(
        self, dealer: Dealer[ToUploader, FromUploader], build: int, artifact: ArtifactInfo
    ) -> None:
        filename = artifact.filename
        with self.job_dir.wheel_path(filename).open("rb") as file:
            await dealer.send(
                UploadOffer(build=build, filename=filename, size_bytes=artifact.size_bytes)
            )
            while True:
                match await dealer.receive(MASTER_TIMEOUT_S):
                    case ChunkRequest(offset=offset, length=length):
                        file.seek(offset)
                        data = file.read(min(length, CHUNK_BYTES))
                        chunk = FileChunk(build=build, filename=filename, offset=offset)
                        await dealer.send(chunk, data, timeout_s=MASTER_TIMEOUT_S)
                    case UploadComplete():
                        return
                    case Rejected(reason=reason):
                        raise NotConnectedError(reason)


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is None:
        return
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def _log_event(event: Event) -> None:
    match event:
        case events.MessageReceived(message=Welcome(label=label)):
            log.info("connected to the master as %s", label)
        case events.MessageReceived(message=CancelBuild(build=build, reason=reason)):
            log.info("build %s was canceled: %s", build, reason)
        case events.MessageReceived(message=Rejected(reason=reason, permanent=False)):
            log.warning("the master rejected a message: %s; reconnecting", reason)
        case events.ConnectionLost(reason=reason):
            log.warning("%s; retrying", reason)
        case events.BuildEnded(result):
            log.info("build %s: %s %s", result.build, result.outcome, result.reason)
        case _:
            pass


def _internal_failure(job: Job, error: Exception) -> BuildFinished:
    """The result of a build that this machine could not run, or whose result it could not store."""
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    outcome = Outcome.DISK_FULL if full else Outcome.BUILDER_FAILED
    text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    reason = truncate_line(f"the builder: {text}")
    return BuildFinished(build=job.build_id, outcome=outcome, reason=reason, duration_s=0.0)
