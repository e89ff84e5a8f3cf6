"""Replies on the control socket: Reply, and its bodies."""

from datetime import datetime

from msgspec import field

from piwheels.model import (
    AuditEvent,
    BuildDetails,
    BuilderPage,
    BuildSummary,
    FailureCause,
    FailureGroup,
    IssuedInvitation,
    ProjectHit,
    ProjectNeeds,
    ProjectOverview,
    QueueDemand,
    QueuedJob,
    Reproduction,
    SeriesBars,
    State,
)
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import BoundedFloat, Message
from piwheels.protocol.messages.events import Event
from piwheels.protocol.messages.logs import LogChunk, LogTail
from piwheels.protocol.messages.status import BuilderView, StatusReply


class Accepted(Message, frozen=True, kw_only=True):
    """A command has arrived and is being executed."""


class CommandSucceeded(Message, frozen=True, kw_only=True):
    """The command was executed; `text` is one line about the result."""

    text: str
    count: int = 0


class CommandFailed(Message, frozen=True, kw_only=True, tag="Problem"):
    """The request failed, and why."""

    reason: str
    retryable: bool = False  # a query, which can be sent again


class AddResult(Message, frozen=True, kw_only=True):
    """The result of one BuildRequest: the releases, or why there are none."""

    requirement: str
    project: str = ""
    versions: tuple[str, ...] = ()
    problem: str = ""


class AddReply(Message, frozen=True, kw_only=True):
    """The answer to Add."""

    added: tuple[AddResult, ...]


class Explanation(Message, frozen=True, kw_only=True):
    """A `ReleaseStatus` with one text; version and target are "" where it holds for more."""

    project: str
    version: str = ""
    target: str = ""
    state: State
    text: str  # the whole answer, one or two sentences
    build: int | None = None
    file: str = ""
    cause: FailureCause | None = None  # why the last build failed
    next_step: str = ""  # what the farm does after that, or why nothing


class ExplainReply(Message, frozen=True, kw_only=True):
    """The answer to Explain."""

    answers: tuple[Explanation, ...]
    targets: tuple[str, ...] = ()  # all that the farm builds for
    needs: ProjectNeeds = ProjectNeeds()  # of builds of the project


class BuilderInvited(Message, frozen=True, kw_only=True):
    """The answer to InviteBuilder; whoever has the token can join, so that nothing records it."""

    token: str
    invitation: IssuedInvitation


class InvitationsReply(Message, frozen=True, kw_only=True):
    """The answer to ListInvitations."""

    invitations: tuple[IssuedInvitation, ...]  # the oldest first


class ReproductionsReply(Message, frozen=True, kw_only=True):
    """The answer to ListReproductions, by file name."""

    reproductions: tuple[Reproduction, ...]


class ProjectHits(Message, frozen=True, kw_only=True):
    """The answer to SearchProjects."""

    hits: tuple[ProjectHit, ...]  # the best first
    projects: int  # all that were searched
    more: bool = False  # others match, too


class ProjectReply(Message, frozen=True, kw_only=True):
    """The answer to ShowProject."""

    overview: ProjectOverview


class DemandReply(Message, frozen=True, kw_only=True):
    """How many jobs wait for builders, and the builders that were started on demand."""

    demand: tuple[QueueDemand, ...]
    waits: str = ""  # why no builder gets a job; "" when they do
    builders: tuple[BuilderView, ...] = ()


class QueueReply(Message, frozen=True, kw_only=True):
    """The answer to ListQueue."""

    jobs: tuple[QueuedJob, ...]  # in their order
    jobs_per_hour: BoundedFloat = 0.0  # that ended lately; 0: none


class ReleaseReportRow(Message, frozen=True, kw_only=True):
    """One line of the table that `piw up --exit-when-idle` prints."""

    project: str
    version: str
    target: str
    resting: bool  # nothing happens within minutes without a command
    covered: bool
    outcome: str
    duration_s: BoundedFloat | None = None
    detail: str = ""  # the wheel, or the failing line
    build: int | None = None


class ReleaseReportReply(Message, frozen=True, kw_only=True):
    """The answer to ReleaseReport."""

    rows: tuple[ReleaseReportRow, ...]
    stale_pages: int  # pages of the index that are still to be written


class ImportChunkRequest(Message, frozen=True, kw_only=True):
    """Send this chunk of the wheel."""

    offset: int
    length: int


class EventBatch(Message, frozen=True, kw_only=True):
    """Events for a Subscribe, in the order in which they happened."""

    events: tuple[Event, ...]


class KeepAliveAck(Message, frozen=True, kw_only=True):
    """The answer to KeepAlive; it shows that the master is there while nothing happens."""


class Snapshot(Message, frozen=True, kw_only=True):
    """The state of the farm; Events change it from here."""

    status: StatusReply
    builds: tuple[BuildSummary, ...] = ()  # that ended last, the newest first
    events: tuple[AuditEvent, ...] = ()  # the newest first
    session: int = 0  # of the client itself, among the operators of the status
    role: ControlRole = ControlRole.ADMINISTER  # of the client itself


class BuilderTransition(Message, frozen=True, kw_only=True):
    """A `Transition` with a time that other machines understand; "disconnected" is no state."""

    at: datetime
    event: str  # the name of a message or an event, or "drain by ada@desk"
    before: str
    after: str
    build: int | None = None
    reason: str = ""  # why it is in its state after the event, as far as that needs a reason


class BuilderHistoryReply(Message, frozen=True, kw_only=True):
    """The answer to BuilderHistory; empty for a builder that was not seen since the start."""

    transitions: tuple[BuilderTransition, ...]


class BuilderReply(Message, frozen=True, kw_only=True):
    """The answer to ShowBuilder."""

    page: BuilderPage


class BuildReply(Message, frozen=True, kw_only=True):
    """The answer to ShowBuild."""

    details: BuildDetails


class BuildsReply(Message, frozen=True, kw_only=True):
    """The answer to ListBuilds."""

    builds: tuple[BuildSummary, ...]
    #: By number, how long other builders take for the same; only if a builder was asked for.
    usual_s: dict[int, BoundedFloat] = field(default_factory=dict)
    targets: tuple[str, ...] = ()  # all that the farm builds for


class FailuresReply(Message, frozen=True, kw_only=True):
    """The answer to ListFailures: a FailureReport, and how old it is."""

    groups: tuple[FailureGroup, ...]
    causes: int
    releases: int
    age_s: BoundedFloat = 0.0


class SeriesReply(Message, frozen=True, kw_only=True):
    """The answer to ReadSeries: the series in the order in which they were named."""

    series: tuple[SeriesBars, ...]
    ended_at: datetime  # when the last bar ends


class EventsReply(Message, frozen=True, kw_only=True):
    """The answer to ListEvents."""

    events: tuple[AuditEvent, ...]


ReplyBody = (
    Accepted
    | CommandSucceeded
    | CommandFailed
    | StatusReply
    | AddReply
    | BuilderInvited
    | InvitationsReply
    | ExplainReply
    | ReproductionsReply
    | ProjectHits
    | ProjectReply
    | QueueReply
    | DemandReply
    | ReleaseReportReply
    | LogChunk
    | LogTail
    | ImportChunkRequest
    | Snapshot
    | BuilderHistoryReply
    | BuilderReply
    | BuildReply
    | BuildsReply
    | FailuresReply
    | SeriesReply
    | EventsReply
    | EventBatch
    | KeepAliveAck
    | Event
)


class Reply(Message, frozen=True, kw_only=True):
    """A reply to the request of this number.

    The name of its number, and the tag of CommandFailed, are those of protocol 1, so that every
    client can read why it was rejected.
    """

    request_id: int = field(name="number")
    body: ReplyBody
