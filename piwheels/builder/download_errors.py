"""The failure class of a failed download, by the type of its error."""

from piwheels.errors import PiwheelsError, RejectedError, TransientError
from piwheels.index_client.client import DigestError, FileTooLargeError, MissingFileError
from piwheels.model import FailureClass


class NoUploadTimesError(RejectedError):
    """An index cannot be shown as of a day, because it gives no upload times (PEP 700)."""


def classify_download_error(error: PiwheelsError) -> FailureClass:
    """The class of a failure to fetch a page or a file from an index.

    An index that answers 403 or with a malformed page is faulty, like one that does not answer:
    only valid pages say something about a release.
    """
    match error:
        case DigestError():
            return FailureClass.DAMAGED_DOWNLOAD
        case MissingFileError():
            return FailureClass.FILE_GONE
        case FileTooLargeError():
            return FailureClass.LIMIT
        case NoUploadTimesError():
            return FailureClass.BUILD_REQUIREMENT
    return FailureClass.INDEX_FAULT


def retry_after_s(error: PiwheelsError) -> float:
    """The pause in seconds that the index requested (Retry-After); 0 for none."""
    return error.retry_after_s if isinstance(error, TransientError) else 0.0
