"""How far the copy of the web root in object storage follows."""

from datetime import datetime
from enum import StrEnum

from piwheels.model.base import Struct


class FirstCopy(StrEnum):
    """Which part of the first copy of a web root goes on."""

    INDEX = "index"
    SITE = "site"
    DONE = "done"


class BucketProgress(Struct, frozen=True, kw_only=True):
    """How far a bucket follows.

    waiting: changes that wait to be copied; counted up to 100,000.
    oldest_at: since when the first of those of the index waits.
    is_comparison: whether it is not the first: too many changes waited, and everything is compared.
    fraction: how much of that part is recorded, 0 to 1.
    """

    target: str
    waiting: int
    oldest_at: datetime | None
    first_copy: FirstCopy
    fraction: float
    is_comparison: bool = False
