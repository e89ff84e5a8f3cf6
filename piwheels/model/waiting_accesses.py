"""Single accesses that stay in the database because they cannot be moved to files."""

from datetime import datetime

from piwheels.model.base import Struct


class WaitingAccesses(Struct, frozen=True, kw_only=True):
    """What waits, and why.

    problem: why it could not be moved the last time. since: when it could not for the first time.
    bytes: its size in the database then, the last time.
    """

    problem: str
    since: datetime
    bytes: int
