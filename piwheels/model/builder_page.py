"""What the page of a builder shows beyond its state, and the names of its time series."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from piwheels.model.base import Struct
from piwheels.model.builds import BuildSummary
from piwheels.model.metrics import _Amount
from piwheels.model.roots import RootState

_Count = Annotated[int, Meta(ge=0)]


class BuilderSeries(StrEnum):
    """Series of each builder; memory, disk and throttled are shares from 0 to 1."""

    LOAD = "load"
    MEMORY = "memory"  # used
    DISK = "disk"  # used
    TEMPERATURE = "temperature"  # in degrees Celsius
    THROTTLED = "throttled"
    BUILT = "built"  # in a minute
    FAILED = "failed"  # finally, in a minute

    def of(self, builder: str) -> str:
        """The name of the series of a builder."""
        return f"builder/{builder}/{self}"


class BuilderPage(Struct, frozen=True, kw_only=True):
    """A builder's last builds and its last 24 hours, against those of its peers.

    Peers are the connected builders that serve one of its targets.
    """

    builds: tuple[BuildSummary, ...]  # of the last 7 days, the newest first
    #: By number, how long other builders take for the same.
    usual_s: dict[int, _Amount] = field(default_factory=dict)
    running_usual_s: _Amount | None = None  # likewise for its running build; None is unknown
    built: _Count = 0  # in 24 hours
    failed: _Count = 0  # finally, in 24 hours
    peers: _Count = 0
    usual_built: _Count | None = None  # by a peer in 24 hours, the median; None without peers
    roots: tuple[RootState, ...] = ()
