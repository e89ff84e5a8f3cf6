"""What is asked of the master on the control socket: Command, and the bodies that it has."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from piwheels.model import BuildRequest, Target
from piwheels.protocol.messages.base import (
    CHUNK_BYTES,
    PROTOCOL,
    BigInt,
    BoundedFloat,
    FileName,
    LongText,
    Message,
    Sha256Hex,
    ShortText,
    SizeBytes,
)
from piwheels.protocol.messages.builder import MAX_TARGETS

#: What one command names: builders, projects, releases. More are more than one command.
_MAX_NAMES = 100_000


class Status(Message, frozen=True, kw_only=True):
    """How is the farm?"""


class Subscribe(Message, frozen=True, kw_only=True):
    """Send a Snapshot now, and Batches of Events from then on."""


class FollowLog(Message, frozen=True, kw_only=True):
    """Send the log of a build from an offset on, and what is added to it until it ends."""

    build: BigInt
    offset: BigInt = 0
    follow: bool = True


class Pause(Message, frozen=True, kw_only=True):
    """Hand out no more jobs."""


class Resume(Message, frozen=True, kw_only=True):
    """Hand out jobs again."""


class BuilderCommand(StrEnum):
    """What an operator can make a builder do."""

    SLEEP = "sleep"  # take no more jobs until woken; kept across restarts
    WAKE = "wake"  # take jobs again; also ends a quarantine
    CANCEL_BUILD = "cancel"  # end the running build; it is retried later
    DRAIN = "drain"  # end after the running build, and stay ended
    RESTART = "restart"  # end after the running build, and start again
    KILL = "kill"  # end now, and stay ended


class CommandBuilders(Message, frozen=True, kw_only=True):
    """Apply a command to the builders of these labels.

    With `immediately` (SLEEP and RESTART), a running build is stopped and its job requeued as if
    it had not begun. With `max_parallel` (RESTART; 0 is all at once), only so many are away at
    the same time: the next one follows when one is back, or has not come back within
    `master.builder_timeout_s`. A master that is restarted forgets those still to come.
    """

    command: BuilderCommand
    builders: Annotated[tuple[ShortText, ...], Meta(max_length=_MAX_NAMES)]
    immediately: bool = False
    max_parallel: Annotated[int, Meta(ge=0, le=2**31)] = 0


class StopMaster(Message, frozen=True, kw_only=True):
    """End the master; builders go on building and wait for the next one."""


class Add(Message, frozen=True, kw_only=True):
    """Follow these projects, and build what was asked of them."""

    requests: Annotated[tuple[BuildRequest, ...], Meta(max_length=_MAX_NAMES)]


class AddTargets(Message, frozen=True, kw_only=True):
    """Build for these targets from now on."""

    targets: Annotated[tuple[Target, ...], Meta(max_length=MAX_TARGETS)]


class Remove(Message, frozen=True, kw_only=True):
    """Remove a project, or one release of it, with its files; keep it out if `skip`."""

    project: ShortText
    version: ShortText | None = None
    skip: LongText | None = None  # the reason not to build it again


class Skip(Message, frozen=True, kw_only=True):
    """Do not build a project, a release or a target, for this reason; None lifts it.

    A project or a release with a target is skipped for that target alone.
    """

    project: ShortText | None = None
    version: ShortText | None = None
    target: ShortText | None = None
    reason: LongText | None = None


class RegeneratePages(Message, frozen=True, kw_only=True):
    """Write pages again: a part of them (db.pages.Part), those of one project, or all."""

    project: ShortText | None = None
    kind: ShortText = ""


class Alias(Message, frozen=True, kw_only=True):
    """Let a name lead to a project's page, or to none when that is None."""

    name: ShortText
    project: ShortText | None = None


class Retry(Message, frozen=True, kw_only=True):
    """Try again what failed; with `built`, build again what was built."""

    project: ShortText
    version: ShortText | None = None
    target: ShortText | None = None
    built: bool = False


class Prioritize(Message, frozen=True, kw_only=True):
    """Let jobs of a project, a release, or either for one target, be due earlier by so long.

    A negative `by_s` is later; 0 is when they were queued.
    """

    project: ShortText
    version: ShortText | None = None
    target: ShortText | None = None
    advance_s: BoundedFloat


class BuilderHistory(Message, frozen=True, kw_only=True):
    """The last state transitions of a builder, the oldest first."""

    builder: ShortText


class ListBuilds(Message, frozen=True, kw_only=True):
    """The builds that ended last, the newest first."""

    limit: BigInt = 200
    project: ShortText | None = None
    failed: bool = False  # only those without a wheel
    slower_than_s: BoundedFloat = 0.0


class ListEvents(Message, frozen=True, kw_only=True):
    """What happened last, the newest first; `before` is an event's number."""

    limit: BigInt = 200
    before: BigInt | None = None


class Explain(Message, frozen=True, kw_only=True):
    """Why is a wheel there or not, and what happens next?"""

    project: ShortText
    version: ShortText | None = None
    target: ShortText | None = None


class ReleaseReport(Message, frozen=True, kw_only=True):
    """How far are these releases, for each of these targets? (`releases`: project, version)."""

    releases: Annotated[tuple[tuple[ShortText, ShortText], ...], Meta(max_length=_MAX_NAMES)]
    targets: Annotated[tuple[ShortText, ...], Meta(max_length=_MAX_NAMES)]


class ImportWheel(Message, frozen=True, kw_only=True):
    """Publish a wheel that was built elsewhere; its bytes are fetched from the asker."""

    filename: FileName
    size_bytes: SizeBytes
    sha256: Sha256Hex


class ImportChunk(Message, frozen=True, kw_only=True):
    """A piece of the wheel of an Import."""

    offset: SizeBytes
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]


class KeepAlive(Message, frozen=True, kw_only=True):
    """The asker of the Watch or FollowLog of this number is still there; Renewed answers it."""


Query = (
    Status
    | Subscribe
    | FollowLog
    | BuilderHistory
    | ListBuilds
    | ListEvents
    | Explain
    | ReleaseReport
)
#: What changes something: it is kept who asked for it, and what came of it.
MutatingCommand = (
    Pause
    | Resume
    | CommandBuilders
    | StopMaster
    | Add
    | AddTargets
    | Remove
    | Skip
    | RegeneratePages
    | Alias
    | Retry
    | Prioritize
    | ImportWheel
)
#: Of a Question or Change that is under way already.
Continuation = KeepAlive | ImportChunk
RequestBody = Query | MutatingCommand | Continuation


class Request(Message, frozen=True, kw_only=True):
    """A request on the control socket; replies carry its number.

    `identity` names a command for good: one that comes a second time under the same identity
    (an answer was lost, say) is not carried out again. A `read_only` asker is refused all
    that would change something.
    """

    request_id: BigInt
    protocol: BigInt = PROTOCOL
    user: ShortText = ""  # login and host, for the event list
    idempotency_key: ShortText = ""
    read_only: bool = False
    body: RequestBody
