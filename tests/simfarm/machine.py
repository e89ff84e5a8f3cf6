"""A builder of the simulated farm, and its running build. No I/O."""

import random
from bisect import bisect
from collections import deque
from dataclasses import dataclass, field

from piwheels.model import HostMetrics
from piwheels.protocol.messages import PROTOCOL, BuilderState, BuilderView
from tests.simfarm import scenario_builders

GIB = 1024**3
LOADS = 60
_CORES = 4
_FULL_HZ, _CAPPED_HZ = 1.5e9, 0.9e9
_HOUR_S = 3600.0
_PHASES = ("fetching", "preparing", "building", "inspecting", "uploading")
_ENDS = (0.03, 0.15, 0.85, 0.9, 1.0)  # as shares of the whole build
_REASONS = {
    BuilderState.LOST: "lost after 360 s without a message; its job was queued again",
    BuilderState.QUARANTINED: "3 consecutive builds failed because of the builder: "
    "bwrap: Operation not permitted",
    BuilderState.OVERDUE: "such a build took 4 minutes before",
    BuilderState.ASLEEP: "put to sleep by ada@console",
}


@dataclass(slots=True)
class SimBuild:
    """A running build."""

    build: int
    project: str
    version: str
    target: str
    total_s: float
    spent_s: float = 0.0
    phase: str = _PHASES[0]
    phase_s: float = 0.0
    fails: bool = False

    def advance(self, by_s: float) -> None:
        """Let time pass."""
        self.spent_s += by_s
        self.phase_s += by_s
        phase = _PHASES[min(bisect(_ENDS, self.spent_s / self.total_s), len(_PHASES) - 1)]
        if phase != self.phase:
            self.phase, self.phase_s = phase, 0.0


@dataclass(slots=True)
class SimBuilder:
    """A simulated builder."""

    label: str
    targets: tuple[scenario_builders.SimTarget, ...]
    board: str
    rng: random.Random
    build: SimBuild | None = None
    fixed_state: BuilderState | None = None  # a state that it does not leave by itself
    idle_s: float = 0.0  # until it takes a job
    draining: bool = False
    restarts: bool = False  # after it was drained
    away_s: float | None = None  # has left, and comes back after so long
    ended: str = ""  # by whom it was ended; it does not come back
    silent_s: float = 0.0
    load: float = 1.0
    loads: deque[float] = field(default_factory=lambda: deque(maxlen=LOADS))
    temperature: float = 50.0
    memory_free: int = 3 * GIB
    disk_free: int = 20 * GIB
    throttled_s: float = 0.0  # of the last hour
    is_hot: bool = False  # it throttles itself, and is slow
    uptime_s: float = 12 * 86_400.0
    clock_offset_s: float = 0.0
    state_s: float = 2_300.0
    built: int = 0
    failed: int = 0

    def make_hot(self) -> None:
        """Its fan is broken: it throttles itself since 38 minutes."""
        self.is_hot, self.temperature, self.throttled_s = True, 83.0, 38 * 60.0
        self.memory_free = 4 * GIB * 9 // 100

    def drift(self) -> None:
        """Let its load, temperature and memory wander."""
        busy = self.build is not None
        self.load = max(0.0, self.load + self.rng.uniform(-0.3, 0.3) + (0.1 if busy else -0.1))
        self.load = min(self.load, 6.0)
        warmer = self.temperature + self.rng.uniform(-1, 1)
        lowest, highest = (82.0, 84.4) if self.is_hot else (38.0, 79.0)
        self.temperature = min(highest, max(lowest, warmer))
        self.memory_free = min(
            4 * GIB, max(GIB // 3, self.memory_free + self.rng.randint(-(2**26), 2**26))
        )

    def state(self, paused: bool) -> BuilderState:
        """Its state as operators see it."""
        if self.ended:
            return BuilderState.ENDED
        if self.fixed_state is not None:
            return self.fixed_state
        if self.draining:
            return BuilderState.DRAINING
        if self.build is not None:
            uploading = self.build.phase == "uploading"
            return BuilderState.UPLOADING if uploading else BuilderState.BUILDING
        if self.idle_s > 0:
            return BuilderState.FINISHING
        return BuilderState.PAUSED if paused else BuilderState.IDLE

    def view(self, paused: bool, *, loads: bool = False) -> BuilderView:
        """The builder as the master's status shows it."""
        state, task = self.state(paused), self.build
        return BuilderView(
            label=self.label,
            state=state,
            reason=self.ended or _REASONS.get(state, ""),
            targets=tuple(stage.target for stage in self.targets),
            platform=f"linux {self.targets[0].arch}",
            board=self.board,
            os=f"Debian GNU/Linux ({self.targets[0].os})",
            version="1.0",
            protocol=PROTOCOL,
            build=task.build if task else None,
            project=task.project if task else "",
            release_version=task.version if task else "",
            target=task.target if task else "",
            phase=task.phase if task else "",
            phase_s=task.phase_s if task else 0.0,
            build_s=task.spent_s if task else 0.0,
            expected_s=240.0 if task else 0.0,
            limit_s=10800.0,
            since_last_message_s=self.silent_s,
            built=self.built,
            failed=self.failed,
            built_last_hour=self.built,
            failed_last_hour=self.failed,
            host=HostMetrics(
                load=round(self.load, 2),
                memory_total=4 * GIB,
                memory_free=self.memory_free,
                swap_total=GIB,
                swap_free=GIB,
                disk_total=64 * GIB,
                disk_free=self.disk_free,
                temperature=round(self.temperature, 1),
                cores=_CORES,
                throttled=self.is_hot,
                throttled_s=min(_HOUR_S, self.throttled_s),
                cpu_hz=_CAPPED_HZ if self.is_hot else _FULL_HZ,
                max_cpu_hz=_FULL_HZ,
                uptime_s=self.uptime_s,
            ),
            clock_offset_s=self.clock_offset_s,
            peer_ratio=1.9 if self.is_hot else 1.0,
            state_s=self.state_s,
            load_history=tuple(self.loads) if loads else (),
        )
