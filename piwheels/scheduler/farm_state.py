"""What is known about all builders, and what follows from it. No I/O and no clock."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from msgspec.structs import replace

from piwheels.model import BuilderCapability, ReproductionJob
from piwheels.protocol.messages import BuilderCommand, BuilderView
from piwheels.scheduler import builder_capabilities, reasons
from piwheels.scheduler.builder_record import BuilderRecord, LostBuilder, OrphanedClaim, Session
from piwheels.scheduler.ended_builders import ON_DEMAND_RETENTION_S, EndedBuilder
from piwheels.scheduler.index_outage import IndexOutage
from piwheels.scheduler.long_builds import LongBuilds, LongLoad

#: What builders say of themselves must not fill the memory.
_MAX_ON_DEMAND = 1_000


@dataclass(slots=True)
class FarmState:
    """All builders, and what keeps jobs from them. Times are seconds of one monotonic clock.

    Attributes:
        builder_timeout_s: a builder that is silent for longer is lost.
        quarantine_after: consecutive builds that fail because of the builder before it gets no
            more jobs; 0 is never.
        orphans: the claims that the database held when the master started, by label.
        records: what is known of builders beyond their sessions, by label.
        web_root_fault: why no wheel can be published; "" when they can.
        required_packages: the Debian packages without which some jobs cannot be built.
        memory_with_packages: by target, for combinations of them, the largest memory limit, in
            bytes, of the builders that have or add them, where that is less than the target's.
        on_demand: of the builders that were started on demand and have left within an hour, one for
            each set of targets and amount of memory: such a one can be started again.
        pools: of builders that can be started on demand, the patterns of their targets, and how
            much memory they give a build, in bytes.
        long_builds: which claims leave long jobs to other builders.
        now: the time of the last event.
    """

    builder_timeout_s: float
    quarantine_after: int = 3
    paused: bool = False
    orphans: dict[str, OrphanedClaim] = field(default_factory=dict)
    records: dict[str, BuilderRecord] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    lost: dict[str, LostBuilder] = field(default_factory=dict)
    ended: dict[str, EndedBuilder] = field(default_factory=dict)
    web_root_fault: str = ""
    outage: IndexOutage = field(default_factory=IndexOutage)
    required_packages: frozenset[str] = frozenset()
    memory_with_packages: dict[str, dict[tuple[str, ...], int]] = field(default_factory=dict)
    on_demand: dict[tuple[tuple[str, ...], int], Session] = field(default_factory=dict)
    pools: tuple[tuple[tuple[str, ...], int], ...] = ()
    long_builds: LongBuilds = field(default_factory=LongBuilds)
    now: float = 0.0

    def rejection_reason(self, command: BuilderCommand, label: str) -> str:
        """Why a command does not apply to a builder; "" when it does."""
        if label in self.lost:
            return reasons.IS_LOST
        if label in self.ended:
            return reasons.HAS_ENDED
        session = self.sessions.get(label)
        if session is None:
            return reasons.NOT_CONNECTED
        if command is BuilderCommand.CANCEL_BUILD and session.job is None:
            return reasons.NO_RUNNING_BUILD
        return ""

    def labels(self) -> list[str]:
        """Every builder that is connected, or was lost or ended a while ago, in order."""
        return sorted(self.sessions.keys() | self.lost.keys() | self.ended.keys())

    def is_known(self, label: str) -> bool:
        """Whether a builder is connected, or was lost or ended a while ago."""
        return label in self.sessions or label in self.lost or label in self.ended

    def view(self, label: str, now: float, *, load_history: bool = False) -> BuilderView:
        """How a known builder is shown to operators."""
        if label in self.lost:
            return self.lost[label].view(now)
        if label in self.ended:
            return self.ended[label].view(now)
        return self.sessions[label].view(now, paused=self.paused, load_history=load_history)

    @property
    def no_jobs_reason(self) -> str:
        """Why no builder gets a job, apart from a pause; "" when they do."""
        if self.web_root_fault:
            return reasons.web_root_fault(self.web_root_fault)
        if self.outage.reason:
            return reasons.index_unreachable(self.outage.reason)
        return ""

    def fitness(self, label: str) -> BuilderCapability:
        """What a builder can do, compared with the others that could take its jobs."""
        session = self.sessions.get(label)
        if session is None:
            return BuilderCapability()
        largest_memory = self.largest_memory_bytes(session.targets)
        found = builder_capabilities.capability(
            session, self.sessions.values(), largest_memory, self.memory_with_packages
        )
        available = tuple(sorted(self.required_packages & session.installed_packages))
        return replace(found, available_packages=available)

    def long_load(self, label: str) -> LongLoad:
        """What a builder's claim has to know of the long builds of the others."""
        builders: Counter[str] = Counter()
        long_elsewhere: Counter[str] = Counter()
        building: set[str] = set()
        for session in self.sessions.values():
            job = session.job
            if job is not None or session.can_take_jobs(self.now):
                builders.update(session.targets)
            if job is None or session.label == label or not session.has_long_build(self.now):
                continue
            long_elsewhere.update(session.targets)
            if not isinstance(job, ReproductionJob):  # the queue has no job less for that
                building.add(job.target)
        return LongLoad(builders, long_elsewhere, building)

    def can_supply(self, target: str, packages: Collection[str]) -> bool:
        """Whether a builder that is connected, or can be started again, has or adds packages."""
        sessions = (*self.sessions.values(), *self.on_demand.values())
        return any(session.can_supply(target, packages) for session in sessions)

    def note_required_packages(self, combinations: Collection[tuple[str, tuple[str, ...]]]) -> None:
        """Jobs of these targets need these packages."""
        self.required_packages = frozenset(name for _, names in combinations for name in names)
        largest = self.largest_memory_bytes({target for target, _ in combinations})
        self.memory_with_packages = {target: {} for target in largest}
        for target, packages in combinations:
            memory = self.memory_bytes_with(target, packages)
            if memory is not None and memory < largest[target]:
                self.memory_with_packages[target][packages] = memory

    def memory_bytes_with(self, target: str, packages: Collection[str]) -> int | None:
        """The largest memory limit of the builders that have or add packages; None without any.

        As `max_memory_bytes`, of those alone.
        """
        lost = (gone.session for gone in self.lost.values())
        known = [
            each for each in (*self.sessions.values(), *lost) if each.can_supply(target, packages)
        ]
        started = [each for each in self.on_demand.values() if each.can_supply(target, packages)]
        if not known and not started:
            return None
        pools = self._memory_in_pools(target) if started else []
        memory = builder_capabilities.memory_by_target(known).get(target, 0)
        on_demand = builder_capabilities.memory_by_target(started).get(target, 0)
        return max(memory, *(pools or [on_demand]))

    def has_packages(self, label: str, packages: Collection[str]) -> bool:
        """Whether a builder's own system has these packages."""
        session = self.sessions.get(label)
        return session is not None and session.installed_packages.issuperset(packages)

    def max_memory_bytes(self, target: str) -> int:
        """The largest memory limit, in bytes, of the builders that serve a target, lost or not.

        Those that can be started on demand count as well: by their pools where these are known.
        """
        return self.largest_memory_bytes((target,))[target]

    def largest_memory_bytes(self, targets: Iterable[str]) -> dict[str, int]:
        """Likewise, by target."""
        lost = (gone.session for gone in self.lost.values())
        known = builder_capabilities.memory_by_target((*self.sessions.values(), *lost))
        started = builder_capabilities.memory_by_target(self.on_demand.values())
        return {
            name: max(known.get(name, 0), *(self._memory_in_pools(name) or [started.get(name, 0)]))
            for name in targets
        }

    def _memory_in_pools(self, target: str) -> list[int]:
        return [
            memory
            for patterns, memory in self.pools
            if any(fnmatchcase(target, pattern) for pattern in patterns)
        ]

    @property
    def seen_targets(self) -> frozenset[str]:
        """The targets of all builders that are connected, or can be started again."""
        sessions = (*self.sessions.values(), *self.on_demand.values())
        return frozenset(name for session in sessions for name in session.targets)

    @property
    def on_demand_disk_bytes(self) -> dict[str, int]:
        """The most disk of a job that is left to a builder that was started on demand, by target.

        Without targets where each job can be, or where no free disk of such a builder is known.
        """
        seen = (*self.sessions.values(), *self.on_demand.values())
        started = [each for each in seen if each.hello.on_demand]
        most: dict[str, int] = {}
        for session in started:
            for name in session.targets:
                most[name] = max(most.get(name, 0), session.free_disk_bytes)
        there = builder_capabilities.free_disk(most, self.sessions.values())
        return {
            name: disk
            for name, disk in most.items()
            if name in there and disk < there[name].second_bytes
        }

    def remember_on_demand(self, session: Session) -> None:
        """A builder that was started on demand is gone: remember what such a one can do."""
        if session.hello.on_demand:
            key = (session.targets, session.hello.memory_limit_bytes)
            self.on_demand.pop(key, None)  # the order is that in which they left
            self.on_demand[key] = session
            if len(self.on_demand) > _MAX_ON_DEMAND:
                del self.on_demand[next(iter(self.on_demand))]

    def forget_on_demand(self, now: float) -> None:
        """Forget what builders could do that were started on demand and left long ago."""
        for key, session in list(self.on_demand.items()):
            if now - session.last_message_at > ON_DEMAND_RETENTION_S:
                del self.on_demand[key]

    def largest_limits(self, target: str) -> tuple[int, int]:
        """The most processes and the largest file, in bytes, that builds for a target may have."""
        serving = [each.hello for each in self.sessions.values() if target in each.targets]
        return (
            max((hello.process_limit for hello in serving), default=0),
            max((hello.file_limit_bytes for hello in serving), default=0),
        )

    def has_other_builder(self, label: str, target: str) -> bool:
        """Whether a builder other than this one serves a target."""
        sessions = self.sessions.values()
        return bool(builder_capabilities.other_builders(label, target, sessions))

    def can_reclaim(self, label: str, build: int) -> bool:
        """Whether a builder that is back with a build may get its job again."""
        session, orphan = self.sessions.get(label), self.orphans.get(label)
        has = session is not None and session.is_building(build)
        waits = orphan is not None and orphan.job.build_id == build
        record = self.records.get(label)
        return not has and not waits and (record is None or record.suspension is None)

    def why_no_job(self, session: Session) -> str:
        """Why a builder gets no job now; "" when it may have one."""
        if session.shutdown is not None:
            return session.shutdown.reason
        record = session.record
        if record.suspension is not None and not record.is_canary_due(self.now):
            return str(record.suspension)
        if self.paused:
            return reasons.FARM_PAUSED
        if self.web_root_fault:
            return self.no_jobs_reason
        if full := session.disk_full_reason():
            return full
        if self.now < session.record.backoff_until:
            return session.record.backoff_reason
        probe = self.sessions.get(self.outage.probing_builder)
        probing = probe is not None and probe.job is not None
        return self.no_jobs_reason if self.outage.blocks_jobs(self.now, probing=probing) else ""
