"""Events that are sent to subscribers: Event."""

from piwheels.model import Alert, AuditEvent, BuildSummary
from piwheels.protocol.message_base import Message
from piwheels.protocol.messages.status import BuilderView, OperatorSession, StatusReply


class BuilderChanged(Message, frozen=True, kw_only=True):
    """A builder changed; durations that simply grow are not sent again."""

    builder: BuilderView


class BuilderRemoved(Message, frozen=True, kw_only=True):
    """A builder is not shown any more."""

    label: str


class StatusChanged(Message, frozen=True, kw_only=True):
    """The status of the farm changed; without its builders, alerts and operators.

    Durations that simply grow (waits, the upstream's lag) are sent again every minute or so, and
    less often the longer they are; the uptime is not.
    """

    status: StatusReply


class AlertsChanged(Message, frozen=True, kw_only=True):
    """An alert was raised, changed or cleared; with all alerts, as in StatusReply."""

    alerts: tuple[Alert, ...]


class OperatorsChanged(Message, frozen=True, kw_only=True):
    """A console was connected or disconnected, or its operator did something; with all of them."""

    operators: tuple[OperatorSession, ...]


Event = (
    BuilderChanged
    | BuilderRemoved
    | BuildSummary
    | AuditEvent
    | StatusChanged
    | AlertsChanged
    | OperatorsChanged
)
