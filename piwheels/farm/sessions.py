"""The life of every builder as a state machine: events go in, instructions come out.

No I/O and no clock: `handle(event, now)` is a function of what it was told, so that every
race of the farm's protocol is a test without a socket. Times are seconds of one monotonic
clock. A builder is known here by its label; dispatch knows the sockets.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from piwheels.causes.policy import class_of, disk_wanted
from piwheels.farm.outage import IndexOutage
from piwheels.farm.rollout import Rollout
from piwheels.farm.session import (
    SILENT_AFTER_S,
    UPLOADING,
    WAITING_FOR_TREE,
    Missing,
    Orphan,
    Record,
    Session,
)
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
    NotStored,
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
    TreeFailed,
    TreeRecovered,
)
from piwheels.lines import one_line
from piwheels.model import FailureClass, Fitness, Job, Outcome
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
#: Classes of failure of a build that had all that it needed of the index.
_INDEX_WORKED = frozenset(
    {
        FailureClass.UNKNOWN,
        FailureClass.LIMIT,
        FailureClass.TIMED_OUT,
        FailureClass.OUT_OF_MEMORY,
    }
)
#: Sent to a builder whose build nobody waits for.
_GONE = "its job was given to another builder, or is not wanted any more"
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
    tree_fault: str = ""  # why the served tree takes no files
    outage: IndexOutage = field(default_factory=IndexOutage)
    _sampled: float = 0.0
    _now: float = 0.0

    def handle(self, event: Event, now: float) -> list[Instruction]:  # noqa: C901 - one case an event
        """Take an event in, and say what has to be done about it."""
        self._now = now
        match event:
            case Received(message=Hello() as hello):
                return self._hello(event, hello, now)
            case Received(label, message):
                return self._received(label, message, now)
            case Claimed(label, job):
                return self._claimed(label, job, now)
            case Estimated(label, build, longest_s):
                return self._estimated(label, build, longest_s)
            case Settled(label, build, outcome, stored):
                return self._settled(label, build, outcome, now, stored=stored)
            case NotStored(label, build, reason):
                return self._not_stored(label, build, reason)
            case TreeFailed(reason):
                return self._tree_failed(reason)
            case TreeRecovered():
                self.tree_fault = ""
                return self._offer_all()
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

    @property
    def waits(self) -> str:
        """Why no builder gets a job, beside a pause; "" when they do."""
        if self.tree_fault:
            return f"the served tree takes no files: {self.tree_fault}"
        if self.outage.reason:
            return f"builders agree that the index does not answer: {self.outage.reason}"
        return ""

    def fitness(self, label: str) -> Fitness:
        """What a builder can do, compared with the others that could take its jobs."""
        session = self.sessions.get(label)
        if session is None:
            return Fitness()
        rivals = {target: self._rivals(label, target) for target in session.targets}
        speeds = (rival.hello.speed for those in rivals.values() for rival in those)
        return Fitness(
            memory_bytes=session.hello.memory_limit,
            speed=session.hello.speed,
            alone=tuple(target for target, those in rivals.items() if not those),
            largest_memory_bytes=self.largest_memory_bytes(*session.targets),
            best_speed=max(session.hello.speed, *speeds, 0.0),
        )

    def largest_memory_bytes(self, *targets: str) -> int:
        """The largest memory limit of the builders that serve one of these targets, lost or not."""
        known = [*self.sessions.values(), *(missing.session for missing in self.missing.values())]
        serve = (session for session in known if set(targets) & set(session.targets))
        return max((session.hello.memory_limit for session in serve), default=0)

    def may_reclaim(self, label: str, build: int) -> bool:
        """Whether a builder that is back with a build may have the job of it again."""
        session, orphan = self.sessions.get(label), self.orphans.get(label)
        has = session is not None and session.has(build)
        waits = orphan is not None and orphan.job.build == build
        record = self.records.get(label)
        return not has and not waits and (record is None or record.held is None)

    def another_serves(self, label: str, target: str) -> bool:
        """Whether another builder than this one serves a target."""
        return bool(self._rivals(label, target))

    def _rivals(self, label: str, target: str) -> list[Session]:
        """The other builders that can take any job for a target."""
        return [
            session
            for session in self.sessions.values()
            if session.label != label
            and session.takes_jobs
            and not session.full_disk()
            and target in session.targets
            and target not in session.lacking
        ]

    def _received(self, label: str, message: FromBuilder, now: float) -> list[Instruction]:
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
            case Hello():
                return []  # handle() takes it

    def _hello(self, event: Received, hello: Hello, now: float) -> list[Instruction]:
        label, welcome = event.label, Welcome(label=event.label, log_offset=event.log_bytes)
        instructions: list[Instruction] = [Reply(label, welcome)]
        session = self.sessions.get(label)
        if session is None:
            session, adopted = self._join(label, hello, now)
            instructions += adopted
        session.hello, session.host, session.last_seen = hello, hello.host, now
        session.cleaning = False
        if session.job is not None and hello.busy != session.job.build:
            instructions += _give_back(session)
        if event.reclaimed is not None:
            session.begin(event.reclaimed, now, "building", now)
            instructions.append(Estimate(label, event.reclaimed))
        if hello.busy is not None and not session.has(hello.busy):
            instructions.append(Reply(label, Abandon(build=hello.busy, reason=_GONE)))
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
            return [Reply(session.label, Abandon(build=message.build, reason=_GONE))]
        if not session.ending:
            session.phase, session.phase_since = message.phase, now - message.phase_s
        return [Reply(session.label, Continue()), Changed(session.label)]

    def _built(self, session: Session, built: Built, now: float) -> list[Instruction]:
        job = session.job
        if job is None or job.build != built.build:
            return [Reply(session.label, Done(build=built.build, note=_GONE))]
        again, session.ending = session.ending, True
        session.reason = one_line(built.reason, LONGEST_REASON)
        if built.outcome is Outcome.BUILT:
            if self.tree_fault and not again:
                return self._keep_at_builder(session)
            self._index_worked(session)
            instructions: list[Instruction] = [Reply(session.label, Send(build=job.build))]
            if again:
                return instructions
            session.phase, session.phase_since = UPLOADING, now
            return [Take(session.label, job, built), *instructions, Changed(session.label)]
        if again:
            return [Reply(session.label, Continue())]
        failure = built.failure or class_of(built.outcome)
        self._learn(session, job, built, failure, now)
        return [
            Settle(
                session.label,
                job,
                built.outcome,
                session.reason,
                built.duration_s,
                built.inputs,
                built.lacking,
                failure,
                built.evidence,
            )
        ]

    def _learn(
        self, session: Session, job: Job, built: Built, failure: FailureClass | None, now: float
    ) -> None:
        """What a failed build says of the index and of its builder."""
        record, evidence = session.record, built.evidence
        if failure is FailureClass.INDEX_FAULT:
            record.wait(now, f"the index failed it: {session.reason}", evidence.retry_after_s)
            release = f"{job.project} {job.version}"
            self.outage.failed(session.label, release, session.reason, record.waits_until)
        elif failure is FailureClass.DISK_FULL and (
            evidence.disk_free_bytes is None
            or evidence.disk_free_bytes < disk_wanted(evidence.disk_reserve_bytes)
        ):
            record.wait(now, f"its disk was full: {session.reason}")
        elif failure in _INDEX_WORKED:
            self._index_worked(session)

    def _index_worked(self, session: Session) -> None:
        session.record.wait_no_longer()
        self.outage.worked()

    def _not_stored(self, label: str, build: int, reason: str) -> list[Instruction]:
        """The builder keeps what it built, and offers it again until the tree can take it."""
        session = self.sessions.get(label)
        kept: list[Instruction] = []
        if session is not None and session.has(build):
            kept = self._keep_at_builder(session)
        return [*kept, *self._tree_failed(reason)]

    def _keep_at_builder(self, session: Session) -> list[Instruction]:
        session.ending = False
        if session.phase != WAITING_FOR_TREE:
            session.phase, session.phase_since = WAITING_FOR_TREE, self._now
        return [Reply(session.label, Continue()), Changed(session.label)]

    def _tree_failed(self, reason: str) -> list[Instruction]:
        self.tree_fault = reason
        return [Changed(label) for label in self.sessions]

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
            bound = " that is known to need no C compiler" if session.lacking else ""
            return [Reply(label, Wait(reason=f"nothing is queued for your targets{bound}"))]
        if self._withheld(session):
            return [Release(label, job.build), *self._offer(session)]
        self.outage.handed_out(label)
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
        if stored and outcome not in {Outcome.KILLED, Outcome.LOST}:
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
                session.record.wait_no_longer()
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
        session.withheld = self._withheld(session)
        if session.withheld:
            return [Reply(session.label, Wait(reason=session.withheld))]
        session.claiming = True
        return [Claim(session.label, session.targets, session.lacking)]

    def _withheld(self, session: Session) -> str:
        """Why a builder gets no job now; "" when it may have one."""
        if session.drained:
            return "draining"
        if session.record.held is not None:
            return str(session.record.held)
        if self.paused:
            return "the farm is paused"
        if self.tree_fault:
            return self.waits
        if full := session.full_disk():
            return full
        if self._now < session.record.waits_until:
            return session.record.waits_reason
        probe = self.sessions.get(self.outage.probe)
        probing = probe is not None and probe.job is not None
        return self.waits if self.outage.keeps_back(self._now, probing=probing) else ""


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
