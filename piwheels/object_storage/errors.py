"""What goes wrong with a bucket."""

from piwheels.errors import PiwheelsError


class BucketError(PiwheelsError):
    """The bucket cannot be reached, refuses a request, or answers with an error."""


class NoBucketError(BucketError):
    """There is no such bucket."""

    def __init__(self) -> None:
        super().__init__("the bucket does not exist: create it")


class ChangedMeanwhileError(PiwheelsError):
    """A conditional write was refused: the object is another one by now."""
