"""The result of a build, and the errors that end one."""

from pathlib import Path

from piwheels.builder.download_errors import classify_download_error, retry_after_s
from piwheels.errors import PiwheelsError
from piwheels.model import FailureClass, FailureEvidence, Outcome, Struct
from piwheels.retry_policy import failure_class_of
from piwheels.simple_index.client import DigestError
from piwheels.wheel.inspect import WheelInfo


class BuildResult(Struct, frozen=True, kw_only=True):
    """How a build ended, and what it made."""

    outcome: Outcome
    reason: str = ""  # one line: the error line of the log; for a built wheel what it lacks
    wheels: tuple[Path, ...] = ()  # in <workdir>/wheels; one, if it was built
    wheel_info: WheelInfo | None = None  # of that wheel
    #: "<sha256> <filename>" (or "installed pip-26.3") of every file used besides the sdist.
    build_inputs: tuple[str, ...] = ()
    duration_s: float
    failure_class: FailureClass | None = None  # None if it was built
    evidence: FailureEvidence = FailureEvidence()
    compiler_missing: bool = False  # here, while the sdist has sources for one


class BuildFailedError(PiwheelsError):
    """Ends a build with an outcome; the message is the reason."""

    def __init__(
        self, outcome: Outcome, reason: str, failure_class: FailureClass | None = None
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.failure_class = failure_class or failure_class_of(outcome)


class DownloadFailedError(BuildFailedError):
    """Ends a build because an index did not provide a file that it needs."""

    def __init__(self, error: PiwheelsError) -> None:
        super().__init__(Outcome.FETCH_FAILED, str(error), classify_download_error(error))
        self.retry_after_s = retry_after_s(error)
        self.digest = error.digest if isinstance(error, DigestError) else ""
