"""What a failed download says of why a build failed: decided by the error, never by its text."""

from piwheels.errors import PiwheelsError, TransientError
from piwheels.model import FailureClass
from piwheels.simple_index.client import DigestError, FileTooLargeError, MissingFileError


def classify_download_error(error: PiwheelsError) -> FailureClass:
    """The class of a failure to fetch a page or a file from an index.

    An index that refuses (403, a malformed page) is in trouble, as one that does not answer is:
    what it says of a release is said by its pages alone.
    """
    match error:
        case DigestError():
            return FailureClass.DAMAGED_DOWNLOAD
        case MissingFileError():
            return FailureClass.FILE_GONE
        case FileTooLargeError():
            return FailureClass.LIMIT
    return FailureClass.INDEX_FAULT


def retry_after_s(error: PiwheelsError) -> float:
    """The pause that the index asked for, in seconds; 0 without one."""
    return error.retry_after_s if isinstance(error, TransientError) else 0.0
