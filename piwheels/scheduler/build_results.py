"""What follows from the results of builds. No I/O and no clock."""

from msgspec.structs import replace

from piwheels.model import FailureClass, Job, Outcome
from piwheels.protocol.messages import (
    Ack,
    BuildAcknowledged,
    BuilderState,
    BuildFinished,
    UploadFiles,
)
from piwheels.retry_policy import failure_class_of, required_free_disk
from piwheels.sanitize import truncate_line
from piwheels.scheduler import reasons
from piwheels.scheduler.builder_record import (
    UPLOADING,
    WAITING_FOR_WEB_ROOT,
    BuilderRecord,
    Session,
)
from piwheels.scheduler.farm_state import FarmState
from piwheels.scheduler.session_changes import suspend
from piwheels.scheduler.state_machine_events import (
    BuildCompleted,
    CompleteBuild,
    Instruction,
    PublishBuilder,
    SendMessage,
    StartUpload,
)

#: The longest reason that is kept of a build.
MAX_REASON_CHARS = 500
#: Failure classes of builds that got everything they needed from the index.
_INDEX_WORKED_CLASSES = frozenset(
    {
        FailureClass.UNKNOWN,
        FailureClass.MISSING_PACKAGE,
        FailureClass.MISSING_TOOLCHAIN,
        FailureClass.COMPILER_ERROR,
        FailureClass.PYTHON_TOO_NEW,
        FailureClass.TOOLS_TOO_NEW,
        FailureClass.BUILD_REQUIREMENT,
        FailureClass.UNDECLARED_REQUIREMENT,
        FailureClass.NEEDS_NETWORK,
        FailureClass.TESTS_IN_BUILD,
        FailureClass.METADATA,
        FailureClass.LIMIT,
        FailureClass.TIMED_OUT,
        FailureClass.OUT_OF_MEMORY,
        FailureClass.KILLED,
        FailureClass.CRASHED,
    }
)


def on_build_finished(
    farm: FarmState, session: Session, finished: BuildFinished
) -> list[Instruction]:
    """A builder reports the end of a build; it repeats that until it is acknowledged."""
    job = session.job
    if job is None or job.build_id != finished.build:
        unknown = BuildAcknowledged(build=finished.build, note=reasons.NOT_ITS_BUILD)
        return [SendMessage(session.label, unknown)]
    repeated, session.completing = session.completing, True
    finished = _bounded(farm, session, finished)
    session.failure_reason = truncate_line(finished.reason, MAX_REASON_CHARS)
    if finished.outcome is Outcome.BUILT:
        return _request_upload(farm, session, job, finished, repeated=repeated)
    if repeated:
        return [SendMessage(session.label, Ack())]
    failure = finished.failure_class or failure_class_of(finished.outcome)
    _record_fault(farm, session, job, finished, failure)
    return [CompleteBuild(session.label, job, replace(finished, reason=session.failure_reason))]


def _bounded(farm: FarmState, session: Session, finished: BuildFinished) -> BuildFinished:
    """A result without figures that cannot be: one builder's word does not decide for the others.

    No build takes longer than since its builder got it, and none uses more than its builder has.
    """
    host, evidence = session.host, finished.evidence
    memory = host.memory_total + host.swap_total if host.memory_total else 0
    free = evidence.disk_free_bytes
    free = None if free is None else _at_most(free, host.disk_total)
    return replace(
        finished,
        duration_s=min(finished.duration_s, session.record.longest_s(finished.build, farm.now)),
        peak_memory_bytes=_at_most(finished.peak_memory_bytes, memory),
        peak_disk_bytes=_at_most(finished.peak_disk_bytes, host.disk_total),
        evidence=replace(evidence, disk_free_bytes=free),
    )


def _at_most(number: int, limit: int) -> int:
    """The number, or the limit if that is less and known (not 0)."""
    return min(number, limit) if limit else number


def _request_upload(
    farm: FarmState, session: Session, job: Job, finished: BuildFinished, *, repeated: bool
) -> list[Instruction]:
    if farm.web_root_fault and not repeated:
        return _wait_for_web_root(farm, session)
    _record_index_success(farm, session)
    upload = SendMessage(session.label, UploadFiles(build=job.build_id))
    if repeated:
        return [upload]
    session.phase, session.phase_started_at = UPLOADING, farm.now
    return [StartUpload(session.label, job, finished), upload, PublishBuilder(session.label)]


def _record_fault(
    farm: FarmState,
    session: Session,
    job: Job,
    finished: BuildFinished,
    failure: FailureClass | None,
) -> None:
    """What a failed build proves about the index and about its builder."""
    record, evidence, reason = session.record, finished.evidence, session.failure_reason
    if failure is FailureClass.INDEX_FAULT:
        record.back_off(farm.now, reasons.index_fault(reason), evidence.retry_after_s)
        release = f"{job.project} {job.version}"
        farm.outage.record_failure(session.label, release, reason, record.backoff_until)
    elif failure is FailureClass.DISK_FULL and (
        evidence.disk_free_bytes is None
        or evidence.disk_free_bytes < required_free_disk(evidence.disk_reserve_bytes)
    ):
        record.back_off(farm.now, reasons.disk_was_full(reason))
    elif failure in _INDEX_WORKED_CLASSES:
        _record_index_success(farm, session)


def _record_index_success(farm: FarmState, session: Session) -> None:
    session.record.end_backoff()
    farm.outage.record_success()


def on_wheel_not_stored(farm: FarmState, label: str, build: int, reason: str) -> list[Instruction]:
    """The builder keeps its wheel, and offers it again until the web root accepts files."""
    session = farm.sessions.get(label)
    waiting: list[Instruction] = []
    if session is not None and session.is_building(build):
        waiting = _wait_for_web_root(farm, session)
    return [*waiting, *on_web_root_failed(farm, reason)]


def _wait_for_web_root(farm: FarmState, session: Session) -> list[Instruction]:
    session.completing = False
    if session.phase != WAITING_FOR_WEB_ROOT:
        session.phase, session.phase_started_at = WAITING_FOR_WEB_ROOT, farm.now
    return [SendMessage(session.label, Ack()), PublishBuilder(session.label)]


def on_build_completed(farm: FarmState, completed: BuildCompleted) -> list[Instruction]:
    """A build was recorded, or its claim had been lost."""
    label, build, outcome = completed.label, completed.build, completed.outcome
    stored = completed.stored
    record = farm.records.setdefault(label, BuilderRecord())
    if stored and completed.counts and outcome not in {Outcome.CANCELED, Outcome.LOST}:
        record.count_build(farm.now, built=outcome is Outcome.BUILT)
    session = farm.sessions.get(label)
    if session is None or not session.is_building(build):
        return []
    quarantined = _quarantine_if_failing(farm, session, outcome) if stored else []
    session.clear_job()
    note = "" if stored else reasons.CLAIM_LOST
    done = SendMessage(label, BuildAcknowledged(build=build, note=note))
    return [*quarantined, done, PublishBuilder(label)]


def _quarantine_if_failing(
    farm: FarmState, session: Session, outcome: Outcome
) -> list[Instruction]:
    """Stop assigning jobs to a builder whose builds fail because of the builder."""
    record = session.record
    failed = outcome is Outcome.BUILDER_FAILED
    failures = record.consecutive_failures = record.consecutive_failures + 1 if failed else 0
    if record.suspension is BuilderState.QUARANTINED:
        return _end_quarantine(farm, session, outcome)
    if not 0 < farm.quarantine_after <= failures or record.suspension is not None:
        return []
    record.canaries = 0
    record.schedule_canary(farm.now)
    reason = reasons.quarantined(failures, session.failure_reason)
    return suspend(session, BuilderState.QUARANTINED, reason)


def _end_quarantine(farm: FarmState, session: Session, outcome: Outcome) -> list[Instruction]:
    """After a build in quarantine: assign jobs again if it succeeded, else later one more."""
    if outcome is not Outcome.BUILT:
        session.record.schedule_canary(farm.now)
        return []
    return suspend(session, None, reasons.CANARY_BUILT)


def on_web_root_failed(farm: FarmState, reason: str) -> list[Instruction]:
    """No wheel can be published: no builder gets a job."""
    farm.web_root_fault = reason
    return publish_all(farm)


def publish_all(farm: FarmState) -> list[Instruction]:
    """Show every connected builder as it is now."""
    return [PublishBuilder(label) for label in farm.sessions]
