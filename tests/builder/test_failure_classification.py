"""The outcome, class and record of a build that failed, by its log and how it ended."""

import msgspec
import pytest

from piwheels.builder.build_log import BuildLog
from piwheels.builder.failure_classification import classify_failure, recorded_cause
from piwheels.builder.process_runner import LimitExceeded, Limits, ProcessResult
from piwheels.causes import Cause, Missing, MissingKind
from piwheels.debian_index import load_index
from piwheels.model import FailureClass, FailureEvidence, Outcome


def log_of(text: str) -> BuildLog:
    log = BuildLog(lambda _: None, lambda _: None, phase="building")
    log.write(text.encode())
    return log


def result(status: int = 1, limit: LimitExceeded | None = None) -> ProcessResult:
    return ProcessResult(status=status, limit_exceeded=limit, duration_s=1.0)


@pytest.mark.parametrize(
    ("ended", "text", "outcome", "failure_class"),
    [
        (result(), "a.c:1:2: error: why\n", Outcome.FAILED, FailureClass.COMPILER_ERROR),
        (result(), "MemoryError\n", Outcome.OUT_OF_MEMORY, FailureClass.OUT_OF_MEMORY),
        (result(), "x: No space left on device\n", Outcome.DISK_FULL, FailureClass.DISK_FULL),
        (result(137), "", Outcome.OUT_OF_MEMORY, FailureClass.OUT_OF_MEMORY),
        (result(139), "", Outcome.FAILED, FailureClass.CRASHED),
        (result(1, LimitExceeded.TIME), "", Outcome.TIMED_OUT, FailureClass.TIMED_OUT),
        (result(1, LimitExceeded.PROCESSES), "", Outcome.FAILED, FailureClass.LIMIT),
    ],
)
def test_the_outcome_follows_the_class(
    ended: ProcessResult, text: str, outcome: Outcome, failure_class: FailureClass
) -> None:
    error = classify_failure(ended, Limits(), log_of(text))
    assert (error.outcome, error.failure_class) == (outcome, failure_class)


def test_what_was_missing_is_recorded_with_its_packages_and_the_number_of_the_line() -> None:
    text = "building\na.c:1:10: fatal error: ffi.h: No such file or directory\n"
    error = classify_failure(result(), Limits(), log_of(text), load_index("bookworm"))
    assert str(error) == "a.c:1:10: fatal error: ffi.h: No such file or directory"
    assert recorded_cause(error.cause) == {
        "missing": ("header ffi.h",),
        "packages": ("libffi-dev",),
        "line_number": 2,
    }


def test_the_number_is_that_of_the_line_in_the_whole_log() -> None:
    written: list[bytes] = []
    log = BuildLog(written.append, lambda _: None)
    log.write_line("a warning\nof the sandbox")
    log.write_marker("demo 1.0")
    log.phase = "building"
    log.write(b"of the first round\n" * 3)
    log.start_round()
    for _ in range(40):
        log.write(b"x" * 9_999 + b"\n")
    log.write(b"a.c:1:10: fatal error: ffi.h: No such file or directory\n")
    error = classify_failure(result(), Limits(), log)
    assert error.cause is not None
    line = b"".join(written).split(b"\n")[error.cause.line_number - 1]
    assert line.decode() == error.cause.line


def test_a_record_fits_into_a_message_whatever_is_missing() -> None:
    many = tuple(Missing(MissingKind.HEADER, "x" * 900) for _ in range(50))
    recorded = recorded_cause(Cause(failure_class=FailureClass.UNKNOWN, missing=many))
    evidence = FailureEvidence(**recorded)
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=FailureEvidence) == evidence
    assert recorded_cause(None) == {}
