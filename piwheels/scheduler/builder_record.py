"""What is known about one builder, and how it is shown to operators. No I/O and no clock."""

import sys
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from msgspec.structs import replace

from piwheels.model import HostMetrics, Job, ReproductionJob, is_long_build, projection
from piwheels.protocol.messages import BuilderState, BuilderView, Hello
from piwheels.retry_policy import builder_delay_s, canary_delay_s, required_free_disk
from piwheels.scheduler import reasons

#: A builder is shown as silent after this long without a message; it sends one every few seconds.
SILENT_AFTER_S = 30.0
UPLOADING = "uploading"
#: The phase of a build whose wheel waits at its builder until it can be published.
WAITING_FOR_WEB_ROOT = "waiting for the web root"
_HOUR_S = 3600.0
_MAX_LOAD_SAMPLES = 60
#: A build is overdue when it takes this many times as long as the longest successful one of its
#: project, but never before this; where there was none, after half of its builder's time limit.
_OVERDUE_FACTOR = 3.0
_MIN_EXPECTED_S = 600.0
_OVERDUE_TIMEOUT_SHARE = 0.5
#: A message that arrives late makes a clock look slow, and none makes it look fast: the largest
#: difference of so many heartbeats counts.
_CLOCK_SAMPLES = 6
#: A larger difference is shown as this one, whatever a builder sends: 30 years.
_MAX_CLOCK_OFFSET_S = 1e9
_UNKNOWN_DISK_BYTES = 2**62
#: No build is taken to have lasted longer; and by how much a builder's clock may be ahead.
_MAX_BUILD_S, _CLOCK_TOLERANCE_S = 7 * 86400.0, 60.0
_COMPILER_PACKAGES = frozenset({"build-essential", "gcc", "g++"})


@dataclass(frozen=True, slots=True)
class PendingShutdown:
    """An operator wants a builder to end: whether it is to start again, and why it ends."""

    reason: str  # "drained by ann@pi"
    restart: bool = False


@dataclass(slots=True)
class BuilderRecord:
    """What is kept of a builder across its sessions. Times are monotonic seconds."""

    built: int = 0  # since the master started
    failed: int = 0
    results: deque[tuple[float, bool]] = field(default_factory=deque)  # when, and whether built
    consecutive_failures: int = 0  # builds that failed because of the builder
    suspension: BuilderState | None = None  # asleep or quarantined: it gets no jobs
    suspension_reason: str = ""
    canaries: int = 0  # builds that it got in this quarantine, to see whether it works again
    canary_at: float = 0.0  # it gets the next one then
    consecutive_faults: int = 0  # of the index or of its disk
    backoff_until: float = 0.0  # it gets no job before
    backoff_reason: str = ""
    load_history: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_LOAD_SAMPLES))
    peer_ratio: float | None = None  # as in `BuilderView`
    #: A shutdown that the process with this instance may not have received.
    unconfirmed_shutdown: tuple[str, PendingShutdown] | None = None
    given: tuple[int, float] | None = None  # the last build that it was given, and when

    def longest_s(self, build: int, now: float) -> float:
        """How long a build can have taken that ends now, whatever its builder says."""
        number, given_at = self.given or (0, 0.0)
        if number != build:  # it was given before the master started
            return _MAX_BUILD_S
        return min(max(now - given_at, 0.0) + _CLOCK_TOLERANCE_S, _MAX_BUILD_S)

    def count_build(self, now: float, *, built: bool) -> None:
        """Count a build that ended."""
        self.built += built
        self.failed += not built
        self.results.append((now, built))

    def back_off(self, now: float, reason: str, retry_after_s: float = 0.0) -> None:
        """Assign it no job for a while, longer with each consecutive fault."""
        self.consecutive_faults += 1
        self.backoff_until = now + builder_delay_s(self.consecutive_faults, retry_after_s)
        self.backoff_reason = reason

    def end_backoff(self) -> None:
        """Assign it jobs again."""
        self.consecutive_faults, self.backoff_until, self.backoff_reason = 0, 0.0, ""

    def schedule_canary(self, now: float) -> None:
        """In quarantine: when it gets a build that shows whether it works again."""
        self.canary_at = now + canary_delay_s(self.canaries)
        self.canaries += 1

    def is_canary_due(self, now: float) -> bool:
        """Whether it is in quarantine, and gets a build that shows whether it works again."""
        return self.suspension is BuilderState.QUARANTINED and now >= self.canary_at

    def drop_old_results(self, now: float) -> bool:
        """Drop results that are over an hour old; returns whether there were any."""
        before = len(self.results)
        while self.results and now - self.results[0][0] > _HOUR_S:
            self.results.popleft()
        return len(self.results) < before

    def count_last_hour(self, *, built: bool) -> int:
        """How many builds of the last hour succeeded, or failed."""
        return sum(how is built for _, how in self.results)


@dataclass(slots=True)
class Session:
    """A connected builder."""

    label: str
    hello: Hello
    last_message_at: float
    host: HostMetrics
    record: BuilderRecord
    job: Job | None = None
    job_started_at: float = 0.0
    expected_s: float = 0.0
    longest_s: float = 0.0  # the longest successful build of the job's project; 0: unknown
    phase: str = ""
    phase_started_at: float = 0.0
    failure_reason: str = ""  # why the running build failed, as its builder reports it
    claiming: bool = False
    claim_again: bool = False  # jobs were queued while it was claiming
    completing: bool = False  # the result of the build is being recorded
    finishing: bool = False  # its build ended, and it is not idle yet
    shutdown: PendingShutdown | None = None  # it ends after the running build
    no_job_reason: str = ""  # why it got none when it was last idle
    published_state: BuilderState | None = None  # at the last tick
    state_since: float = 0.0  # when that began
    clock_offsets: deque[float] = field(default_factory=lambda: deque(maxlen=_CLOCK_SAMPLES))
    installed_packages: frozenset[str] = frozenset()

    def set_hello(self, hello: Hello) -> None:
        """Store what the builder reports; equal package names share one string in memory."""
        own = frozenset(map(sys.intern, hello.installed_packages))
        has_compiler = bool(hello.targets) and not hello.targets_without_compiler
        # It can have its compiler from elsewhere.
        self.installed_packages = own | _COMPILER_PACKAGES if has_compiler else own
        self.hello = replace(hello, installed_packages=())
        self.host = hello.host

    def set_host(self, host: HostMetrics, clock_s: float | None) -> None:
        """Store what a heartbeat reports that arrived at this time, in UNIX seconds."""
        self.host = host
        if host.clock_s is None or clock_s is None:
            self.clock_offsets.clear()
        else:
            offset_s = host.clock_s - clock_s
            self.clock_offsets.append(min(max(offset_s, -_MAX_CLOCK_OFFSET_S), _MAX_CLOCK_OFFSET_S))

    @property
    def clock_offset_s(self) -> float | None:
        """How far its clock is ahead of the master's; None is unknown."""
        return max(self.clock_offsets, default=None)

    def can_supply(self, target: str, packages: Collection[str]) -> bool:
        """Whether its builds for a target get these packages."""
        if target in self.hello.layer_targets:
            return True
        return target in self.targets and self.installed_packages.issuperset(packages)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that it serves."""
        return tuple(target.name for target in self.hello.targets)

    @property
    def targets_without_compiler(self) -> tuple[str, ...]:
        """Those of its targets for which it has no C compiler."""
        return tuple(name for name in self.targets if name in self.hello.targets_without_compiler)

    @property
    def accepts_jobs(self) -> bool:
        """Whether it gets jobs: it is neither suspended nor about to end."""
        return self.record.suspension is None and self.shutdown is None

    def can_take_jobs(self, now: float) -> bool:
        """Whether nothing about this builder keeps jobs from it."""
        waits = bool(self.disk_full_reason()) or now < self.record.backoff_until
        return self.accepts_jobs and not waits

    def start_job(self, job: Job, started_at: float, phase: str, now: float) -> None:
        """It has this job now."""
        self.job, self.job_started_at = job, started_at
        self.phase, self.phase_started_at = phase, now
        self.claiming = self.claim_again = self.completing = self.finishing = False
        self.failure_reason = ""
        self.set_expected_duration(None)

    def clear_job(self) -> Job | None:
        """It has no job now; returns the one that it had."""
        job, self.job = self.job, None
        self.completing, self.finishing = False, job is not None
        return job

    def set_expected_duration(self, longest_s: float | None) -> None:
        """Set when the build is overdue, from its project's longest successful build, if any."""
        self.longest_s = longest_s or 0.0
        if longest_s is not None:
            self.expected_s = max(longest_s * _OVERDUE_FACTOR, _MIN_EXPECTED_S)
        else:
            self.expected_s = self.hello.build_timeout_s * _OVERDUE_TIMEOUT_SHARE

    def disk_full_reason(self) -> str:
        """Why its disk cannot hold a build; "" if it can, or if that is unknown."""
        wanted = required_free_disk(self.hello.disk_reserve_bytes)
        if not self.host.disk_total or self.host.disk_free >= wanted:
            return ""
        return reasons.disk_full(wanted)

    @property
    def free_disk_bytes(self) -> int:
        """What its next build can write; as much as there can be where that is unknown."""
        return self.known_disk_bytes if self.host.disk_total else _UNKNOWN_DISK_BYTES

    @property
    def known_disk_bytes(self) -> int:
        """Likewise, but 0 where that is unknown."""
        if not self.host.disk_total:
            return 0
        free = max(self.host.disk_free - self.hello.disk_reserve_bytes, 0)
        return min(free, _UNKNOWN_DISK_BYTES)

    def has_long_build(self, now: float) -> bool:
        """Whether its build takes long, as far as is known."""
        job = self.job
        return job is not None and is_long_build(job.expected_build_s, now - self.job_started_at)

    def is_building(self, build: int) -> bool:
        """Whether this is its running build."""
        return self.job is not None and self.job.build_id == build

    def confirm_restart(self, hello: Hello) -> None:
        """Another process says Hello: a pending restart is done, even if no Goodbye arrived."""
        restart = self.shutdown is not None and self.shutdown.restart
        if restart and hello.instance != self.hello.instance:
            self.shutdown = None

    def remember_shutdown(self) -> None:
        """Keep a pending shutdown for the return of this process, which did not confirm it."""
        if self.shutdown is not None and self.hello.instance:
            self.record.unconfirmed_shutdown = self.hello.instance, self.shutdown

    def restore_shutdown(self) -> None:
        """Resume the shutdown of this process that was not confirmed; another process has none."""
        instance, shutdown = self.record.unconfirmed_shutdown or ("", None)
        self.record.unconfirmed_shutdown = None
        if instance and instance == self.hello.instance:
            self.shutdown = shutdown

    def has_job_on_its_way(self, hello: Hello) -> bool:
        """Whether StartBuild was sent to the process of this Hello, which has not received it."""
        same_process = hello.instance != "" and hello.instance == self.hello.instance
        return same_process and self.job is not None and hello.last_build < self.job.build_id

    def state(self, now: float, *, paused: bool) -> BuilderState:
        """What it is doing."""
        if now - self.last_message_at > SILENT_AFTER_S:
            return BuilderState.SILENT
        if self.job is not None:
            return self._state_while_building(now)
        if self.shutdown is not None:
            return BuilderState.DRAINING
        if self.finishing:
            return BuilderState.FINISHING
        if self.record.suspension is not None:
            return self.record.suspension
        return BuilderState.PAUSED if paused else BuilderState.IDLE

    def _state_while_building(self, now: float) -> BuilderState:
        if self.phase == UPLOADING:
            return BuilderState.DRAINING if self.shutdown is not None else BuilderState.UPLOADING
        if 0.0 < self.expected_s < now - self.job_started_at:
            return BuilderState.OVERDUE
        if self.shutdown is not None:
            return BuilderState.DRAINING
        asleep = self.record.suspension is BuilderState.ASLEEP
        return BuilderState.TO_SLEEP if asleep else BuilderState.BUILDING

    def view(self, now: float, *, paused: bool, load_history: bool = False) -> BuilderView:
        """How it is shown to operators."""
        job, record = self.job, self.record
        return projection(
            BuilderView,
            self,
            self.hello,
            record,
            state=self.state(now, paused=paused),
            state_s=now - self.state_since,
            build=job.build_id if job else None,
            project=job.project if job else "",
            release_version=job.version if job else "",
            target=job.target if job else "",
            phase=self.phase if job else "",
            phase_s=now - self.phase_started_at if job else 0.0,
            build_s=now - self.job_started_at if job else 0.0,
            expected_s=self.expected_s if job else 0.0,
            longest_s=self.longest_s if job else 0.0,
            limit_s=self.hello.build_timeout_s,
            since_last_message_s=now - self.last_message_at,
            built_last_hour=record.count_last_hour(built=True),
            failed_last_hour=record.count_last_hour(built=False),
            load_history=tuple(record.load_history) if load_history else (),
        )

    @property
    def reason(self) -> str:
        """Why it is in its state, as far as that needs a reason."""
        after = " after this build" if self.job is not None else ""
        if self.shutdown is not None:
            verb = "restarts" if self.shutdown.restart else "ends"
            return f"{verb}{after}: {self.shutdown.reason}"
        if self.record.suspension is BuilderState.ASLEEP:
            return f"sleeps{after}: {self.record.suspension_reason}"
        if self.record.suspension_reason:
            return self.record.suspension_reason
        if isinstance(self.job, ReproductionJob):
            return reasons.BUILDS_AGAIN
        return "" if self.job is not None else self.no_job_reason


@dataclass(slots=True)
class LostBuilder:
    """A builder that was lost, as it was at its last message."""

    session: Session
    lost_at: float
    reason: str
    job: Job | None = None  # that it had, and that was queued again

    def view(self, now: float) -> BuilderView:
        """How it is shown to operators."""
        view = self.session.view(now, paused=False)
        lost_s = now - self.lost_at
        lost = replace(view, state=BuilderState.LOST, state_s=lost_s, reason=self.reason)
        if (job := self.job) is None:
            return lost
        return replace(lost, project=job.project, release_version=job.version, target=job.target)


@dataclass(slots=True)
class OrphanedClaim:
    """A job claimed by a builder that has not connected since the master started.

    `since` is when the master started; `claimed_at` is when the builder got the job.
    """

    job: Job
    since: float
    claimed_at: float | None = None
