"""What the master answers on the control socket: Reply, and the bodies that it has."""

from datetime import datetime

from piwheels.model import AuditEvent, BuildSummary
from piwheels.protocol.message_base import BoundedFloat, Message
from piwheels.protocol.messages.events import Event
from piwheels.protocol.messages.logs import LogChunk
from piwheels.protocol.messages.status import StatusReply


class Accepted(Message, frozen=True, kw_only=True):
    """A command that changes something has arrived and is being carried out."""


class CommandSucceeded(Message, frozen=True, kw_only=True):
    """The command was carried out; one line says how."""

    text: str
    count: int = 0


class CommandFailed(Message, frozen=True, kw_only=True):
    """The command was not carried out, and why."""

    reason: str
    retryable: bool = False  # it was a question, and can be asked again


class AddResult(Message, frozen=True, kw_only=True):
    """What came of one Wanted: the releases, or why there are none."""

    requirement: str
    project: str = ""
    versions: tuple[str, ...] = ()
    problem: str = ""


class AddReply(Message, frozen=True, kw_only=True):
    """What came of an Add."""

    added: tuple[AddResult, ...]


class Explanation(Message, frozen=True, kw_only=True):
    """The state of one release for one target (either "" when it says more)."""

    project: str
    version: str = ""
    target: str = ""
    state: str  # one word: covered, queued, building, deferred, failed, ...
    text: str  # the whole answer, one or two sentences
    build: int | None = None
    file: str = ""


class ExplainReply(Message, frozen=True, kw_only=True):
    """The answer to Explain."""

    answers: tuple[Explanation, ...]
    targets: tuple[str, ...] = ()  # all that the farm builds for


class ReleaseReportRow(Message, frozen=True, kw_only=True):
    """One line of the table that `piw up --exit-when-idle` prints."""

    project: str
    version: str
    target: str
    resting: bool  # nothing more happens within minutes unless somebody asks for it
    covered: bool
    outcome: str
    duration_s: BoundedFloat | None = None
    detail: str = ""  # the wheel, or the failing line
    build: int | None = None


class ReleaseReportReply(Message, frozen=True, kw_only=True):
    """The answer to Report."""

    rows: tuple[ReleaseReportRow, ...]
    stale_pages: int  # pages of the index that are still to be written


class ImportChunkRequest(Message, frozen=True, kw_only=True):
    """Send this piece of the wheel."""

    offset: int
    length: int


class EventBatch(Message, frozen=True, kw_only=True):
    """Events of a Watch in the order in which they happened, in one message."""

    events: tuple[Event, ...]


class KeepAliveAck(Message, frozen=True, kw_only=True):
    """The answer to a Renew, and the master's sign of life when it has nothing to tell."""


class Snapshot(Message, frozen=True, kw_only=True):
    """All that is true now; Events change it from here."""

    status: StatusReply
    builds: tuple[BuildSummary, ...] = ()  # that ended last, the newest first
    events: tuple[AuditEvent, ...] = ()  # the newest first


class BuilderTransition(Message, frozen=True, kw_only=True):
    """An event, and a builder's state before and after it; "disconnected" is none."""

    at: datetime
    event: str  # the name of a message or an event, or "drain by ada@desk"
    before: str
    after: str
    build: int | None = None
    reason: str = ""  # why it is in its state after the event, as far as that needs a reason


class BuilderHistoryReply(Message, frozen=True, kw_only=True):
    """The answer to BuilderHistory; empty for a builder that was not seen since the start."""

    transitions: tuple[BuilderTransition, ...]


class BuildsReply(Message, frozen=True, kw_only=True):
    """The answer to ListBuilds."""

    builds: tuple[BuildSummary, ...]
    targets: tuple[str, ...] = ()  # all that the farm builds for


class EventsReply(Message, frozen=True, kw_only=True):
    """The answer to ListEvents."""

    events: tuple[AuditEvent, ...]


ReplyBody = (
    Accepted
    | CommandSucceeded
    | CommandFailed
    | StatusReply
    | AddReply
    | ExplainReply
    | ReleaseReportReply
    | LogChunk
    | ImportChunkRequest
    | Snapshot
    | BuilderHistoryReply
    | BuildsReply
    | EventsReply
    | EventBatch
    | KeepAliveAck
    | Event
)


class Reply(Message, frozen=True, kw_only=True):
    """An answer, or an event of a Watch, to the command of this number."""

    request_id: int
    body: ReplyBody
