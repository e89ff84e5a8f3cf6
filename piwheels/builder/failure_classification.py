"""Why a build failed: by the limit it exceeded, its exit status and its log."""

from typing import Any

from msgspec.structs import replace

from piwheels.builder import sandbox_entry
from piwheels.builder.build_errors import BuildFailedError
from piwheels.builder.build_log import BEFORE_SANDBOX, BuildLog
from piwheels.builder.process_runner import LimitExceeded, Limits, ProcessResult
from piwheels.causes import Cause, Evidence, IndexRecord, Limit, PackageLookup, classify
from piwheels.formatting import exit_status_text, format_duration
from piwheels.model import FailureClass, Outcome

#: As FailureEvidence limits them.
_MAX_NAMES, _MAX_NAME_CHARS = 20, 200
_OUTCOMES = {
    FailureClass.OUT_OF_MEMORY: Outcome.OUT_OF_MEMORY,
    FailureClass.DISK_FULL: Outcome.DISK_FULL,
    FailureClass.TIMED_OUT: Outcome.TIMED_OUT,
    FailureClass.BAD_SDIST: Outcome.BAD_SDIST,
    FailureClass.INDEX_FAULT: Outcome.FETCH_FAILED,
}


def classify_failure(
    result: ProcessResult,
    limits: Limits,
    log: BuildLog,
    packages: PackageLookup | None = None,
    index: IndexRecord = IndexRecord(),  # noqa: B008 - immutable
) -> BuildFailedError:
    """The error for a build that failed in the sandbox; the index answered all that it asked."""
    evidence = _evidence(result, limits, index)
    cause = classify(bytes(log.tail).decode(errors="replace"), evidence, packages)
    if cause.line_number:
        cause = replace(cause, line_number=log.tail_line + cause.line_number)
    if result.limit_exceeded is None:
        if log.phase in BEFORE_SANDBOX:
            text = f"the sandbox did not start: {cause.line}"
            return BuildFailedError(Outcome.BUILDER_FAILED, text)
        # A build can make its parent exit with any status, but not before it has started.
        if result.status == sandbox_entry.VENV_FAILED and log.phase == "preparing":
            text = f"the virtual environment could not be created: {cause.line}"
            return BuildFailedError(Outcome.BUILDER_FAILED, text)
        if result.status == sandbox_entry.PATCH_FAILED and log.phase == "preparing":
            return BuildFailedError(Outcome.FAILED, _last_line(log))
        if result.status == sandbox_entry.BAD_SDIST:
            return BuildFailedError(Outcome.BAD_SDIST, _last_line(log), cause=cause)
    failure_class = cause.failure_class or FailureClass.UNKNOWN
    reason = _reason(result, limits) or cause.line or exit_status_text(result.status)
    return BuildFailedError(
        _OUTCOMES.get(failure_class, Outcome.FAILED), reason, failure_class, cause=cause
    )


def recorded_cause(cause: Cause | None) -> dict[str, Any]:
    """The fields of FailureEvidence with what a log tells."""
    if cause is None:
        return {}
    return {
        "missing": tuple(str(each)[:_MAX_NAME_CHARS] for each in cause.missing[:_MAX_NAMES]),
        "packages": tuple(name[:_MAX_NAME_CHARS] for name in cause.packages[:_MAX_NAMES]),
        "line_number": cause.line_number,
    }


def _evidence(result: ProcessResult, limits: Limits, index: IndexRecord) -> Evidence:
    return Evidence(
        exit_status=result.status,
        limit=Limit(result.limit_exceeded) if result.limit_exceeded else None,
        index=index,
        peak_memory_bytes=result.peak_memory_bytes or None,
        memory_limit_bytes=limits.memory_bytes,
        cpu_s=result.cpu_s,
        wall_s=result.duration_s,
    )


def _last_line(log: BuildLog) -> str:
    """The last line of a log, where the sandbox tells what is wrong with an sdist."""
    return bytes(log.tail).decode(errors="replace").rstrip().rpartition("\n")[2].strip()


def _reason(result: ProcessResult, limits: Limits) -> str:
    """Which limit a build exceeded; "" if none is known."""
    match result.limit_exceeded:
        case LimitExceeded.TIME:
            return (
                f"not done after {format_duration(limits.timeout_s)} "
                f"({format_duration(result.cpu_s)} of processor time)"
            )
        case LimitExceeded.MEMORY:
            return f"it used more than {limits.memory_bytes >> 20} MiB of memory"
        case LimitExceeded.PROCESSES:
            return f"it ran more than {limits.processes} processes"
        case LimitExceeded.DISK:
            return (
                f"less than {limits.disk_reserve_bytes >> 20} MiB of disk were left, or inodes for "
                f"less than {limits.inode_reserve} files"
            )
        case None:
            return ""
