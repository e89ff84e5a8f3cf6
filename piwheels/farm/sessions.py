"""The life of every builder as a state machine: events go in, instructions come out.

No I/O and no clock: `handle(event, now)` is a function of what it was told, so that every
race of the farm's protocol is a test without a socket. Times are seconds of one monotonic
clock. A builder is known here by its label; dispatch knows the sockets.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from piwheels.farm.rollout import Rollout
from piwheels.farm.session import SILENT_AFTER_S, UPLOADING, Missing, Orphan, Record, Session
from piwheels.farm.signals import (
    Changed,
    Claim,
    Claimed,
    Drop,
    Estimate,
    Estimated,
    Event,
    Gone,
    Instruction,
    JobsWaiting,
    Keep,
    KeepLog,
    Lost,
    Ordered,
    PauseChanged,
    Received,
    Release,
    Reply,
    Revoked,
    Settle,
    Settled,
    Started,
    Take,
    Tick,
)
from piwheels.lines import one_line
from piwheels.model import Job, Outcome
from piwheels.protocol.messages import (
    Abandon,
    BuilderState,
    BuilderView,
    Building,
    BuildJob,
    Built,
    Bye,
    Continue,
    Done,
    FromBuilder,
    Hello,
    Idle,
    LogLines,
    Order,
    Refused,
    Send,
    Stop,
    Wait,
    Welcome,
)

#: A Build that is not confirmed after so long is sent again.
RESEND_AFTER_S = 5.0
#: A builder that was lost stays in view for so long.
LOST_KEPT_S = 3600.0
_SAMPLE_S = 10.0
#: Of why a build ended.
LONGEST_REASON = 500


@dataclass(slots=True)
class Sessions:
    """All builders of the farm.

    `orphans` are the claims that the database holds when the master starts, by label;
    `records` is what it knows of builders from before. A builder of which `quarantine_after`
    builds in a row failed of itself gets no more; 0 is never.
    """

    lost_after_s: float
    quarantine_after: int = 3
    paused: bool = False
    orphans: dict[str, Orphan] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)
    rollouts: list[Rollout] = field(default_factory=list)
    _sampled: float = 0.0

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take an event in, and say what has to be done about it."""
        match event:
            case Received(label, message, log_bytes):
                return self._received(label, message, log_bytes, now)
            case Claimed(label, job):
                return self._claimed(label, job, now)
            case Estimated(label, build, longest_s):
                return self._estimated(label, build, longest_s)
            case Settled(label, build, outcome, stored):
                return self._settled(label, build, outcome, now, stored=stored)
            case JobsWaiting():
                return self._offer_all()
            case Tick():
                return self._tick(now)
            case Ordered():
                return self._ordered(event, now)
            case PauseChanged(paused):
                self.paused = paused
                return self._offer_all() + [Changed(label) for label in self.sessions]
            case Revoked(label):
                return self._revoked(label, now)

    def objection(self, order: Order, label: str) -> str:
        """Why a builder cannot heed an order; "" when it can."""
        if label in self.missing:
            return "is lost"
        session = self.sessions.get(label)
        if session is None:
            return "is not connected"
        if order is Order.SKIP and session.job is None:
            return "has no build in hand"
        return ""

    def labels(self) -> list[str]:
        """Every builder in view, in order."""
        return sorted(self.sessions.keys() | self.missing.keys())

    def in_view(self, label: str) -> bool:
        """Whether a builder is there, or was a while ago."""
        return label in self.sessions or label in self.missing

    def view(self, label: str, now: float, *, loads: bool = False) -> BuilderView:
        """How a builder in view looks from outside."""
        if label in self.missing:
            return self.missing[label].view(now)
        return self.sessions[label].view(now, paused=self.paused, loads=loads)

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
                # Once its end was told a log is whole, and may have left the spool: what comes then
                # is told anew by a builder whose link was cut.
                wanted = session.has(build) and not session.ending
                return [KeepLog(build, offset, data)] if wanted else []
            case Built():
                return self._built(session, message, now)
            case Bye(reason=reason):
                return self._bye(session, reason, now)

    def _hello(self, label: str, hello: Hello, log_bytes: int, now: float) -> list[Instruction]:
        instructions: list[Instruction] = [Reply(label, Welcome(label=label, log_offset=log_bytes))]
        session = self.sessions.get(label)
        if session is None:
            session, adopted = self._join(label, hello, now)
            instructions += adopted
        session.hello, session.host, session.last_seen = hello, hello.host, now
        session.cleaning = False
        if session.job is not None and hello.busy != session.job.build:
            instructions += _give_back(session)
        if hello.busy is not None and not session.has(hello.busy):
            reason = "this build is no longer yours"
            instructions.append(Reply(label, Abandon(build=hello.busy, reason=reason)))
        return [*instructions, Changed(label), *self._roll(now)]

    def _join(self, label: str, hello: Hello, now: float) -> tuple[Session, list[Instruction]]:
        """A session for a builder that had none, with the job that it has from before."""
        self.missing.pop(label, None)
        record = self.records.setdefault(label, Record())
        session = Session(label, hello, last_seen=now, host=hello.host, record=record)
        self.sessions[label] = session
        for rollout in self.rollouts:
            rollout.back(label)
        orphan = self.orphans.pop(label, None)
        if orphan is None:
            return session, []
        since = now if orphan.claimed is None else orphan.claimed
        session.begin(orphan.job, since, "building", now)
        return session, [Estimate(label, orphan.job)]

    def _idle(self, session: Session, idle: Idle, now: float) -> list[Instruction]:
        session.host, session.cleaning = idle.host, False
        return [*self._idle_answer(session, idle, now), Changed(session.label)]

    def _idle_answer(self, session: Session, idle: Idle, now: float) -> list[Instruction]:
        job = session.job
        if job is None and session.claiming:
            # A slow database must not look like a dead master.
            return [Reply(session.label, Wait(reason="the queue has not answered yet"))]
        if job is None:
            return self._offer(session)
        if session.ending:
            return [Reply(session.label, Continue())]
        if idle.last_build >= job.build:
            given_back = _give_back(session)
            session.cleaning = False
            return [*given_back, *self._offer(session)]
        if now - session.job_since > RESEND_AFTER_S:
            return [Reply(session.label, BuildJob(job=job))]
        return []

    def _building(self, session: Session, message: Building, now: float) -> list[Instruction]:
        session.host = message.host
        if not session.has(message.build):
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
        again, session.ending = session.ending, True
        session.reason = one_line(built.reason, LONGEST_REASON)
        if built.outcome is Outcome.BUILT:
            instructions: list[Instruction] = [Reply(session.label, Send(build=job.build))]
            if again:
                return instructions
            session.phase, session.phase_since = UPLOADING, now
            return [Take(session.label, job, built), *instructions, Changed(session.label)]
        if again:
            return [Reply(session.label, Continue())]
        return [
            Settle(
                session.label,
                job,
                built.outcome,
                session.reason,
                built.duration_s,
                built.inputs,
                built.lacking,
            )
        ]

    def _bye(self, session: Session, reason: str, now: float) -> list[Instruction]:
        given_back = _give_back(session)
        return [*given_back, *self._leave(session, one_line(reason) or "said goodbye", now)]

    def _leave(self, session: Session, reason: str, now: float) -> list[Instruction]:
        del self.sessions[session.label]
        for rollout in self.rollouts:
            rollout.left(session.label, now)
        return [Gone(session.label, reason), *self._roll(now)]

    # --- what the queue says ---

    def _claimed(self, label: str, job: Job | None, now: float) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None or session.job is not None:
            return [Release(label, job.build)] if job else []
        session.claiming = False
        if job is None:
            return [Reply(label, Wait(reason="nothing is queued for your targets"))]
        if self._withheld(session):
            return [Release(label, job.build), *self._offer(session)]
        session.begin(job, now, "starting", now)
        return [
            Reply(label, BuildJob(job=job)),
            Started(label, job),
            Changed(label),
            Estimate(label, job),
        ]

    def _estimated(self, label: str, build: int, longest_s: float | None) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None or not session.has(build):
            return []
        session.expect(longest_s)
        return [Changed(label)]

    def _settled(
        self, label: str, build: int, outcome: Outcome, now: float, *, stored: bool
    ) -> list[Instruction]:
        record = self.records.setdefault(label, Record())
        if stored and outcome is not Outcome.KILLED:
            record.count(now, built=outcome is Outcome.BUILT)
        session = self.sessions.get(label)
        if session is None or not session.has(build):
            return []
        held = self._quarantine(session, outcome) if stored else []
        session.finish()
        note = "" if stored else "the claim had been lost"
        return [*held, Reply(label, Done(build=build, note=note)), Changed(label)]

    def _quarantine(self, session: Session, outcome: Outcome) -> list[Instruction]:
        """Keep a builder from further jobs when it is the builder that fails them."""
        record = session.record
        record.broken = record.broken + 1 if outcome is Outcome.BUILDER_FAILED else 0
        if not 0 < self.quarantine_after <= record.broken or record.held is not None:
            return []
        reason = f"{record.broken} builds in a row failed of the builder itself: {session.reason}"
        return _hold(session, BuilderState.QUARANTINED, reason)

    # --- time ---

    def _tick(self, now: float) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label, orphan in list(self.orphans.items()):
            if now - orphan.since > self.lost_after_s:
                del self.orphans[label]
                instructions.append(_lost(label, orphan.job, self.lost_after_s))
        for session in list(self.sessions.values()):
            instructions += self._watch_over(session, now)
        for label, missing in list(self.missing.items()):
            if now - missing.since > LOST_KEPT_S:
                del self.missing[label]
                instructions.append(Gone(label, ""))
        return [*instructions, *self._sample(now), *self._roll(now)]

    def _watch_over(self, session: Session, now: float) -> list[Instruction]:
        silent_s = now - session.last_seen
        if session.drained and session.job is None and silent_s > SILENT_AFTER_S:
            return self._leave(session, f"drained by {session.drained}", now)
        if silent_s > self.lost_after_s:
            return self._lose(session, now)
        state = session.state(now, paused=self.paused)
        if state is session.told:
            return []
        session.told = state
        return [Changed(session.label)]

    def _lose(self, session: Session, now: float) -> list[Instruction]:
        label, reason = session.label, f"not heard for {self.lost_after_s:.0f} s"
        instructions: list[Instruction] = []
        job = session.finish()
        if job is not None:
            reason += f"; its build {job.build} ({job.project} {job.version}) went back"
            instructions = [Drop(job.build), _lost(label, job, now - session.job_since)]
        del self.sessions[label]
        self.missing[label] = Missing(session, since=now, reason=reason)
        for rollout in self.rollouts:
            rollout.left(label, session.last_seen)
        return [*instructions, Lost(label, reason)]

    def _sample(self, now: float) -> list[Instruction]:
        """Keep the loads, and forget what ended over an hour ago, every few seconds."""
        if now - self._sampled < _SAMPLE_S:
            return []
        self._sampled = now
        for session in self.sessions.values():
            session.record.loads.append(session.host.load)
        fewer = [label for label, record in self.records.items() if record.forget(now)]
        return [Changed(label) for label in fewer]

    # --- operators ---

    def _ordered(self, ordered: Ordered, now: float) -> list[Instruction]:
        if ordered.order is Order.DRAIN and ordered.rolling:
            rollout = Rollout(ordered.who, ordered.rolling, deque(ordered.labels))
            self.rollouts.append(rollout)
            return self._roll(now)
        return self._order_all(ordered, ordered.labels, now)

    def _order_all(self, ordered: Ordered, labels: Iterable[str], now: float) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label in labels:
            session = self.sessions.get(label)
            if session is not None:
                instructions += self._order(session, ordered, now)
                instructions.append(Changed(label))
        return instructions

    def _roll(self, now: float) -> list[Instruction]:
        """Drain whose turn it is."""
        instructions: list[Instruction] = []
        for rollout in self.rollouts:
            drain = Ordered(Order.DRAIN, (), rollout.who)
            while turns := rollout.turns(now, self.lost_after_s):
                instructions += self._order_all(drain, turns, now)
                for label in set(turns) - self.sessions.keys():
                    rollout.skip(label)
        self.rollouts = [rollout for rollout in self.rollouts if not rollout.over]
        return instructions

    def _order(self, session: Session, ordered: Ordered, now: float) -> list[Instruction]:
        label, who = session.label, ordered.who
        match ordered.order:
            case Order.SLEEP:
                return self._send_to_sleep(session, who, at_once=ordered.at_once)
            case Order.WAKE:
                session.record.broken = 0
                return [*_hold(session, None, ""), *self._offer(session)]
            case Order.SKIP:
                return self._end_build(session, f"skipped by {who}", now)
            case Order.DRAIN:
                session.drained = who
                reason = f"drained by {who}"
                return [Reply(label, Stop(reason=reason, after_build=session.job is not None))]
            case Order.KILL:
                ended = self._end_build(session, f"killed by {who}", now)
                session.drained = who
                return [*ended, Reply(label, Stop(reason=f"killed by {who}"))]

    def _send_to_sleep(self, session: Session, who: str, *, at_once: bool) -> list[Instruction]:
        """No more jobs. At once: the job in hand goes back as if it had never been handed out."""
        instructions = _hold(session, BuilderState.ASLEEP, f"by {who}")
        if at_once and session.job is not None:
            abandon = Abandon(build=session.job.build, reason=f"put to sleep by {who}")
            instructions += [Reply(session.label, abandon), *_give_back(session)]
        return instructions

    def _revoked(self, label: str, now: float) -> list[Instruction]:
        if self.missing.pop(label, None) is not None:
            return [Gone(label, "its key was revoked")]
        session = self.sessions.get(label)
        if session is None:
            return []
        ended = self._end_build(session, "its key was revoked", now)
        refusal = Refused(reason="this builder's key was revoked", fatal=True)
        left = self._leave(session, "its key was revoked", now)
        return [*ended, Reply(label, refusal), *left]

    def _end_build(self, session: Session, reason: str, now: float) -> list[Instruction]:
        job = session.finish()
        if job is None:
            return []
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
            for instruction in self._offer(session)
        ]

    def _offer(self, session: Session) -> list[Instruction]:
        if session.job is not None or session.claiming:
            return []
        if session.drained:
            return [Reply(session.label, Stop(reason=f"drained by {session.drained}"))]
        if why := self._withheld(session):
            return [Reply(session.label, Wait(reason=why))]
        session.claiming = True
        return [Claim(session.label, session.targets, session.lacking)]

    def _withheld(self, session: Session) -> str:
        """Why a builder gets no job now; "" when it may have one."""
        if session.drained:
            return "draining"
        if session.record.held is not None:
            return str(session.record.held)
        return "the farm is paused" if self.paused else ""


def _hold(session: Session, held: BuilderState | None, reason: str) -> list[Instruction]:
    record = session.record
    if record.held is held:
        return []
    record.held, record.held_reason = held, reason
    return [Keep(session.label, held, reason)]


def _give_back(session: Session) -> list[Instruction]:
    job = session.finish()
    return [Drop(job.build), Release(session.label, job.build)] if job else []


def _lost(label: str, job: Job, duration_s: float) -> Settle:
    return Settle(label, job, Outcome.LOST, f"builder {label} fell silent", duration_s)
