"""The life of every builder as a state machine: events go in, instructions come out.

No I/O and no clock: `handle(event, now)` is a function of what it was told, so that every
race of the farm's protocol is a test without a socket. Times are seconds of one monotonic
clock. A builder is known here by its label; dispatch knows the sockets.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from piwheels.model import Job, Outcome
from piwheels.protocol.messages import (
    Abandon,
    BuilderView,
    Building,
    BuildJob,
    Built,
    Bye,
    Continue,
    Done,
    FromBuilder,
    Hello,
    HostState,
    Idle,
    LogLines,
    Order,
    Refused,
    Send,
    Stop,
    ToBuilder,
    Wait,
    Welcome,
)

#: A Build that is not confirmed after so long is sent again.
RESEND_AFTER_S = 5.0
#: A builder that was not heard for so long is shown as silent; it speaks every few seconds.
SILENT_AFTER_S = 30.0


class State(StrEnum):
    """What a builder is doing, as operators see it."""

    IDLE = "idle"  # nothing is queued for its targets
    PAUSED = "paused"  # the farm is paused
    BUILDING = "building"
    UPLOADING = "uploading"
    DRAINING = "draining"  # ends after the build in hand
    ASLEEP = "asleep"
    SILENT = "silent"


# --- events ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """A builder said something. `log_bytes` is how much of its build's log is there."""

    label: str
    message: FromBuilder
    log_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """The queue's answer to Claim: a job, or None when nothing waits for those targets."""

    label: str
    job: Job | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A build is in the database, or its claim had been lost (`stored` is False)."""

    label: str
    build: int
    outcome: Outcome
    stored: bool


@dataclass(frozen=True, slots=True)
class JobsWaiting:
    """Something was queued."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """An operator gave an order to builders."""

    order: Order
    labels: tuple[str, ...]
    who: str


@dataclass(frozen=True, slots=True)
class PauseChanged:
    """The farm was paused or resumed."""

    paused: bool


@dataclass(frozen=True, slots=True)
class Revoked:
    """A builder's key was taken off the list."""

    label: str


Event = Received | Claimed | Settled | JobsWaiting | Tick | Ordered | PauseChanged | Revoked

# --- instructions ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this to a builder."""

    label: str
    message: ToBuilder


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask the queue for a job for one of these targets; answer with Claimed."""

    label: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Put a job back as it was: its build did not happen."""

    label: str
    build: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Record how a build without files ended; answer with Settled."""

    label: str
    job: Job
    outcome: Outcome
    reason: str
    duration_s: float
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Take:
    """Fetch, check and publish a build's files; answer with Settled."""

    label: str
    job: Job
    built: Built


@dataclass(frozen=True, slots=True)
class Drop:
    """Stop fetching the files of a build, whatever has arrived of them."""

    build: int


@dataclass(frozen=True, slots=True)
class KeepLog:
    """Add a piece to a build's log."""

    build: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """A builder is another than before."""

    label: str


@dataclass(frozen=True, slots=True)
class Started:
    """A job was handed out."""

    label: str
    job: Job


@dataclass(frozen=True, slots=True)
class Gone:
    """A builder has left, or was lost."""

    label: str
    reason: str


Instruction = Reply | Claim | Release | Settle | Take | Drop | KeepLog | Changed | Started | Gone

# --- the machine -------------------------------------------------------------------------


@dataclass(slots=True)
class Session:
    """What is known of one builder."""

    label: str
    hello: Hello
    last_seen: float
    host: HostState
    job: Job | None = None
    job_since: float = 0.0
    phase: str = ""
    phase_since: float = 0.0
    claiming: bool = False
    ending: bool = False  # the job's outcome is on its way to the database
    asleep: bool = False
    draining: bool = False
    built: int = 0
    failed: int = 0

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that it serves."""
        return tuple(target.name for target in self.hello.targets)


@dataclass(slots=True)
class Orphan:
    """A claim of a builder that has not come back since the master started."""

    job: Job
    since: float


@dataclass(slots=True)
class Sessions:
    """All builders of the farm.

    `orphans` are the claims that the database holds when the master starts, by label.
    """

    lost_after_s: float
    paused: bool = False
    orphans: dict[str, Orphan] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take an event in, and say what has to be done about it."""
        match event:
            case Received(label, message, log_bytes):
                return self._received(label, message, log_bytes, now)
            case Claimed(label, job):
                return self._claimed(label, job, now)
            case Settled(label, build, outcome, stored):
                return self._settled(label, build, outcome, stored=stored)
            case JobsWaiting():
                return self._offer_all()
            case Tick():
                return self._tick(now)
            case Ordered(order, labels, who):
                return self._ordered(order, labels, who, now)
            case PauseChanged(paused):
                self.paused = paused
                return self._offer_all() + [Changed(label) for label in self.sessions]
            case Revoked(label):
                return self._revoked(label, now)

    def objection(self, order: Order, label: str) -> str:
        """Why a builder cannot heed an order; "" when it can."""
        session = self.sessions.get(label)
        if session is None:
            return "is not connected"
        if order is Order.SKIP and session.job is None:
            return "has no build in hand"
        return ""

    def view(self, label: str, now: float) -> BuilderView:
        """How a builder looks from outside."""
        session = self.sessions[label]
        job = session.job
        return BuilderView(
            label=label,
            state=self._state(session, now),
            targets=session.targets,
            platform=session.hello.platform,
            board=session.hello.board,
            os=session.hello.os,
            version=session.hello.version,
            sandboxed=session.hello.sandboxed,
            build=job.build if job else None,
            project=job.project if job else "",
            version_built=job.version if job else "",
            target=job.target if job else "",
            phase=session.phase if job else "",
            phase_s=now - session.phase_since if job else 0.0,
            silent_s=now - session.last_seen,
            built=session.built,
            failed=session.failed,
            host=session.host,
        )

    def _state(self, session: Session, now: float) -> State:
        if now - session.last_seen > SILENT_AFTER_S:
            return State.SILENT
        if session.draining:
            return State.DRAINING
        if session.job is not None:
            return State.UPLOADING if session.phase == State.UPLOADING else State.BUILDING
        if session.asleep:
            return State.ASLEEP
        return State.PAUSED if self.paused else State.IDLE

    # --- what builders say ---

    def _received(
        self, label: str, message: FromBuilder, log_bytes: int, now: float
    ) -> list[Instruction]:
        if isinstance(message, Hello):
            return self._hello(label, message, log_bytes, now)
        session = self.sessions.get(label)
        if session is None:
            return [Reply(label, Refused(reason="say Hello first"))]
        session.last_seen = now
        match message:
            case Idle():
                return self._idle(session, message, now)
            case Building():
                return self._building(session, message, now)
            case LogLines(build=build, offset=offset, data=data):
                return [KeepLog(build, offset, data)] if _in_hand(session, build) else []
            case Built():
                return self._built(session, message, now)
            case Bye(reason=reason):
                return self._bye(session, reason)

    def _hello(self, label: str, hello: Hello, log_bytes: int, now: float) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None:
            session = Session(label=label, hello=hello, last_seen=now, host=hello.host)
            self.sessions[label] = session
            self._adopt(session, now)
        session.hello, session.host, session.last_seen = hello, hello.host, now
        instructions: list[Instruction] = [Reply(label, Welcome(label=label, log_offset=log_bytes))]
        if session.job is not None and hello.busy != session.job.build:
            instructions += self._give_back(session)
        if hello.busy is not None and not _in_hand(session, hello.busy):
            instructions.append(
                Reply(label, Abandon(build=hello.busy, reason="this build is no longer yours"))
            )
        return [*instructions, Changed(label)]

    def _adopt(self, session: Session, now: float) -> None:
        orphan = self.orphans.pop(session.label, None)
        if orphan is not None:
            session.job, session.job_since = orphan.job, now
            session.phase, session.phase_since = "building", now

    def _idle(self, session: Session, idle: Idle, now: float) -> list[Instruction]:
        session.host = idle.host
        job = session.job
        if job is None:
            return self._offer(session)
        if session.ending:
            return [Reply(session.label, Continue())]
        if idle.last_build >= job.build:
            return [*self._give_back(session), *self._offer(session)]
        if now - session.job_since > RESEND_AFTER_S:
            return [Reply(session.label, BuildJob(job=job))]
        return []

    def _building(self, session: Session, message: Building, now: float) -> list[Instruction]:
        session.host = message.host
        if not _in_hand(session, message.build):
            reason = "this build is no longer yours"
            return [Reply(session.label, Abandon(build=message.build, reason=reason))]
        if not session.ending:
            session.phase, session.phase_since = message.phase, now - message.phase_s
        return [Reply(session.label, Continue()), Changed(session.label)]

    def _built(self, session: Session, built: Built, now: float) -> list[Instruction]:
        job = session.job
        if job is None or job.build != built.build:
            note = "the master has settled this build or given it to another"
            return [Reply(session.label, Done(build=built.build, note=note))]
        if built.outcome is Outcome.BUILT:
            again = session.ending
            session.ending = True
            session.phase, session.phase_since = State.UPLOADING, now
            instructions: list[Instruction] = [Reply(session.label, Send(build=job.build))]
            return instructions if again else [Take(session.label, job, built), *instructions]
        if session.ending:
            return [Reply(session.label, Continue())]
        session.ending = True
        return [
            Settle(session.label, job, built.outcome, built.reason, built.duration_s, built.inputs)
        ]

    def _bye(self, session: Session, reason: str) -> list[Instruction]:
        del self.sessions[session.label]
        instructions: list[Instruction] = []
        if session.job is not None:
            instructions += [Drop(session.job.build), Release(session.label, session.job.build)]
        return [*instructions, Gone(session.label, reason or "said goodbye")]

    # --- what the queue says ---

    def _claimed(self, label: str, job: Job | None, now: float) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None or session.job is not None:
            return [Release(label, job.build)] if job else []
        session.claiming = False
        if job is None:
            return [Reply(label, Wait(reason="nothing is queued for your targets"))]
        if self.paused or session.asleep or session.draining:
            return [Release(label, job.build), *self._offer(session)]
        session.job, session.job_since, session.ending = job, now, False
        session.phase, session.phase_since = "starting", now
        return [Reply(label, BuildJob(job=job)), Started(label, job), Changed(label)]

    def _settled(
        self, label: str, build: int, outcome: Outcome, *, stored: bool
    ) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None or session.job is None or session.job.build != build:
            return []
        session.job, session.ending = None, False
        session.built += outcome is Outcome.BUILT and stored
        session.failed += outcome is not Outcome.BUILT and stored
        note = "" if stored else "the claim had been lost"
        return [Reply(label, Done(build=build, note=note)), Changed(label)]

    # --- time, and operators ---

    def _tick(self, now: float) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label, orphan in list(self.orphans.items()):
            if now - orphan.since > self.lost_after_s:
                del self.orphans[label]
                instructions.append(_lost(label, orphan.job, self.lost_after_s))
        for session in list(self.sessions.values()):
            if now - session.last_seen <= self.lost_after_s:
                continue
            del self.sessions[session.label]
            if session.job is not None:
                instructions.append(Drop(session.job.build))
                instructions.append(_lost(session.label, session.job, now - session.job_since))
            instructions.append(Gone(session.label, f"silent for {self.lost_after_s:.0f} s"))
        return instructions

    def _ordered(
        self, order: Order, labels: Iterable[str], who: str, now: float
    ) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label in labels:
            session = self.sessions.get(label)
            if session is not None:
                instructions += self._order(session, order, who, now)
                instructions.append(Changed(label))
        return instructions

    def _order(self, session: Session, order: Order, who: str, now: float) -> list[Instruction]:
        label = session.label
        match order:
            case Order.SLEEP:
                session.asleep = True
                return []
            case Order.WAKE:
                session.asleep = False
                return self._offer(session)
            case Order.SKIP:
                return self._end_build(session, f"skipped by {who}", now)
            case Order.DRAIN:
                session.draining = True
                reason = f"drained by {who}"
                return [Reply(label, Stop(reason=reason, after_build=session.job is not None))]
            case Order.KILL:
                ended = self._end_build(session, f"killed by {who}", now)
                session.draining = True
                return [*ended, Reply(label, Stop(reason=f"killed by {who}"))]

    def _revoked(self, label: str, now: float) -> list[Instruction]:
        session = self.sessions.pop(label, None)
        if session is None:
            return []
        ended = self._end_build(session, "its key was revoked", now)
        refusal = Refused(reason="this builder's key was revoked", fatal=True)
        return [*ended, Reply(label, refusal), Gone(label, "its key was revoked")]

    def _end_build(self, session: Session, reason: str, now: float) -> list[Instruction]:
        job = session.job
        if job is None:
            return []
        session.job, session.ending = None, False
        return [
            Drop(job.build),
            Reply(session.label, Abandon(build=job.build, reason=reason)),
            Settle(session.label, job, Outcome.KILLED, reason, now - session.job_since),
        ]

    # --- handing out ---

    def _offer_all(self) -> list[Instruction]:
        return [
            instruction
            for session in self.sessions.values()
            if session.job is None and not session.claiming
            for instruction in self._offer(session)
        ]

    def _offer(self, session: Session) -> list[Instruction]:
        if session.job is not None or session.claiming:
            return []
        if session.draining:
            return [Reply(session.label, Stop(reason="drained"))]
        if session.asleep:
            return [Reply(session.label, Wait(reason="asleep"))]
        if self.paused:
            return [Reply(session.label, Wait(reason="the farm is paused"))]
        session.claiming = True
        return [Claim(session.label, session.targets)]

    def _give_back(self, session: Session) -> list[Instruction]:
        job = session.job
        if job is None:
            return []
        session.job, session.ending = None, False
        return [Drop(job.build), Release(session.label, job.build)]


def _in_hand(session: Session, build: int) -> bool:
    return session.job is not None and session.job.build == build


def _lost(label: str, job: Job, duration_s: float) -> Settle:
    return Settle(label, job, Outcome.LOST, f"builder {label} fell silent", duration_s)
