"""Why a build failed: by the limit it exceeded, its exit status and the end of its log."""

import signal

from piwheels.builder import sandbox_entry
from piwheels.builder.build_errors import BuildFailedError
from piwheels.builder.build_log import ADDING_PACKAGES, BuildLog
from piwheels.builder.log_analysis import find_error_line, last_line, resource_shortage
from piwheels.builder.process_runner import LimitExceeded, Limits, ProcessResult
from piwheels.formatting import exit_status_text, format_duration
from piwheels.model import FailureClass, Outcome


def classify_failure(result: ProcessResult, limits: Limits, log: BuildLog) -> BuildFailedError:
    """The error for a build that failed in the sandbox."""
    if result.limit_exceeded is not None:
        return _exceeded(result.limit_exceeded, result.cpu_s, limits)
    tail = bytes(log.tail)
    line = find_error_line(tail)
    if log.phase in {"fetching", ADDING_PACKAGES}:
        return BuildFailedError(Outcome.BUILDER_FAILED, f"the sandbox did not start: {line}")
    # A build can make its parent exit with any status, but not before it has started.
    if result.status == sandbox_entry.VENV_FAILED and log.phase == "preparing":
        text = f"the virtual environment could not be created: {line}"
        return BuildFailedError(Outcome.BUILDER_FAILED, text)
    if result.status == sandbox_entry.PATCH_FAILED and log.phase == "preparing":
        return BuildFailedError(Outcome.FAILED, last_line(tail))
    if result.status == sandbox_entry.BAD_SDIST:
        return BuildFailedError(Outcome.BAD_SDIST, last_line(tail))
    if result.status == 128 + signal.SIGKILL:
        text = "one of its processes was killed (SIGKILL), as happens when memory runs out"
        return BuildFailedError(resource_shortage(tail) or Outcome.OUT_OF_MEMORY, text)
    outcome = resource_shortage(tail) or Outcome.FAILED
    return BuildFailedError(outcome, line or exit_status_text(result.status))


def _exceeded(limit: LimitExceeded, cpu_s: float, limits: Limits) -> BuildFailedError:
    match limit:
        case LimitExceeded.TIME:
            text = (
                f"not done after {format_duration(limits.timeout_s)} "
                f"({format_duration(cpu_s)} of processor time)"
            )
            return BuildFailedError(Outcome.TIMED_OUT, text)
        case LimitExceeded.MEMORY:
            text = f"it used more than {limits.memory_bytes >> 20} MiB of memory"
            return BuildFailedError(Outcome.OUT_OF_MEMORY, text)
        case LimitExceeded.PROCESSES:
            text = f"it ran more than {limits.processes} processes"
            return BuildFailedError(Outcome.FAILED, text, FailureClass.LIMIT)
        case LimitExceeded.DISK:
            text = (
                f"less than {limits.disk_reserve_bytes >> 20} MiB of disk were left, or inodes for "
                f"less than {limits.inode_reserve} files"
            )
            return BuildFailedError(Outcome.DISK_FULL, text)
