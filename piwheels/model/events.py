"""The audit log, and what the farm records by itself."""

from datetime import datetime

import msgspec

from piwheels.model.base import Struct


class AuditEvent(Struct, frozen=True, kw_only=True, tag=True):
    """Something an operator did, or that the farm did by itself."""

    event_id: int = msgspec.field(default=0, name="event")  # 0: not stored
    at: datetime
    who: str  # login and host, or a part of the master
    text: str  # one line: what happened
    subject: str = ""  # the project, release, target or builder
    outcome: str = ""  # of a command: "applied", perhaps to what, or "rejected: why"

    @property
    def what(self) -> str:
        """The subject and what happened."""
        return f"{self.subject}: {self.text}" if self.subject else self.text
