"""The error of an audit that cannot go on."""

from piwheels.errors import PiwheelsError


class AuditError(PiwheelsError):
    """The audit could not run, or not to its end."""

    exit_code = 2
