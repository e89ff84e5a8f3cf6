"""Projects that a search finds, with what one line says about each."""

from piwheels.model.base import Struct


class ProjectHit(Struct, frozen=True, kw_only=True):
    """A project that a search found, and how its newest release does for the farm's targets."""

    project: str
    version: str = ""  # of the newest release; "" for a project without releases
    targets: int = 0  # that the farm builds for
    covered: int = 0  # of them, those with a wheel of that release
    queued_target: str = ""  # the first one with an open job
    builder: str = ""  # that builds it now
    failure_class: str = ""  # of the last failure that nothing follows
    skip_reason: str | None = None  # of the project
