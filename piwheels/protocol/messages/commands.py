"""Requests on the control socket: queries, and what carries the commands of `protocol.commands`."""

import functools
import operator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, field

from piwheels.model import SeriesWindow
from piwheels.protocol.commands import definitions
from piwheels.protocol.message_base import (
    CHUNK_BYTES,
    MAX_NAMES,
    MAX_SERIES,
    PROTOCOL,
    BigInt,
    BoundedFloat,
    CommandMessage,
    LongText,
    Message,
    ShortText,
    SizeBytes,
)


class Status(Message, frozen=True, kw_only=True):
    """The state of the farm; answered by StatusReply."""


class Subscribe(Message, frozen=True, kw_only=True):
    """Send a Snapshot now, and EventBatches from then on."""


class FollowLog(Message, frozen=True, kw_only=True):
    """Send the log of a build from an offset; with `follow`, also what is added until it ends."""

    build: BigInt
    offset: SizeBytes = 0
    follow: bool = True


class TailLog(Message, frozen=True, kw_only=True):
    """The end of the log of a build, after what is known; answered by LogTail."""

    build: BigInt
    known: SizeBytes = 0  # where the log ended when this was asked before, in bytes


class BuilderHistory(Message, frozen=True, kw_only=True):
    """The last state transitions of a builder, the oldest first."""

    builder: ShortText


class ShowBuilder(Message, frozen=True, kw_only=True):
    """A builder's last builds and last 24 hours; answered by BuilderReply."""

    builder: ShortText


class ShowBuild(Message, frozen=True, kw_only=True):
    """A completed build with its phases and inputs; answered by BuildReply."""

    build: BigInt


class ListBuilds(Message, frozen=True, kw_only=True):
    """Recent builds, the newest first."""

    limit: BigInt = 200
    project: ShortText | None = None
    builder: ShortText | None = None  # its builds of the last 7 days
    failed: bool = False  # only those without a wheel
    slower_than_s: BoundedFloat = 0.0
    ended_before: datetime | None = None


class ListEvents(Message, frozen=True, kw_only=True):
    """Recent events, the newest first; `before` is an event's number."""

    limit: BigInt = 200
    before: BigInt | None = None


class ListFailures(Message, frozen=True, kw_only=True):
    """What fails on the whole farm, grouped by cause; answered by FailuresReply."""


class ListInvitations(Message, frozen=True, kw_only=True):
    """The invitations of builders, open or ended lately; answered by InvitationsReply."""


class ReadSeries(Message, frozen=True, kw_only=True):
    """Time series over a window, by name (`farm/built`, say); answered by SeriesReply."""

    names: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_SERIES)]
    window: SeriesWindow


class ListFailedBuilds(Message, frozen=True, kw_only=True):
    """The last builds of the releases of one group of failures; answered by BuildsReply."""

    failure_class: ShortText
    cause: LongText


class Explain(Message, frozen=True, kw_only=True):
    """Why a wheel exists or not, and what happens next."""

    project: ShortText
    version: ShortText | None = None
    target: ShortText | None = None


class ShowProject(Message, frozen=True, kw_only=True):
    """A project with its newest release, or with another; answered by ProjectReply."""

    project: ShortText
    version: ShortText | None = None


class ListQueue(Message, frozen=True, kw_only=True):
    """The jobs that builders take next for a target, 100 at most; answered by QueueReply."""

    target: ShortText


class ListDemand(Message, frozen=True, kw_only=True):
    """How many jobs wait for builders, by target and memory; answered by DemandReply."""


class SearchProjects(Message, frozen=True, kw_only=True):
    """The projects whose names match a text best, 20 at most; answered by ProjectHits."""

    text: ShortText


class ListReproductions(Message, frozen=True, kw_only=True):
    """The newest reproduction of each wheel of a release, or of those for a target."""

    project: ShortText
    version: ShortText
    target: ShortText | None = None


class ReleaseReport(Message, frozen=True, kw_only=True):
    """The state of releases (project, version) for each of these targets."""

    releases: Annotated[tuple[tuple[ShortText, ShortText], ...], Meta(max_length=MAX_NAMES)]
    targets: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_NAMES)]


class ImportChunk(Message, frozen=True, kw_only=True):
    """A chunk of the wheel of an ImportWheel."""

    offset: SizeBytes
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]


class KeepAlive(Message, frozen=True, kw_only=True):
    """The client of the Subscribe or FollowLog with this number is still there."""


class Unsubscribe(Message, frozen=True, kw_only=True):
    """The client has ended the Subscribe or FollowLog with this number; there is no reply."""


Query = (
    Status
    | Subscribe
    | FollowLog
    | TailLog
    | BuilderHistory
    | ShowBuilder
    | ListBuilds
    | ListEvents
    | ListFailures
    | ListInvitations
    | ListReproductions
    | ListFailedBuilds
    | ShowBuild
    | ReadSeries
    | Explain
    | ListQueue
    | ListDemand
    | SearchProjects
    | ShowProject
    | ReleaseReport
)
#: Part of a request that is being handled already.
Continuation = KeepAlive | Unsubscribe | ImportChunk
if TYPE_CHECKING:
    RequestBody = Query | Continuation | CommandMessage
else:  # what is decoded: every message that has a definition
    RequestBody = functools.reduce(
        operator.or_, (item.message for item in definitions()), Query | Continuation
    )


class Request(Message, frozen=True, kw_only=True):
    """A request on the control socket; replies carry its number.

    A command that arrives again with the same `idempotency_key` (a reply was lost, say) is not
    executed again. A `read_only` client may send queries alone.
    """

    request_id: BigInt = field(name="number")
    protocol: BigInt = PROTOCOL
    user: ShortText = ""  # login and host, for the audit log
    idempotency_key: ShortText = ""
    read_only: bool = False
    body: RequestBody
