"""What happens on the farm, as those who watch it are told: Event."""

from datetime import datetime

from piwheels.model import AuditEvent, BuildSummary
from piwheels.protocol.message_base import Message
from piwheels.protocol.messages.status import BuilderView, StatusReply


class BuilderChanged(Message, frozen=True, kw_only=True):
    """A builder is another than before; clocks that simply go on are not told again."""

    builder: BuilderView


class BuilderRemoved(Message, frozen=True, kw_only=True):
    """A builder has left."""

    label: str


class BuildStarted(Message, frozen=True, kw_only=True):
    """A job was handed to a builder."""

    at: datetime
    builder: str
    build: int
    project: str
    version: str
    target: str


class StatusChanged(Message, frozen=True, kw_only=True):
    """The farm at a glance once more, without its builders; sent when something of it changed.

    Clocks that simply go on (waits, the upstream's lag) are told again every minute or so, and
    more seldom the longer they run; uptime is not.
    """

    status: StatusReply


Event = BuilderChanged | BuilderRemoved | BuildStarted | BuildSummary | AuditEvent | StatusChanged
