"""The states of the roots that builders build on, as the master keeps them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from piwheels.model.base import Struct


class RootState(Struct, frozen=True, kw_only=True):
    """A root as a builder has it. Two states with the same packages have the same key."""

    name: Annotated[str, Meta(max_length=200, pattern=r"\A[^\0]+\Z")]
    key: Annotated[str, Meta(max_length=64, pattern=r"\A[0-9a-f]+\Z")]  # of its packages
    made_at: Annotated[datetime, Meta(tz=True)]


class BuilderRoot(Struct, frozen=True, kw_only=True):
    """The state of a root that a builder announced last."""

    key: str
    made_at: datetime
    seen_at: datetime


class RootHistory(Struct, frozen=True, kw_only=True):
    """What the master knows of a root: its builders, and how far a rebuild is.

    An update is complete when every builder of the root has a state that is none of `former_keys`
    and was made after `former_at`. `cursor` is the last project that the rebuild after it looked
    at; None: no rebuild is under way.
    """

    builders: dict[str, BuilderRoot]  # by label
    former_keys: tuple[str, ...] = ()
    former_at: datetime
    updated_at: datetime | None = None  # when an update was complete last
    cursor: str | None = None
    queued: int = 0  # by the rebuild that is under way
