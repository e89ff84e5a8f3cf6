"""What is known of one builder, and how it looks to operators. No I/O and no clock."""

from collections import deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from piwheels.causes.policy import builder_wait_s, disk_wanted
from piwheels.model import Job
from piwheels.protocol.messages import BuilderState, BuilderView, Hello, HostState

#: A builder that was not heard for so long is shown as silent; it speaks every few seconds.
SILENT_AFTER_S = 30.0
UPLOADING = "uploading"
#: The phase of a build whose wheel waits at its builder until the served tree can take it.
WAITING_FOR_TREE = "waiting for the served tree"
_HOUR_S = 3600.0
_LOADS = 60
#: A build is stuck when it takes so many times as long as any successful one of its project,
#: but never so soon as this; where there was none, half of what its builder allows.
_TIMES_LONGEST = 3.0
_SOONEST_S = 600.0
_PART_OF_LIMIT = 0.5


@dataclass(slots=True)
class Record:
    """What is remembered of a label, whichever session it is in. Times are monotonic seconds."""

    built: int = 0  # since the master started
    failed: int = 0
    ends: deque[tuple[float, bool]] = field(default_factory=deque)  # when, and whether built
    broken: int = 0  # builds in a row that failed of the builder itself
    held: BuilderState | None = None  # asleep or quarantined: it gets no jobs
    held_reason: str = ""
    faults: int = 0  # of the index or of its disk, in a row
    waits_until: float = 0.0  # it gets no job before
    waits_reason: str = ""
    loads: deque[float] = field(default_factory=lambda: deque(maxlen=_LOADS))

    def count(self, now: float, *, built: bool) -> None:
        """Note that a build ended."""
        self.built += built
        self.failed += not built
        self.ends.append((now, built))

    def wait(self, now: float, reason: str, retry_after_s: float = 0.0) -> None:
        """Give it no job for a while, which grows with each fault in a row."""
        self.faults += 1
        self.waits_until = now + builder_wait_s(self.faults, retry_after_s)
        self.waits_reason = reason

    def wait_no_longer(self) -> None:
        """Give it jobs again."""
        self.faults, self.waits_until, self.waits_reason = 0, 0.0, ""

    def forget(self, now: float) -> bool:
        """Let go of what ended over an hour ago; whether there was any."""
        before = len(self.ends)
        while self.ends and now - self.ends[0][0] > _HOUR_S:
            self.ends.popleft()
        return len(self.ends) < before

    def last_hour(self, *, built: bool) -> int:
        """How many builds of the last hour ended so."""
        return sum(how is built for _, how in self.ends)


@dataclass(slots=True)
class Session:
    """A builder that is there."""

    label: str
    hello: Hello
    last_seen: float
    host: HostState
    record: Record
    job: Job | None = None
    job_since: float = 0.0
    expected_s: float = 0.0
    phase: str = ""
    phase_since: float = 0.0
    reason: str = ""  # why the build in hand failed, by its builder's word
    claiming: bool = False
    ending: bool = False  # the job's outcome is on its way to the database
    cleaning: bool = False  # its build is over, and it has not asked for another
    drained: str = ""  # by whom; it ends after the build in hand
    withheld: str = ""  # why it got no job when it last asked
    told: BuilderState | None = None  # at the last tick

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that it serves."""
        return tuple(target.name for target in self.hello.targets)

    @property
    def lacking(self) -> tuple[str, ...]:
        """Those of its targets for which it has no C compiler."""
        return tuple(name for name in self.targets if name in self.hello.lacking)

    @property
    def takes_jobs(self) -> bool:
        """Whether it gets jobs: it is neither held nor about to end."""
        return self.record.held is None and not self.drained

    def begin(self, job: Job, since: float, phase: str, now: float) -> None:
        """It has a job in hand from now on."""
        self.job, self.job_since = job, since
        self.phase, self.phase_since = phase, now
        self.ending = self.cleaning = False
        self.reason = ""
        self.expect(None)

    def finish(self) -> Job | None:
        """It has none any more; gives the one that it had."""
        job, self.job = self.job, None
        self.ending, self.cleaning = False, job is not None
        return job

    def expect(self, longest_s: float | None) -> None:
        """The longest successful build of the same project took so long, if there was one."""
        if longest_s is not None:
            self.expected_s = max(longest_s * _TIMES_LONGEST, _SOONEST_S)
        else:
            self.expected_s = self.hello.limit_s * _PART_OF_LIMIT

    def full_disk(self) -> str:
        """Why its disk has no room for a build; "" if it has room, or nothing is known of it."""
        wanted = disk_wanted(self.hello.disk_reserve)
        if not self.host.disk_total or self.host.disk_free >= wanted:
            return ""
        return f"its disk has less than {wanted >> 20} MiB free"

    def has(self, build: int) -> bool:
        """Whether this is the build in hand."""
        return self.job is not None and self.job.build == build

    def state(self, now: float, *, paused: bool) -> BuilderState:
        """What it is doing."""
        if now - self.last_seen > SILENT_AFTER_S:
            return BuilderState.SILENT
        if self.job is not None:
            return self._state_at_work(now)
        if self.drained:
            return BuilderState.DRAINING
        if self.cleaning:
            return BuilderState.CLEANING
        if self.record.held is not None:
            return self.record.held
        return BuilderState.PAUSED if paused else BuilderState.IDLE

    def _state_at_work(self, now: float) -> BuilderState:
        if self.phase == UPLOADING:
            return BuilderState.DRAINING if self.drained else BuilderState.UPLOADING
        if 0.0 < self.expected_s < now - self.job_since:
            return BuilderState.STUCK
        if self.drained:
            return BuilderState.DRAINING
        asleep = self.record.held is BuilderState.ASLEEP
        return BuilderState.TO_SLEEP if asleep else BuilderState.BUILDING

    def view(self, now: float, *, paused: bool, loads: bool = False) -> BuilderView:
        """How it looks from outside."""
        job, record, hello = self.job, self.record, self.hello
        return BuilderView(
            label=self.label,
            state=self.state(now, paused=paused),
            reason=self._why(),
            targets=self.targets,
            platform=hello.platform,
            board=hello.board,
            os=hello.os,
            version=hello.version,
            sandboxed=hello.sandboxed,
            build=job.build if job else None,
            project=job.project if job else "",
            version_built=job.version if job else "",
            target=job.target if job else "",
            phase=self.phase if job else "",
            phase_s=now - self.phase_since if job else 0.0,
            build_s=now - self.job_since if job else 0.0,
            expected_s=self.expected_s if job else 0.0,
            limit_s=hello.limit_s,
            silent_s=now - self.last_seen,
            built=record.built,
            failed=record.failed,
            built_last_hour=record.last_hour(built=True),
            failed_last_hour=record.last_hour(built=False),
            host=self.host,
            loads=tuple(record.loads) if loads else (),
        )

    def _why(self) -> str:
        after = " after this build" if self.job is not None else ""
        if self.drained:
            return f"ends{after}: drained by {self.drained}"
        if self.record.held is BuilderState.ASLEEP:
            return f"sleeps{after}: {self.record.held_reason}"
        return self.record.held_reason or ("" if self.job is not None else self.withheld)


@dataclass(slots=True)
class Missing:
    """A builder that was lost, as it was when it was last heard."""

    session: Session
    since: float
    reason: str

    def view(self, now: float) -> BuilderView:
        """How it looks from outside."""
        view = self.session.view(now, paused=False)
        return replace(view, state=BuilderState.LOST, reason=self.reason)


@dataclass(slots=True)
class Orphan:
    """A claim of a builder that has not come back since the master started.

    `since` is when that began; `claimed` is when it got the job.
    """

    job: Job
    since: float
    claimed: float | None = None
