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

from piwheels.builder.outbox import Outbox
from piwheels.errors import ConfigError
from piwheels.lines import one_line
from piwheels.model import Job, Outcome
from piwheels.protocol.channels import Dealer, KeyPair, NotConnectedError
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    Abandon,
    Building,
    BuildJob,
    Built,
    Bye,
    Chunk,
    Continue,
    Done,
    Fetch,
    Fetched,
    FileOffer,
    FromBuilder,
    FromSender,
    Hello,
    HostState,
    Idle,
    LogLines,
    Offer,
    Refused,
    Send,
    Stop,
    ToBuilder,
    ToSender,
    Wait,
    Welcome,
)

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
_LOG_EVERY_S = 1.0
_LOG_PIECE_BYTES = 64 * 1024
_SILENCE_S = 30.0  # a master that says nothing for so long is greeted anew
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0


class RefusedByMasterError(ConfigError):
    """The master will not have this builder, and trying again will not change that."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the master is, and the keys to speak to it."""

    builders: str
    files: str
    key: KeyPair
    master_key: str


Phase = Callable[[str], None]
#: Carries out one job: writes its log and wheels to the outbox and returns what came of it.
BuildFunction = Callable[[Job, Outbox, Phase], Awaitable[Built]]


@dataclass(slots=True)
class BuilderSession:
    """One builder's side of the protocol.

    `hello` describes this builder; its `busy` is filled in. `measure` gives the machine's
    state for the signs of life.
    """

    endpoints: Endpoints
    hello: Callable[[int | None], Hello]
    measure: Callable[[], HostState]
    build: BuildFunction
    outbox: Outbox
    _dealer: Dealer[ToBuilder, FromBuilder] | None = None
    _job: Job | None = None
    _built: Built | None = None
    _phase: str = ""
    _phase_since: float = 0.0
    _log_sent: int = 0
    _last_build: int = 0
    _stopping: str = ""  # why it ends after the build in hand
    _welcomed: bool = False
    _introduced: bool = True  # the master knows what `hello` says now
    _forgot: bool = False  # a build was lost here, and the master believes that we have it
    _building: asyncio.Task[None] | None = None
    _sending: asyncio.Task[None] | None = None
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
                reason = await self._converse()
                if reason is not None:
                    return reason
                if time.monotonic() - began > _SILENCE_S * 2:
                    delay_s = _FIRST_DELAY_S
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
        finally:
            await self._end(self._building)
            await self._end(self._sending)

    def introduce_again(self) -> None:
        """Describe this builder to the master again, as soon as no build is under way."""
        self._introduced = False
        self._wake.set()

    def _restore(self) -> None:
        left = self.outbox.restore()
        if left is not None:
            self._job, self._built = left
            self._last_build = self._job.build
            log.info("build %s was finished before the restart; offering it", self._job.build)

    async def _converse(self) -> str | None:
        """One connection, until it fails (None) or the master says Stop (its reason)."""
        self._welcomed = False
        try:
            async with self._connected() as dealer:
                busy = self._job.build if self._job else None
                await dealer.send(self.hello(busy), timeout_s=_SILENCE_S)
                reason = await self._listen(dealer)
                with contextlib.suppress(NotConnectedError):
                    await dealer.send(Bye(reason=reason), timeout_s=1.0)
                return reason
        except NotConnectedError as error:
            log.warning("%s; trying again", error)
            return None

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Dealer[ToBuilder, FromBuilder]]:
        ends = self.endpoints
        dealer: Dealer[ToBuilder, FromBuilder] = Dealer(
            ToBuilder, ends.builders, key=ends.key, server_key=ends.master_key
        )
        self._dealer = dealer
        talking = asyncio.create_task(self._talk())
        try:
            yield dealer
        except asyncio.CancelledError:
            with contextlib.suppress(NotConnectedError):
                await dealer.send(Bye(reason="the builder was stopped"), timeout_s=1.0)
            raise
        finally:
            await self._end(talking)
            self._dealer = None
            dealer.close(linger_s=1.0)

    async def _listen(self, dealer: Dealer[ToBuilder, FromBuilder]) -> str:
        while True:
            message = await dealer.receive(_SILENCE_S)
            reason = await self._heed(message)
            if reason is not None:
                return reason

    async def _heed(self, message: ToBuilder) -> str | None:  # noqa: C901 - one case a message
        match message:
            case Welcome(log_offset=offset):
                log.info("the master at %s knows us as %s", self.endpoints.builders, message.label)
                self._log_sent, self._welcomed = offset, True
                self._wake.set()
            case BuildJob(job=job):
                self._begin(job)
            case Abandon(build=build, reason=reason):
                await self._abandon(build, reason)
            case Send(build=build):
                self._offer(build)
            case Done(build=build):
                await self._done(build)
            case Stop(reason=reason, after_build=after):
                self._stopping = reason or "told to stop"
                if self._job is None or not after:
                    return reason
            case Refused(reason=reason, fatal=True):
                raise RefusedByMasterError(f"{self.endpoints.builders}: {reason}")
            case Refused(reason=reason):
                raise NotConnectedError(f"{self.endpoints.builders}: {reason}")
            case Wait() | Continue():
                pass
        if self._forgot:
            self._forgot = False
            raise NotConnectedError("greeting the master anew, without the build that was lost")
        return self._stopping if self._stopping and self._job is None else None

    # --- the job in hand ---

    def _begin(self, job: Job) -> None:
        if self._job is not None:
            return
        self._job, self._built, self._log_sent = job, None, 0
        self._last_build = max(self._last_build, job.build)
        self._enter("starting")
        self._building = asyncio.create_task(self._carry_out(job))
        log.info("build %s: %s %s for %s", job.build, job.project, job.version, job.target)

    async def _carry_out(self, job: Job) -> None:
        try:
            self.outbox.begin(job)
            built = await self.build(job, self.outbox, self._enter)
            self.outbox.finish(built)
        except Exception as error:
            # Whatever it is ends this build; unsaid, it would leave the master waiting for it.
            log.exception("build %s", job.build)
            built = _broken(job, error)
        self._built = built
        log.info("build %s: %s %s", job.build, built.outcome, built.reason)
        self._enter("reporting")

    async def _abandon(self, build: int, reason: str) -> None:
        if self._job is not None and self._job.build == build:
            log.info("build %s is abandoned: %s", build, reason)
            await self._clear()

    async def _done(self, build: int) -> None:
        if self._job is not None and self._job.build == build:
            await self._clear()

    async def _clear(self) -> None:
        await self._end(self._building)
        await self._end(self._sending)
        self._building = self._sending = None
        self.outbox.clear()
        self._job = self._built = None
        self._wake.set()

    def _enter(self, phase: str) -> None:
        self._phase, self._phase_since = phase, time.monotonic()
        self._wake.set()

    # --- what we say ---

    async def _talk(self) -> None:
        """Signs of life, the log as it grows, and the result until it is taken."""
        spoke = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOG_EVERY_S):
                    await self._wake.wait()
            woken = self._wake.is_set()
            self._wake.clear()
            if not self._welcomed or self._dealer is None:
                continue
            with contextlib.suppress(NotConnectedError):
                await self._send_log(self._dealer)
                if woken or time.monotonic() - spoke >= HEARTBEAT_S:
                    spoke = time.monotonic()
                    await self._dealer.send(self._sign_of_life())

    def _sign_of_life(self) -> FromBuilder:
        if self._job is None and not self._introduced:
            self._introduced = True
            return self.hello(None)
        if self._job is None:
            return Idle(last_build=self._last_build, host=self.measure())
        if self._built is not None and (self._sending is None or self._sending.done()):
            return self._built
        return Building(
            build=self._job.build,
            phase=self._phase,
            phase_s=time.monotonic() - self._phase_since,
            host=self.measure(),
        )

    async def _send_log(self, dealer: Dealer[ToBuilder, FromBuilder]) -> None:
        while self._job is not None:
            data = self.outbox.read_log(self._log_sent, _LOG_PIECE_BYTES)
            if not data:
                return
            await dealer.send(LogLines(build=self._job.build, offset=self._log_sent, data=data))
            self._log_sent += len(data)

    # --- files ---

    def _offer(self, build: int) -> None:
        if self._built is None or self._built.build != build:
            return
        if self._sending is None or self._sending.done():
            self._enter("uploading")
            self._sending = asyncio.create_task(self._upload(build, self._built.files))

    async def _upload(self, build: int, files: tuple[FileOffer, ...]) -> None:
        ends = self.endpoints
        dealer: Dealer[ToSender, FromSender] = Dealer(
            ToSender, ends.files, key=ends.key, server_key=ends.master_key
        )
        try:
            for offer in files:
                await self._send_file(dealer, build, offer)
        except NotConnectedError as error:
            log.warning("the upload of build %s stopped: %s", build, error)
        except OSError as error:
            log.error("what build %s made cannot be read any more: %s", build, error)
            self._forget()
        finally:
            dealer.close(linger_s=1.0)

    def _forget(self) -> None:
        """Have nothing in hand, and say so to the master anew: it gives the job back."""
        self.outbox.clear()
        self._job = self._built = None
        self._forgot = True
        self._wake.set()

    async def _send_file(
        self, dealer: Dealer[ToSender, FromSender], build: int, offer: FileOffer
    ) -> None:
        with self.outbox.wheel(offer.filename).open("rb") as file:
            await dealer.send(
                Offer(build=build, filename=offer.filename, size_bytes=offer.size_bytes)
            )
            while True:
                match await dealer.receive(_SILENCE_S):
                    case Fetch(offset=offset, length=length):
                        file.seek(offset)
                        data = file.read(min(length, CHUNK_BYTES))
                        chunk = Chunk(build=build, filename=offer.filename, offset=offset)
                        await dealer.send(chunk, data, timeout_s=_SILENCE_S)
                    case Fetched():
                        return
                    case Refused(reason=reason):
                        raise NotConnectedError(reason)

    @staticmethod
    async def _end(task: asyncio.Task[None] | None) -> None:
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _broken(job: Job, error: Exception) -> Built:
    """What to say of a build that this machine could not carry out, or not keep."""
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    outcome = Outcome.DISK_FULL if full else Outcome.BUILDER_FAILED
    said = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    reason = one_line(f"the builder: {said}")
    return Built(build=job.build, outcome=outcome, reason=reason, duration_s=0.0)
