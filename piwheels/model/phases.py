"""The phases of a build."""

from typing import Annotated

from msgspec import Meta

from piwheels.model.base import Struct

#: The most phases that are kept of a build; the last one lasts to its end.
MAX_PHASES = 50
#: The phase of a build until its builder reports one.
STARTING = "starting"


class BuildPhase(Struct, frozen=True, kw_only=True):
    """A phase, as the builder names it ("fetching", "adding libpq-dev"), and how long it took."""

    name: Annotated[str, Meta(max_length=200)]
    duration_s: Annotated[float, Meta(ge=0, le=1e9)]
