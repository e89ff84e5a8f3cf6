"""What goes wrong with a bucket."""

from piwheels.errors import PiwheelsError


class BucketError(PiwheelsError):
    """The bucket cannot be reached, refuses a request, or answers with an error."""


class ChangedMeanwhileError(PiwheelsError):
    """A conditional write was refused: the object is another one by now."""
