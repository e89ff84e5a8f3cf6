"""What is known of one completed build beside its summary: its phases and its inputs."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from piwheels.model.base import Struct
from piwheels.model.builds import BuildSummary
from piwheels.model.phases import BuildPhase

#: So many inputs of a build are told.
MAX_SHOWN_INPUTS = 200


class BuildDetails(Struct, frozen=True, kw_only=True):
    """A completed build, as its page shows it.

    `group_cause` and the class of its cause are the group of failures that it would belong to, and
    `group_releases` how many releases fail so now.
    """

    build: BuildSummary
    started_at: datetime
    attempt: int
    sdist: str  # its file name
    phases: tuple[BuildPhase, ...] = ()  # () if they are not known
    build_inputs: tuple[str, ...] = ()  # as in `Build`, the first ones
    inputs: int = 0  # how many there are
    usual_s: Annotated[float, Meta(ge=0)] | None = None  # what other builders take for the same
    group_class: str = ""
    group_cause: str = ""
    group_releases: int = 0
