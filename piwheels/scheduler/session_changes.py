"""Changes of one builder's session, each with the instructions that follow. No I/O, no clock."""

from piwheels.model import Job, Outcome, projection
from piwheels.protocol.messages import (
    BuilderCommand,
    BuilderState,
    BuildFinished,
    CancelBuild,
    Shutdown,
    StartBuild,
)
from piwheels.scheduler import reasons
from piwheels.scheduler.builder_record import PendingShutdown, Session
from piwheels.scheduler.state_machine_events import (
    CancelUpload,
    CommandIssued,
    CompleteBuild,
    Instruction,
    PersistSuspension,
    SendMessage,
    UnclaimJob,
)


def apply_command(session: Session, issued: CommandIssued, now: float) -> list[Instruction]:
    """What an operator's command changes in a session."""
    user = issued.user
    match issued.command:
        case BuilderCommand.SLEEP:
            reason = f"put to sleep by {user}"
            suspended = suspend(session, BuilderState.ASLEEP, reason)
            return [*suspended, *(stop_build(session, reason) if issued.immediately else [])]
        case BuilderCommand.WAKE:
            session.record.consecutive_failures = 0
            session.record.end_backoff()
            return suspend(session, None, "")
        case BuilderCommand.CANCEL_BUILD:
            return cancel_build(session, f"canceled by {user}", now)
        case BuilderCommand.DRAIN:
            return shut_down(session, f"drained by {user}", restart=False)
        case BuilderCommand.RESTART:
            reason = f"restarted by {user}"
            stopped = stop_build(session, reason) if issued.immediately else []
            return [*stopped, *shut_down(session, reason, restart=True)]
        case BuilderCommand.KILL:
            reason = f"killed by {user}"
            canceled = cancel_build(session, reason, now)
            return [*canceled, *shut_down(session, reason, restart=False)]


def suspend(session: Session, suspension: BuilderState | None, reason: str) -> list[Instruction]:
    """Suspend a builder, asleep or quarantined; with None, assign it jobs again."""
    record = session.record
    if record.suspension is suspension:
        return []
    record.suspension, record.suspension_reason = suspension, reason if suspension else ""
    return [PersistSuspension(session.label, suspension, reason)]


def send_job(label: str, job: Job) -> SendMessage:
    """Send a builder its job, without what only the master knows of it."""
    return SendMessage(label, StartBuild(job=projection(Job, job)))


def return_job(session: Session) -> list[Instruction]:
    """Queue a builder's job again as if its build had not begun."""
    job = session.clear_job()
    return [CancelUpload(job.build_id), UnclaimJob(session.label, job.build_id)] if job else []


def stop_build(session: Session, reason: str) -> list[Instruction]:
    """End the running build; its job is queued again as if the build had not begun."""
    if session.job is None:
        return []
    cancel = CancelBuild(build=session.job.build_id, reason=reason)
    return [SendMessage(session.label, cancel), *return_job(session)]


def cancel_build(session: Session, reason: str, now: float) -> list[Instruction]:
    """End the running build, which is recorded as canceled."""
    job = session.clear_job()
    if job is None:
        return []
    return [
        CancelUpload(job.build_id),
        SendMessage(session.label, CancelBuild(build=job.build_id, reason=reason)),
        complete_as(session.label, job, Outcome.CANCELED, reason, now - session.job_started_at),
    ]


def shut_down(session: Session, reason: str, *, restart: bool) -> list[Instruction]:
    """End a builder after its running build; a later command replaces an earlier one."""
    session.shutdown = PendingShutdown(reason, restart)
    return [send_shutdown(session.label, session.shutdown, after_build=session.job is not None)]


def send_shutdown(
    label: str, shutdown: PendingShutdown, *, after_build: bool = False
) -> SendMessage:
    """Tell a builder to end."""
    message = Shutdown(reason=shutdown.reason, after_build=after_build, restart=shutdown.restart)
    return SendMessage(label, message)


def complete_as_lost(label: str, job: Job, duration_s: float) -> CompleteBuild:
    """Record that a builder disappeared with its build."""
    return complete_as(label, job, Outcome.LOST, reasons.stopped_responding(label), duration_s)


def complete_as(
    label: str, job: Job, outcome: Outcome, reason: str, duration_s: float = 0.0
) -> CompleteBuild:
    """Record an outcome that the builder did not report."""
    result = BuildFinished(
        build=job.build_id, outcome=outcome, reason=reason, duration_s=duration_s
    )
    return CompleteBuild(label, job, result)
