"""The errors that end a build."""

from piwheels.builder.download_errors import classify_download_error, retry_after_s
from piwheels.causes import Cause
from piwheels.errors import PiwheelsError
from piwheels.index_client.client import DigestError
from piwheels.model import FailureClass, Outcome
from piwheels.retry_policy import failure_class_of


class BuildFailedError(PiwheelsError):
    """Ends a build with an outcome; the message is the reason, `cause` what its log tells."""

    def __init__(
        self,
        outcome: Outcome,
        reason: str,
        failure_class: FailureClass | None = None,
        *,
        cause: Cause | None = None,
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.cause = cause
        self.failure_class = failure_class or failure_class_of(outcome)


class DownloadFailedError(BuildFailedError):
    """Ends a build because an index did not provide a file that it needs."""

    def __init__(self, error: PiwheelsError) -> None:
        super().__init__(Outcome.FETCH_FAILED, str(error), classify_download_error(error))
        self.retry_after_s = retry_after_s(error)
        self.digest = error.digest if isinstance(error, DigestError) else ""
