"""Jobs handed out to builders: the duty that joins sockets, sessions and the queue.

Messages become events of the session machine; its instructions become replies, queue work
and files to expect. Work on the database is done by one task in order, so that a slow
database never delays a builder's sign of life.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from piwheels.causes import policy
from piwheels.db import catalog, history, jobs, settings
from piwheels.db.database import Database, is_database_fault
from piwheels.errors import PiwheelsError, RefusedError
from piwheels.farm import signals
from piwheels.farm.logs import LogSpool
from piwheels.farm.peers import Peers, Rival
from piwheels.farm.receive import NotKept, Received, Receiver
from piwheels.farm.session import Orphan, Record
from piwheels.farm.sessions import LONGEST_REASON, Sessions
from piwheels.farm.tidings import Tidings
from piwheels.farm.treecheck import ENOUGH_BYTES, tree_fault
from piwheels.lines import one_line
from piwheels.model import (
    Build,
    Disposition,
    Job,
    Outcome,
    PastFailure,
    Rules,
    Target,
    WheelFile,
)
from piwheels.protocol.channels import Envelope, Peer, Router
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.limited_log import Allowance, LimitedLog
from piwheels.protocol.messages import (
    MOST_TARGETS,
    PROTOCOL,
    BuilderState,
    BuilderView,
    Bye,
    FromBuilder,
    Hello,
    OrderBuilders,
    Refused,
    ToBuilder,
    mismatch,
)
from piwheels.wheel.tags import check_target

log = logging.getLogger(__name__)
_faults = LimitedLog(log)

PAUSED = "paused"  # the setting that survives a restart
_HELD = "held "  # and those of builders that are asleep or quarantined, with their labels
#: Builders add no more targets to a farm that has so many; operators may.
_MOST_FARM_TARGETS = 256
#: Events of one builder's coming and going that are kept of an hour.
_MOST_PRESENCE_NOTES = 300
_HOUR_S = 3600.0
_TICK_S = 1.0
_SWEEP_S = 5.0
_PRESENCE_S = 60.0
#: How often the served tree is tried: while it takes files, and while it does not.
_TREE_CHECK_S, _TREE_RECHECK_S = 30.0, 5.0


@dataclass(frozen=True, slots=True)
class DispatchOptions:
    """How failures are treated."""

    lost_after_s: float = 300.0
    retry_delay_s: float = 600.0  # before the second try; doubled for each further one
    max_attempts: int = 3
    quarantine_after: int = 3  # builds in a row that failed of the builder itself; 0 is never


@dataclass(frozen=True, slots=True)
class Given:
    """What came of an order: the labels that heed it, and others, each with why not."""

    obeyed: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Greeting:
    """A builder's Hello waits in `_hellos`: one that says it again and again has one there."""

    label: str


@dataclass(frozen=True, slots=True)
class _Note:
    what: str


_Work = (
    signals.Claim
    | signals.Release
    | signals.Settle
    | signals.Keep
    | Received
    | NotKept
    | _Greeting
    | _Note
)


@dataclass(slots=True)
class Dispatch:
    """The duty on the builders' socket."""

    db: Database
    dsn: str
    router: Router[FromBuilder, ToBuilder]
    keys: KeyStore
    rules: Rules
    logs: LogSpool
    tidings: Tidings
    receiver: Receiver
    options: DispatchOptions = field(default_factory=DispatchOptions)
    targets: dict[str, Target] = field(default_factory=dict)
    machine: Sessions = field(init=False)
    _peers: Peers = field(default_factory=Peers)
    _hellos: dict[str, Hello] = field(default_factory=dict)  # that wait for the database
    _presence_notes: dict[str, Allowance] = field(default_factory=dict)
    _added: dict[str, set[str]] = field(default_factory=dict)  # targets, by the builder's label
    _work: asyncio.Queue[_Work] = field(default_factory=asyncio.Queue)
    _estimates: asyncio.Queue[signals.Estimate] = field(default_factory=asyncio.Queue)
    _converge: asyncio.Event = field(default_factory=asyncio.Event)
    _presence_noted: float = field(default_factory=time.monotonic)
    _presence_changed: asyncio.Event = field(default_factory=asyncio.Event)
    _wanted_bytes: int = ENOUGH_BYTES  # of the served tree, before it counts as usable

    def __post_init__(self) -> None:
        self.machine = Sessions(
            lost_after_s=self.options.lost_after_s, quarantine_after=self.options.quarantine_after
        )

    async def run(self) -> None:
        """Serve builders until cancelled."""
        await self._recall()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._work_off())
            group.create_task(self._tick())
            group.create_task(self._sweep())
            group.create_task(self._watch_presence())
            group.create_task(self._watch_tree())
            group.create_task(self._heed_queue())
            group.create_task(self._heed_receiver())
            group.create_task(self._heed_targets())
            group.create_task(self._estimate())

    async def order(self, command: OrderBuilders, who: str) -> Given:
        """Give an order to builders; returns which heed it, and why others do not."""
        objections = {
            label: self.machine.objection(command.order, label) for label in command.builders
        }
        obeyed = tuple(label for label, why in objections.items() if not why)
        await self._apply(
            signals.Ordered(
                command.order, obeyed, who, at_once=command.at_once, rolling=command.rolling
            )
        )
        refused = tuple((label, why) for label, why in objections.items() if why)
        return Given(obeyed=obeyed, refused=refused)

    async def pause(self, *, paused: bool) -> None:
        """Stop or resume handing out jobs, and remember it across restarts."""
        await self.db.retrying(
            lambda: settings.put_setting(self.db, PAUSED, "yes" if paused else "no")
        )
        await self._apply(signals.PauseChanged(paused))

    @property
    def served(self) -> frozenset[str]:
        """The targets of the builders that are there."""
        return frozenset(
            target for session in self.machine.sessions.values() for target in session.targets
        )

    @property
    def equipped(self) -> frozenset[str]:
        """The targets for which one of the builders that are there has a C compiler."""
        return frozenset(
            target
            for session in self.machine.sessions.values()
            if session.takes_jobs
            for target in session.targets
            if target not in session.lacking
        )

    @property
    def waits(self) -> str:
        """Why no builder gets a job, beside a pause; "" when they do."""
        return self.machine.waits

    @property
    def paused(self) -> bool:
        """Whether jobs are held back."""
        return self.machine.paused

    def builders(self, *, loads: bool = False) -> list[BuilderView]:
        """Every builder in view, by label; with `loads`, its load over the last minutes."""
        now = time.monotonic()
        return [self.machine.view(label, now, loads=loads) for label in self.machine.labels()]

    async def add_target(self, target: Target) -> bool:
        """Build for this target from now on; returns whether it is a new one.

        Raises:
            RefusedError: no interpreter can be such a target.
        """
        check_target(target)
        added = await self.db.retrying(lambda: catalog.add_target(self.db, target, self.rules))
        self.targets[target.name] = target
        self._converge.set()  # also when an earlier try added it, and its answer was lost
        if added:
            await self.tidings.note(f"target {target.name} was added")
        return added

    async def skip_target(self, target: str, reason: str | None) -> bool:
        """Build for a target no more, or again when the reason is None."""
        changed = await self.db.retrying(lambda: catalog.skip_target(self.db, target, reason))
        self._converge.set()
        return changed

    # --- in ---

    async def _recall(self) -> None:
        db = self.db
        await db.retrying(lambda: catalog.resolve_left(db, self.rules))
        every = await db.retrying(lambda: catalog.targets(db, skipped=True))
        self.targets = {target.name: target for target in every}
        self.machine.paused = await db.retrying(lambda: settings.setting(db, PAUSED)) == "yes"
        claims = await db.retrying(lambda: jobs.claims(db))
        now, clock = time.monotonic(), datetime.now(UTC)
        self.machine.orphans = {
            # A clock that was set back would have it begin after now.
            claim.builder: Orphan(
                claim.job,
                since=now,
                claimed=now - max((clock - claim.claimed_at).total_seconds(), 0.0),
            )
            for claim in claims
        }
        claimed = {claim.job.build for claim in claims}
        self.receiver.tidy(claimed)
        self.logs.tidy(claimed)
        await self._recall_records(now)

    async def _recall_records(self, now: float) -> None:
        """What builders did in the last hour, and which were asleep or quarantined."""
        db = self.db
        for ended in await db.retrying(lambda: history.ended_last_hour(db)):
            record = self.machine.records.setdefault(ended.builder, Record())
            record.ends.append((now - ended.age_s, ended.built))
        for label, value in (await db.retrying(lambda: settings.settings(db, _HELD))).items():
            held, _, reason = value.partition(" ")
            record = self.machine.records.setdefault(label, Record())
            record.held, record.held_reason = BuilderState(held), reason

    async def _listen(self) -> None:
        while True:
            envelope = await self.router.receive()
            try:
                await self._hear(envelope)
            except Exception as error:
                # A builder may say what nobody thought of: that ends no master.
                if isinstance(error, PiwheelsError) or is_database_fault(error):
                    raise
                await self._refuse_fault(envelope.peer, error)

    async def _hear(self, envelope: Envelope[FromBuilder]) -> None:
        peer, message = envelope.peer, envelope.message
        label = self.keys.name_of(Role.BUILDER, peer.key)
        if label is None:
            await self._turn_away(peer)
            return
        instance = message.instance if isinstance(message, Hello) else None
        rival = self._peers.heard(label, peer, time.monotonic(), instance)
        if rival is not None:
            await self._part(label, rival)
            if rival.peer is peer:
                return
        if not isinstance(message, Hello):
            await self._apply(signals.Received(label, message))
            if isinstance(message, Bye):
                self._peers.forget(label)  # its successor does not have to wait
        elif message.protocol != PROTOCOL:
            reason = f"{mismatch(message.protocol)} (the builder's is {message.version})"
            await self.router.send(peer, Refused(reason=reason, fatal=True))
        elif label in self.machine.sessions and self._needs_no_database(label, message):
            await self._greet(label, message)  # whatever the database is doing
        else:
            waiting = label in self._hellos
            self._hellos[label] = message
            if not waiting:
                await self._work.put(_Greeting(label))

    async def _refuse_fault(self, peer: Peer, error: Exception) -> None:
        """Answer a message that could not be handled; the traceback is logged."""
        name = type(error).__name__
        _faults.warning("a message of %s could not be handled", peer.key, fault=True)
        await self.router.send(peer, Refused(reason=f"the master failed: {name}; see its log"))

    async def _turn_away(self, peer: Peer) -> None:
        gone = self._peers.with_key(peer.key)
        for label in gone:
            await self._apply(signals.Revoked(label))
            self._peers.forget(label)
        if not gone:
            reason = "this builder's key is not on the master's list"
            await self.router.send(peer, Refused(reason=reason, fatal=True))

    async def _part(self, label: str, rival: Rival) -> None:
        """Refuse one of two builders that speak with one key."""
        why = f"another builder speaks with the key of {label}"
        if not rival.fatal:
            why += "; waiting until it has been silent for a while"
            await self.router.send(rival.peer, Refused(reason=why))
            return
        why += (
            "; give this one a key of its own: `piw key new NAME`, builder.key_name = NAME, and "
            "on the master `piw key allow NAME KEY`"
        )
        await self.router.send(rival.peer, Refused(reason=why, fatal=True))
        what = f"two builders speak with the key of {label}: the one that came last is refused"
        await self._work.put(_Note(what))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self.logs.sync()
            await self._apply(signals.Tick())

    async def _sweep(self) -> None:
        """See to deferred jobs, apart from the clock: a database that is away must not stop it."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            if await self.db.retrying(lambda: jobs.sweep(self.db)):
                await self._apply(signals.JobsWaiting())

    async def _watch_presence(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PRESENCE_S):
                    await self._presence_changed.wait()
            self._presence_changed.clear()
            await self._note_presence()

    async def _note_presence(self) -> None:
        """Note for which targets there are builders, and let jobs follow when that changed."""
        there = [item for item in self.machine.sessions.values() if item.takes_jobs]
        served = {target for session in there for target in session.targets}
        now = time.monotonic()
        elapsed_s, self._presence_noted = now - self._presence_noted, now
        if await self.db.retrying(
            lambda: catalog.note_presence(self.db, served, self.equipped, elapsed_s)
        ):
            self._converge.set()

    async def _watch_tree(self) -> None:
        """See whether the served tree takes files: without that no job is handed out."""
        publisher = self.receiver.publisher
        folders = (publisher.webroot.root, self.receiver.spool)
        while True:
            fault = await asyncio.to_thread(tree_fault, folders, self._wanted_bytes)
            await self._note_tree(fault)
            await asyncio.sleep(_TREE_RECHECK_S if fault else _TREE_CHECK_S)

    async def _note_tree(self, fault: str) -> None:
        known = self.machine.tree_fault
        if fault and not known:
            await self._apply(signals.TreeFailed(fault))
            await self._work.put(_Note(f"no jobs are handed out: {self.machine.waits}"))
        elif known and not fault:
            self._wanted_bytes = ENOUGH_BYTES
            await self._apply(signals.TreeRecovered())
            await self._work.put(_Note("the served tree takes files again: jobs are handed out"))

    async def _heed_queue(self) -> None:
        async for _ in self.db.notifications("jobs"):
            await self._apply(signals.JobsWaiting())

    async def _heed_receiver(self) -> None:
        while True:
            await self._work.put(await self.receiver.results.get())

    async def _heed_targets(self) -> None:
        """Let jobs follow changed targets; one left half-way by an earlier master is finished."""
        async with await self._connect("converge") as db:
            while True:
                await db.retrying(lambda: catalog.converge(db))
                await self._converge.wait()
                self._converge.clear()

    async def _estimate(self) -> None:
        """Say how long builds can take: on a connection of its own, for claims go first."""
        async with await self._connect("estimate") as db:
            while True:
                asked = await self._estimates.get()
                project = asked.job.project
                longest_s = await db.retrying(lambda: history.longest_build_s(db, project))  # noqa: B023
                await self._apply(signals.Estimated(asked.label, asked.job.build, longest_s))

    async def _connect(self, duty: str) -> Database:
        return await Database.connect(self.dsn, duty=duty, epoch=self.db.epoch, patience_s=math.inf)

    # --- out ---

    async def _apply(self, event: signals.Event) -> None:
        now = time.monotonic()
        for instruction in self.machine.handle(event, now):
            await self._carry_out(instruction, now)

    async def _carry_out(self, instruction: signals.Instruction, now: float) -> None:
        match instruction:
            case signals.Reply(label, message):
                if peer := self._peers.of(label):
                    await self.router.send(peer, message)
            case signals.Claim() | signals.Release() | signals.Settle() | signals.Keep():
                await self._work.put(instruction)
            case signals.Estimate():
                await self._estimates.put(instruction)
            case signals.KeepLog(build, offset, data):
                self.logs.append(build, offset, data)
            case signals.Drop(build):
                self.receiver.drop(build)
            case signals.Take(label, job, built):
                await self.receiver.expect(label, job, built, self.targets[job.target])
            case signals.Changed() | signals.Started() | signals.Lost() | signals.Gone():
                await self._tell(instruction, now)

    async def _tell(
        self, news: signals.Changed | signals.Started | signals.Lost | signals.Gone, now: float
    ) -> None:
        match news:
            case signals.Changed(label):
                self._tell_builder(label, now)
            case signals.Started(label, job):
                self.logs.begin(job.build)
                self.tidings.started(label, job)
            case signals.Lost(label, reason):
                self._tell_builder(label, now)
                await self._work.put(_Note(f"builder {label} is lost: {reason}"))
            case signals.Gone(label, reason):
                self.tidings.gone(label)
                if reason and self._is_news(label):
                    await self._work.put(_Note(f"builder {label} left: {reason}"))

    def _tell_builder(self, label: str, now: float) -> None:
        if self.machine.in_view(label):
            self.tidings.builder(self.machine.view(label, now), now)

    async def _work_off(self) -> None:
        while True:
            await self._do(await self._work.get())

    async def _do(self, task: _Work) -> None:
        match task:
            case _Greeting(label):
                await self._greeted(label, self._hellos.pop(label))
            case _Note(what):
                await self.tidings.note(what)
            case signals.Keep():
                await self._keep(task)
            case signals.Claim():
                await self._claim(task)
            case signals.Release(label, build):
                await self._release(label, build)
            case signals.Settle():
                await self._settle_any(task, ())
            case Received():
                await self._settle_any(task, task.files)
            case NotKept(label, job, reason, size_bytes):
                # The wheel lies in the spool and in the tree at the same time.
                self._wanted_bytes = max(self._wanted_bytes, 2 * size_bytes)
                await self._note_tree(reason)
                await self._apply(signals.NotStored(label, job.build, reason))

    async def _greeted(self, label: str, hello: Hello) -> None:
        try:
            await self._add_targets(label, hello)
            await self._welcome(label, hello)
        except RefusedError as error:
            await self._refuse(label, str(error))
        except Exception as error:
            if isinstance(error, PiwheelsError) or is_database_fault(error):
                raise
            if peer := self._peers.of(label):
                await self._refuse_fault(peer, error)

    async def _add_targets(self, label: str, hello: Hello) -> None:
        """Add those of a builder's targets that the farm does not have.

        Raises:
            RefusedError: no interpreter can be such a target, or there are too many.
        """
        added = self._added.setdefault(label, set())
        for target in hello.targets:
            if target.name in self.targets:
                continue
            if len(added) >= MOST_TARGETS or len(self.targets) >= _MOST_FARM_TARGETS:
                raise RefusedError(
                    f"{target.name} is one target too many: a builder adds at most {MOST_TARGETS}, "
                    f"and a farm has at most {_MOST_FARM_TARGETS}; name fewer interpreters in "
                    "builder.python"
                )
            await self.add_target(target)
            added.add(target.name)

    async def _welcome(self, label: str, hello: Hello) -> None:
        known = label in self.machine.sessions
        await self._greet(label, hello, await self._reclaim(label, hello))
        if not known and self._is_news(label):
            await self.tidings.note(
                f"builder {label} joined: {', '.join(t.name for t in hello.targets)}"
            )

    def _is_news(self, label: str) -> bool:
        """Whether a builder's coming or going is kept in the event list, once more."""
        allowance = self._presence_notes.setdefault(label, Allowance(_MOST_PRESENCE_NOTES, _HOUR_S))
        return allowance.allows(time.monotonic())

    def _needs_no_database(self, label: str, hello: Hello) -> bool:
        """Whether a builder says nothing that has to be looked up."""
        known = all(target.name in self.targets for target in hello.targets)
        return known and not (hello.busy and self.machine.may_reclaim(label, hello.busy))

    async def _greet(self, label: str, hello: Hello, reclaimed: Job | None = None) -> None:
        log_bytes = self.logs.size(hello.busy) if hello.busy is not None else 0
        await self._apply(signals.Received(label, hello, log_bytes, reclaimed))
        self._presence_changed.set()

    async def _reclaim(self, label: str, hello: Hello) -> Job | None:
        """The job of a build that was lost, or given back, and that nobody else has taken."""
        build = hello.busy
        if not build or not self.machine.may_reclaim(label, build):
            return None
        job = await self.db.retrying(lambda: jobs.reclaim(self.db, label, build))
        if job is not None:
            what = f"{job.project} {job.version} for {job.target}"
            await self.tidings.note(f"builder {label} is back, and keeps build {build}: {what}")
        return job

    async def _refuse(self, label: str, reason: str) -> None:
        log.warning("refused the builder %s: %s", label, reason)
        if peer := self._peers.of(label):
            await self.router.send(peer, Refused(reason=reason, fatal=True))

    async def _keep(self, keep: signals.Keep) -> None:
        value = f"{keep.held} {keep.reason}" if keep.held else None
        key = f"{_HELD}{keep.label}"
        await self.db.retrying(lambda: settings.put_setting(self.db, key, value))
        if keep.held is BuilderState.QUARANTINED:
            wake = f"`piw wake {keep.label}` lets it go on"
            await self.tidings.note(f"builder {keep.label} is quarantined: {keep.reason}; {wake}")

    async def _claim(self, claim: signals.Claim) -> None:
        job = await self.db.retrying(lambda: self._claim_anew(claim))
        await self._apply(signals.Claimed(claim.label, job))

    async def _claim_anew(self, claim: signals.Claim) -> Job | None:
        # The answer to an earlier try can have been lost with the connection.
        await jobs.release_all(self.db, claim.label)
        return await jobs.claim(
            self.db, claim.label, claim.targets, claim.lacking, self.machine.fitness(claim.label)
        )

    async def _release(self, label: str, build: int) -> None:
        if await self.db.retrying(lambda: jobs.release(self.db, label, build)):
            self.logs.forget(build)

    async def _settle_any(
        self, ended: signals.Settle | Received, files: tuple[WheelFile, ...]
    ) -> None:
        """Record how a build ended; as refused, if what its builder said cannot be recorded."""
        try:
            await self._settle(_build(ended), files)
        except Exception as error:
            if isinstance(error, PiwheelsError) or is_database_fault(error):
                raise
            job, name = ended.job, type(error).__name__
            _faults.warning("build %d of %s cannot be recorded", job.build, ended.label, fault=True)
            reason = f"the master failed: {name}; see its log"
            refused = signals.Settle(ended.label, job, Outcome.REFUSED, reason, 0.0)
            await self._settle(_build(refused), ())

    async def _settle(self, build: Build, files: tuple[WheelFile, ...]) -> None:
        await asyncio.to_thread(self.logs.finish, build.build)
        stored = await self.db.retrying(
            lambda: jobs.settle_by(
                self.db, build, files, self.rules, lambda past: self._decide(build, past)
            )
        )
        if stored:
            self.tidings.ended(build, files)
        await self._apply(signals.Settled(build.builder, build.build, build.outcome, stored))

    def _decide(self, build: Build, past: Sequence[PastFailure]) -> Disposition:
        if build.failure is None:
            return policy.FINAL
        failure = policy.Failure(
            kind=build.failure,
            builder=build.builder,
            evidence=build.evidence,
            attempt=build.attempt,
            past=past,
            others=self.machine.another_serves(build.builder, build.target),
            largest_memory_bytes=self.machine.largest_memory_bytes(build.target),
        )
        options = policy.Options(
            retry_delay_s=self.options.retry_delay_s, max_attempts=self.options.max_attempts
        )
        return policy.decide(failure, options)


def _build(ended: signals.Settle | Received) -> Build:
    job = ended.job
    told = ended.built if isinstance(ended, Received) else ended
    return Build(
        build=job.build,
        project=job.project,
        version=job.version,
        target=job.target,
        builder=ended.label,
        outcome=ended.outcome,
        reason=one_line(ended.reason, LONGEST_REASON),
        started_at=datetime.now(UTC) - timedelta(seconds=told.duration_s),
        duration_s=told.duration_s,
        attempt=job.attempt,
        inputs=told.inputs,
        lacking=told.lacking,
        failure=told.failure or policy.class_of(ended.outcome),
        evidence=told.evidence,
    )
