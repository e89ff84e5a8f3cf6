"""Errors that an answer of the upstream causes: they delay what it was for, and end nothing."""

import logging

from piwheels.db.database import is_database_error
from piwheels.errors import PiwheelsError
from piwheels.sanitize import truncate_line

log = logging.getLogger(__name__)


def describe_fault(error: Exception, subject: str) -> str:
    """Why an answer cannot be used, in one line that can be stored.

    An error that nobody foresaw is logged with its traceback.

    Args:
        error: what reading or storing the answer raised.
        subject: what the answer is of.

    Raises:
        Exception: `error` itself, if the database is the cause and not the answer.
    """
    if is_database_error(error):
        raise error
    if isinstance(error, PiwheelsError):
        return truncate_line(str(error))
    log.error("%s: the answer of the upstream cannot be used", subject, exc_info=error)
    return truncate_line(f"{subject} cannot be used ({type(error).__name__}: {error})")
