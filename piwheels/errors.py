"""The errors that piwheels raises on purpose.

Every message is one line, names the thing and says what to do next: the command line
prints it as it stands, without a traceback.
"""

from typing import ClassVar

#: The exit status of a builder that an operator killed or drained: it stays ended until a person
#: starts it. Neither systemd (RestartPreventExitStatus) nor `piw up` starts it again.
EXIT_STAYS_ENDED = 3


class PiwheelsError(Exception):
    """Root of every error that piwheels raises on purpose."""

    #: What the command that ends with it exits with.
    exit_code: ClassVar[int] = 1


class ConfigError(PiwheelsError):
    """The configuration, an option or the environment holds something unusable."""


class UsageError(ConfigError):
    """What was typed on the command line makes no sense."""

    exit_code = 2


class TransientError(PiwheelsError):
    """Something outside failed in a way that another try can mend.

    `wait_s`: for how long it asked to be left alone (Retry-After), 0 where it did not.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RejectedError(PiwheelsError):
    """Input from outside (a wheel, a message, a page) that must not be accepted."""


class NotNowError(RejectedError, TransientError):
    """Refused for a reason that passes: the same question can be asked again."""


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups that piwheels raised on purpose, else the first."""
    flat = [
        first_error(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    return next((error for error in flat if isinstance(error, PiwheelsError)), flat[0])
