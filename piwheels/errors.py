"""The errors that piwheels raises on purpose.

Every message is one line that names the subject and says what to do next: the command line
prints it unchanged, without a traceback.
"""

from typing import ClassVar

import msgspec

#: The exit status of a builder that an operator killed or drained: it stays ended until a person
#: starts it. Neither systemd (RestartPreventExitStatus) nor `piw up` starts it again.
EXIT_STAYS_ENDED = 3


#: What msgspec raises for bytes that are nothing it can decode: its own errors, texts that are not
#: UTF-8, and endless nesting.
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class PiwheelsError(Exception):
    """Root of every error that piwheels raises on purpose."""

    #: What the command that ends with it exits with.
    exit_code: ClassVar[int] = 1


class ConfigError(PiwheelsError):
    """The configuration, an option or the environment has an invalid value."""


class UsageError(ConfigError):
    """The command line is invalid."""

    exit_code = 2


class TransientError(PiwheelsError):
    """An external failure that a retry may fix.

    `retry_after_s`: the requested delay (Retry-After); 0 for none.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RejectedError(PiwheelsError):
    """Invalid or hostile input: a wheel, a message, a page."""


class NotNowError(RejectedError, TransientError):
    """Rejected for a temporary reason: the same request can be repeated."""


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups that piwheels raised on purpose, else the first."""
    flat = [
        first_error(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    return next((error for error in flat if isinstance(error, PiwheelsError)), flat[0])
