"""Why a wheel cannot be verified."""

from enum import StrEnum

from piwheels.errors import RejectedError


class Problem(StrEnum):
    """The kinds of reasons, for scripts."""

    NO_STATEMENT = "no-statement"
    NO_KEYS = "no-keys"
    UNKNOWN_KEY = "unknown-key"
    REVOKED_KEY = "revoked-key"
    BAD_SIGNATURE = "bad-signature"
    OTHER_BYTES = "other-bytes"
    OTHER_NAME = "other-name"
    MALFORMED = "malformed"
    UNREADABLE = "unreadable"  # a file or an address cannot be read


class NotVerifiedError(RejectedError):
    """A wheel was not verified; the message is one line."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
