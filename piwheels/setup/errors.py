"""The errors of a setup."""

from piwheels.errors import PiwheelsError


class SetupError(PiwheelsError):
    """A setup cannot begin here, or one of its steps failed."""
