"""The state of a simulated farm, and how it changes: time in, events out. No I/O."""

import math
import random
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from piwheels.alerts.reading import Facts
from piwheels.alerts.tracker import AlertTracker, Moment
from piwheels.model import (
    AuditEvent,
    BuildHistory,
    BuildSummary,
    HostMetrics,
    LiveDownloads,
    NamedCount,
    Outcome,
    QueueStatus,
    TargetResults,
)
from piwheels.protocol.messages import (
    AlertsChanged,
    BuilderChanged,
    BuilderRemoved,
    BuilderState,
    Event,
    Snapshot,
    StatusChanged,
    StatusReply,
)
from tests.simfarm import scenario_builders
from tests.simfarm.machine import GIB, LOADS, SimBuild, SimBuilder
from tests.simfarm.standing_failures import standing_builds

PULSE_S = 2.0
_KEPT = 200  # builds and events in a snapshot
#: The states that a farm of a dozen builders or more has at least once, and keeps.
SPECIAL_STATES = (
    BuilderState.LOST,
    BuilderState.QUARANTINED,
    BuilderState.OVERDUE,
    BuilderState.SILENT,
    BuilderState.ASLEEP,
)
#: The seventeenth builder (pi017) is hot, throttled and slow.
HOT_PLACE = 16
#: A builder that is restarted is back after so long.
RESTART_S = 5.0
#: At the start, what is wrong has been so for this long.
TROUBLE_S = 2 * 3600.0


class FarmModel:
    """A farm from a seed: the same seed and the same steps give the same events."""

    def __init__(
        self,
        *,
        builders: int = 50,
        seed: int = 0,
        build_s: float = 30.0,
        fail_share: float = 0.2,
        downloads: bool = True,
        odd: bool = True,
        idle: bool = False,
        began: datetime | None = None,
    ) -> None:
        """A farm at its start.

        Args:
            build_s: how long a build takes on average.
            odd: some builders are lost, overdue, ...
            idle: the farm is paused, and no build is running.
        """
        self.dice = random.Random(seed)
        self.time = began or datetime.now(UTC)
        self.instance = self._new_instance()
        self.uptime_s = 0.0
        self.paused = idle
        self.paused_at = self.time if idle else None
        self.build_s = build_s
        self.fail_share = fail_share
        self.downloads = downloads
        self.builds: deque[BuildSummary] = deque(maxlen=_KEPT)
        self.events: deque[AuditEvent] = deque(maxlen=_KEPT)
        self.failed_builds: dict[int, bool] = {}
        self.retried: set[tuple[str, str, str]] = set()  # releases for targets
        self.hour: dict[str, int] = {}
        self.built_of: dict[str, int] = {}
        self._recent: deque[tuple[datetime, str, str]] = deque()  # the builds that these count
        self.pending = {stage.target: 20 + self.dice.randrange(2000) for stage in self._stages()}
        self._next_build = 1000
        self._next_event = 1
        self._pulse_in_s = PULSE_S
        self._served_today = 90_000
        self.alerts = AlertTracker()
        self.has_odd_builders = odd and builders >= 12
        #: What has failed for days; it is not among the last builds.
        self.standing = list(standing_builds(self.time)) if self.has_odd_builders else []
        self.failed_builds |= {build.build_id: True for build in self.standing}
        self.operator = scenario_builders.OPERATORS[0]  # who sent the last command
        self.machines = {
            machine.label: machine for machine in self._make(builders, odd=self.has_odd_builders)
        }
        if self.has_odd_builders:
            self._count_the_hour_before()
        for _ in range(40):
            self._settle_past()
        for past_s in (-TROUBLE_S, 0.0):
            self.update_alerts(past_s)

    # --- construction ---

    def _new_instance(self) -> str:
        return f"{self.dice.getrandbits(64):016x}"

    @staticmethod
    def _stages() -> tuple[scenario_builders.SimTarget, ...]:
        return (*scenario_builders.SIM_TARGETS, scenario_builders.UNSERVED_TARGET)

    def _make(self, number: int, *, odd: bool) -> Iterator[SimBuilder]:
        for place in range(number):
            dice = random.Random(self.dice.getrandbits(32))
            first = scenario_builders.SIM_TARGETS[place % len(scenario_builders.SIM_TARGETS)]
            served = [stage for stage in scenario_builders.SIM_TARGETS if stage.arch == first.arch]
            machine = SimBuilder(
                label=f"pi{place + 1:03}",
                targets=(first, *(stage for stage in served if stage != first))[: 1 + place % 2],
                board=scenario_builders.BOARDS[place % len(scenario_builders.BOARDS)],
                rng=dice,
                temperature=dice.uniform(42, 70),
                disk_free=dice.randrange(8 * GIB, 50 * GIB),
            )
            for _ in range(LOADS):
                machine.drift()
                machine.loads.append(round(machine.load, 2))
            machine.uptime_s = dice.uniform(1, 40) * 86_400
            machine.clock_offset_s = round(dice.uniform(-0.4, 0.4), 1)
            if odd and place == HOT_PLACE:
                machine.make_hot()
            role = place % max(12, min(number, 100))
            if odd and role < len(SPECIAL_STATES):
                self._make_odd(machine, SPECIAL_STATES[role])
            elif not self.paused:
                self._start(machine)
                if machine.build:
                    machine.build.advance(dice.uniform(0, machine.build.total_s * 0.9))
            yield machine

    def _make_odd(self, machine: SimBuilder, state: BuilderState) -> None:
        machine.fixed_state = state
        if state in {BuilderState.OVERDUE, BuilderState.SILENT}:
            self._start(machine)
        if machine.build:
            machine.build.advance(machine.build.total_s / 2)
        if machine.build and state is BuilderState.OVERDUE:
            machine.build.phase, machine.build.spent_s, machine.build.phase_s = "building", 900, 880
        if state is BuilderState.LOST:
            machine.state_s, machine.silent_s = TROUBLE_S, TROUBLE_S + 360.0
        if state is BuilderState.SILENT:
            machine.silent_s = 45.0
        if state is BuilderState.QUARANTINED:
            machine.failed = 7

    def _settle_past(self) -> None:
        machine = self.dice.choice(list(self.machines.values()) or [None])
        if machine is None or machine.fixed_state is not None:
            return
        project, version = self.dice.choice(scenario_builders.PROJECTS)
        task = SimBuild(self._number(), project, version, machine.targets[0].target, self.build_s)
        task.spent_s, task.fails = self.build_s, self.dice.random() < self.fail_share
        self._record(machine, task)

    # --- state ---

    def snapshot(self) -> Snapshot:
        """The whole state."""
        return Snapshot(
            status=self.status(builders=True),
            builds=tuple(reversed(self.builds)),
            events=tuple(reversed(self.events)),
        )

    def status(self, *, builders: bool = True) -> StatusReply:
        """The status of the farm."""
        there = [it for it in self.machines.values() if it.away_s is None or it.ended]
        there = there if builders else []
        return StatusReply(
            version="1.0 (simulated)",
            instance=self.instance,
            uptime_s=self.uptime_s,
            paused=self.paused,
            paused_by=self.operator if self.paused else "",
            paused_at=self.paused_at,
            builders=tuple(machine.view(self.paused, loads=True) for machine in there),
            alerts=self.alerts.alerts if builders else (),
            queues=tuple(self._queue(stage) for stage in self._stages()),
            last_hour=dict(self.hour),
            build_history=self._build_history(),
            index_url="http://wheels.example.org/simple/",
            projects=311_000,
            releases=3_400_000,
            files=2_950_000 + len(self.builds),
            files_bytes=3_300 * GIB,
            builds=self._next_build,
            stale_pages=int(self.uptime_s) % 40,
            oldest_page_at=self.time - timedelta(seconds=self.uptime_s % 40),
            database_bytes=9 * GIB,
            host=HostMetrics(
                load=1.4, memory_total=16 * GIB, memory_free=9 * GIB, swap_total=2 * GIB,
                swap_free=2 * GIB, disk_total=4000 * GIB, disk_free=610 * GIB, temperature=51.5, cores=4,
            ),
            upstream_status_text="followed to serial 31415926",
            upstream_lag_s=12.0,
            downloads=self._downloads(),
        )  # fmt: skip

    @property
    def all_builds(self) -> list[BuildSummary]:
        """The builds that failures are grouped of, the oldest first."""
        return [*self.standing, *self.builds]

    def present(self) -> list[SimBuilder]:
        """The builders that are connected."""
        return [machine for machine in self.machines.values() if machine.away_s is None]

    def _queue(self, stage: scenario_builders.SimTarget) -> QueueStatus:
        target = stage.target
        there = self.present()
        tasks = [machine.build for machine in there if machine.build]
        return QueueStatus(
            target=target,
            abi=stage.abi,
            platform=stage.platform,
            pending=self.pending[target],
            claimed=sum(task.target == target for task in tasks),
            deferred=self.pending[target] // 50,
            built_last_hour=self.built_of.get(target, 0),
            oldest_s=float(self.pending[target]) * 11,
            has_builder=any(stage in machine.targets for machine in there),
        )

    def _build_history(self) -> BuildHistory:
        """Two days with a night each, the same at each start."""
        built = [round(400 + 90 * math.sin(hour / 24 * math.tau)) for hour in range(47)]
        failed = [
            round(number * (0.05 + 0.03 * (place > 30))) for place, number in enumerate(built)
        ]
        last = self.hour.get("built", 0), self.hour.get("failed", 0)
        return BuildHistory(built=(*built, last[0]), failed=(*failed, last[1]))

    def _downloads(self) -> LiveDownloads:
        if not self.downloads:
            return LiveDownloads()
        dice = random.Random(int(self.uptime_s))
        return LiveDownloads(
            connected=True,
            total=512_000_000 + self._served_today,
            today=self._served_today,
            yesterday=812_400,
            yesterday_by_now=self._served_today * 19 // 20,
            last_30_days=14_000_000,
            record_day=1_060_767,
            record_date="2022-10-05",
            rate_per_s=round(dice.uniform(8, 16), 1),
            per_minute=tuple(dice.randrange(400, 1000) for _ in range(60)),
            top=_counts(
                [project for project, _ in scenario_builders.PROJECTS[:10]], self._served_today // 9
            ),
            architectures=_counts(scenario_builders.ARCHITECTURES, self._served_today // 2),
            pythons=_counts(scenario_builders.PYTHONS, self._served_today // 2),
            installers=_counts(scenario_builders.INSTALLERS, self._served_today // 2),
        )

    # --- time ---

    def step(self, by_s: float) -> list[Event]:
        """Let so much time pass; every builder is another afterwards."""
        self.time += timedelta(seconds=by_s)
        self.uptime_s += by_s
        self._served_today += int(12 * by_s) + 1
        self._forget_older_than_an_hour()
        events: list[Event] = []
        for machine in self.machines.values():
            events += self._step(machine, by_s)
        self._pulse_in_s -= by_s
        if self._pulse_in_s <= 0:
            self._pulse_in_s = PULSE_S
            events.append(self.pulse())
            events += self.update_alerts()
        return events

    def _step(self, machine: SimBuilder, by_s: float) -> Iterator[Event]:
        if machine.away_s is not None:
            machine.away_s -= by_s
            if machine.away_s > 0:
                return
            machine.away_s, machine.draining, machine.restarts = None, False, False
            targets = ", ".join(stage.target for stage in machine.targets)
            yield self.note("master", f"builder {machine.label} joined: {targets}")
        machine.uptime_s += by_s
        if machine.is_hot:
            machine.throttled_s += by_s
        if machine.fixed_state in {BuilderState.LOST, BuilderState.SILENT}:
            machine.silent_s += by_s
        else:
            machine.drift()
            machine.loads.append(round(machine.load, 2))
        yield from self._work(machine, by_s)
        if machine.draining and machine.build is None:
            yield from self._leave(machine, "restarted" if machine.restarts else "drained")
        else:
            yield BuilderChanged(builder=machine.view(self.paused))

    def _work(self, machine: SimBuilder, by_s: float) -> Iterator[Event]:
        task = machine.build
        if task is not None:
            if machine.fixed_state is BuilderState.OVERDUE:
                task.spent_s, task.phase_s = task.spent_s + by_s, task.phase_s + by_s
            elif machine.fixed_state is not BuilderState.SILENT:
                task.advance(by_s)
            if task.spent_s >= task.total_s and machine.fixed_state is None:
                machine.build, machine.idle_s = None, 1.0
                yield self._record(machine, task)
        elif machine.fixed_state is None and not machine.draining:
            machine.idle_s -= by_s
            if machine.idle_s <= 0 and not self.paused:
                self._start(machine)

    def _leave(self, machine: SimBuilder, what: str) -> tuple[Event, Event]:
        """As the master does: one that restarts is not listed, any other as ended."""
        machine.away_s = RESTART_S if machine.restarts else math.inf
        machine.build = None
        reason = f"{what} by {self.operator}"
        left = self.note("master", f"builder {machine.label} left: {reason}")
        if machine.restarts:
            return BuilderRemoved(label=machine.label), left
        machine.ended, machine.state_s = reason, 0.0
        return self._changed(machine), left

    def _start(self, machine: SimBuilder) -> None:
        open_ones = [stage.target for stage in machine.targets if self.pending[stage.target]]
        if not open_ones:
            return
        target = machine.rng.choice(open_ones)
        self.pending[target] -= 1
        project, version = machine.rng.choice(scenario_builders.PROJECTS)
        machine.build = SimBuild(
            self._number(),
            project,
            version,
            target,
            total_s=machine.rng.uniform(0.5, 1.5) * self.build_s,
            fails=machine.rng.random() < self.fail_share,
        )

    def _record(self, machine: SimBuilder, task: SimBuild, outcome: str = "") -> BuildSummary:
        detail = f"{task.project}-{task.version}-{task.target.partition('-')[0]}-linux.whl"
        if not outcome and task.fails:
            outcome, detail = machine.rng.choice(scenario_builders.FAILURES)
        ended = BuildSummary(
            ended_at=self.time,
            builder=machine.label,
            build_id=task.build,
            project=task.project,
            version=task.version,
            target=task.target,
            outcome=Outcome(outcome or "built"),
            duration_s=task.spent_s,
            reason="" if outcome == "canceled" else detail,
        )
        self.builds.append(ended)
        self.failed_builds[task.build] = ended.outcome != "built"
        self._count(self.time, ended.outcome, task.target)
        if ended.outcome == "built":
            machine.built += 1
        else:
            machine.failed += 1
        return ended

    def _count(self, at: datetime, outcome: str, target: str) -> None:
        """Count a build in the last hour."""
        self._recent.append((at, outcome, target))
        self.hour[outcome] = self.hour.get(outcome, 0) + 1
        if outcome == "built":
            self.built_of[target] = self.built_of.get(target, 0) + 1

    def _forget_older_than_an_hour(self) -> None:
        while self._recent and self._recent[0][0] < self.time - timedelta(hours=1):
            _, outcome, target = self._recent.popleft()
            self.hour[outcome] -= 1
            if outcome == "built":
                self.built_of[target] -= 1

    def _count_the_hour_before(self) -> None:
        """What a farm of its size builds in an hour, as its series say."""
        targets = [stage.target for stage in scenario_builders.SIM_TARGETS]
        number = len(self.machines) * 8
        for place in range(number):
            at = self.time - timedelta(hours=1) * (1 - place / number)
            outcome = "failed" if place % 12 == 0 else "built"
            self._count(at, outcome, targets[place % len(targets)])

    def _number(self) -> int:
        self._next_build += 1
        return self._next_build

    def pulse(self) -> StatusChanged:
        """The status of the farm, without its builders."""
        return StatusChanged(status=self.status(builders=False))

    def update_alerts(self, later_s: float = 0.0) -> list[Event]:
        """Apply the rules of alerts; returns the event if that changed any."""
        now = self.time + timedelta(seconds=later_s)
        facts = Facts(status=self.status(builders=True), cores=4, results=self._results())
        if not self.alerts.update(facts, Moment(now, now.timestamp())):
            return []
        return [AlertsChanged(alerts=self.alerts.alerts)]

    def _results(self) -> dict[str, TargetResults]:
        """The week of each target; on a farm with odd builders, one fails more than usual."""
        usual = TargetResults(built=91, failed=9, built_before=9100, failed_before=900)
        results = {stage.target: usual for stage in self._stages()}
        if self.has_odd_builders:
            first = scenario_builders.SIM_TARGETS[0].target
            results[first] = replace(usual, built=69, failed=31)
        return results

    def note(self, who: str, what: str, outcome: str = "") -> AuditEvent:
        """Somebody did something."""
        event = AuditEvent(
            event_id=self._next_event, at=self.time, who=who, text=what, outcome=outcome
        )
        self._next_event += 1
        self.events.append(event)
        return event

    def restart(self) -> None:
        """The master is another from now on; builders keep their builds."""
        self.instance = self._new_instance()
        self.uptime_s = 0.0
        self.paused, self.paused_at = False, None

    # --- commands ---

    def pause(self, *, paused: bool) -> list[Event]:
        """Stop assigning jobs, or start again."""
        self.paused, self.paused_at = paused, self.time if paused else None
        return [self.pulse(), *(self._changed(machine) for machine in self.present())]

    def sleep(self, labels: Iterable[str], *, immediately: bool) -> list[Event]:
        """Send builders to sleep."""
        events: list[Event] = []
        for machine in self._named(labels):
            if immediately:
                events += self._drop(machine)
            machine.fixed_state = BuilderState.ASLEEP
            events.append(self._changed(machine))
        return events

    def wake(self, labels: Iterable[str]) -> list[Event]:
        """Wake builders."""
        events: list[Event] = []
        for machine in self._named(labels):
            machine.fixed_state, machine.silent_s = None, 0.0
            events.append(self._changed(machine))
        return events

    def cancel_builds(self, labels: Iterable[str]) -> list[Event]:
        """Cancel the running builds."""
        events: list[Event] = []
        for machine in self._named(labels):
            machine.idle_s = 1.0
            events += [*self._drop(machine), self._changed(machine)]
        return events

    def drain(self, labels: Iterable[str], *, restart: bool) -> list[Event]:
        """End builders after their running builds; they stay ended, or come back."""
        events: list[Event] = []
        for machine in self._named(labels):
            machine.draining, machine.restarts = True, restart
            if machine.fixed_state is BuilderState.ASLEEP:
                machine.fixed_state = None
            events.append(self._changed(machine))
        return events

    def kill(self, labels: Iterable[str]) -> list[Event]:
        """End builders at once; they stay ended."""
        events: list[Event] = []
        for machine in self._named(labels):
            machine.restarts = False
            events += [*self._drop(machine), *self._leave(machine, "killed")]
            machine.fixed_state = None
        return events

    def forget(self, releases: Iterable[tuple[str, str, str]]) -> None:
        """Forget the builds of skipped releases."""
        skipped = set(releases)
        kept = [it for it in self.builds if (it.project, it.version, it.target) not in skipped]
        self.builds = deque(kept, maxlen=_KEPT)
        self.standing = [
            it for it in self.standing if (it.project, it.version, it.target) not in skipped
        ]

    def is_restarting(self, label: str) -> bool:
        """Whether a builder is about to end, or away."""
        machine = self.machines[label]
        return machine.draining or machine.away_s is not None

    def is_running(self, build: int) -> bool:
        """Whether a builder has this build."""
        running = (machine.build for machine in self.machines.values())
        return any(task is not None and task.build == build for task in running)

    def missing(self, labels: Iterable[str]) -> list[str]:
        """Those of these labels that no builder has."""
        there = {machine.label for machine in self.present()}
        return [label for label in labels if label not in there]

    def _named(self, labels: Iterable[str]) -> list[SimBuilder]:
        return [self.machines[label] for label in labels if label in self.machines]

    def _drop(self, machine: SimBuilder) -> Iterator[Event]:
        task, machine.build = machine.build, None
        if task is not None:
            self.pending[task.target] += 1
            yield self._record(machine, task, "canceled")

    def _changed(self, machine: SimBuilder) -> Event:
        return BuilderChanged(builder=machine.view(self.paused))


def _counts(names: Iterable[str], first: int) -> tuple[NamedCount, ...]:
    return tuple(
        NamedCount(name=name, count=first // (place + 1)) for place, name in enumerate(names)
    )
