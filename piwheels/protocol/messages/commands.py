"""What is asked of the master on the control socket: Command, and the bodies that it has."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from piwheels.model import Target, Wanted
from piwheels.protocol.messages.basics import (
    CHUNK_BYTES,
    PROTOCOL,
    Digest,
    Figure,
    FileName,
    Message,
    Number,
    Sentence,
    ShortWords,
    SizeBytes,
)
from piwheels.protocol.messages.building import MOST_TARGETS

#: What one command names: builders, projects, releases. More are more than one command.
_MOST_NAMED = 100_000


class Status(Message, frozen=True, kw_only=True):
    """How is the farm?"""


class Watch(Message, frozen=True, kw_only=True):
    """Send a Snapshot now, and Batches of Events from then on."""


class FollowLog(Message, frozen=True, kw_only=True):
    """Send the log of a build from an offset on, and what is added to it until it ends."""

    build: Number
    offset: Number = 0
    follow: bool = True


class Pause(Message, frozen=True, kw_only=True):
    """Hand out no more jobs."""


class Resume(Message, frozen=True, kw_only=True):
    """Hand out jobs again."""


class Order(StrEnum):
    """What can be asked of a builder."""

    SLEEP = "sleep"  # take no more jobs until woken; `at_once` drops the build in hand too
    WAKE = "wake"
    SKIP = "skip"  # drop the build in hand; it goes back for later
    DRAIN = "drain"  # end after the build in hand
    KILL = "kill"  # end now


class OrderBuilders(Message, frozen=True, kw_only=True):
    """Give an order to the builders of these labels.

    With `rolling` (of drains), only so many are drained at a time: the next when one has left
    and come back, or has left for good. A master that is restarted forgets those still to come.
    """

    order: Order
    builders: Annotated[tuple[ShortWords, ...], Meta(max_length=_MOST_NAMED)]
    at_once: bool = False
    rolling: Annotated[int, Meta(ge=0, le=2**31)] = 0


class Quit(Message, frozen=True, kw_only=True):
    """End the master; builders go on building and wait for the next one."""


class Add(Message, frozen=True, kw_only=True):
    """Follow these projects, and build what was asked of them."""

    wanted: Annotated[tuple[Wanted, ...], Meta(max_length=_MOST_NAMED)]


class AddTargets(Message, frozen=True, kw_only=True):
    """Build for these targets from now on."""

    targets: Annotated[tuple[Target, ...], Meta(max_length=MOST_TARGETS)]


class Remove(Message, frozen=True, kw_only=True):
    """Remove a project, or one release of it, with its files; keep it out if `skip`."""

    project: ShortWords
    version: ShortWords | None = None
    skip: Sentence | None = None  # the reason not to build it again


class Skip(Message, frozen=True, kw_only=True):
    """Do not build a project, a release or a target, for this reason; None lifts it.

    A project or a release with a target is skipped for that target alone.
    """

    project: ShortWords | None = None
    version: ShortWords | None = None
    target: ShortWords | None = None
    reason: Sentence | None = None


class Rebuild(Message, frozen=True, kw_only=True):
    """Write pages again: a part of them (db.pages.Part), those of one project, or all."""

    project: ShortWords | None = None
    part: ShortWords = ""


class Alias(Message, frozen=True, kw_only=True):
    """Let a name lead to a project's page, or to none when that is None."""

    name: ShortWords
    project: ShortWords | None = None


class Retry(Message, frozen=True, kw_only=True):
    """Try again what failed; with `built`, build again what was built."""

    project: ShortWords
    version: ShortWords | None = None
    target: ShortWords | None = None
    built: bool = False


class Prioritise(Message, frozen=True, kw_only=True):
    """Let jobs of a project, a release, or either for one target, be due earlier by so long.

    A negative `by_s` is later; 0 is when they were queued.
    """

    project: ShortWords
    version: ShortWords | None = None
    target: ShortWords | None = None
    by_s: Figure


class ListBuilds(Message, frozen=True, kw_only=True):
    """The builds that ended last, the newest first."""

    limit: Number = 200
    project: ShortWords | None = None
    failed: bool = False  # only those without a wheel
    slower_than_s: Figure = 0.0


class ListEvents(Message, frozen=True, kw_only=True):
    """What happened last, the newest first; `before` is an event's number."""

    limit: Number = 200
    before: Number | None = None


class Explain(Message, frozen=True, kw_only=True):
    """Why is a wheel there or not, and what happens next?"""

    project: ShortWords
    version: ShortWords | None = None
    target: ShortWords | None = None


class Report(Message, frozen=True, kw_only=True):
    """How far are these releases, for each of these targets? (`releases`: project, version)."""

    releases: Annotated[tuple[tuple[ShortWords, ShortWords], ...], Meta(max_length=_MOST_NAMED)]
    targets: Annotated[tuple[ShortWords, ...], Meta(max_length=_MOST_NAMED)]


class Import(Message, frozen=True, kw_only=True):
    """Publish a wheel that was built elsewhere; its bytes are fetched from the asker."""

    filename: FileName
    size_bytes: SizeBytes
    sha256: Digest


class ImportChunk(Message, frozen=True, kw_only=True):
    """A piece of the wheel of an Import."""

    offset: SizeBytes
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]


class Renew(Message, frozen=True, kw_only=True):
    """The asker of the Watch or FollowLog of this number is still there; Renewed answers it."""


Question = Status | Watch | FollowLog | ListBuilds | ListEvents | Explain | Report
#: What changes something: it is kept who asked for it, and what came of it.
Change = (
    Pause
    | Resume
    | OrderBuilders
    | Quit
    | Add
    | AddTargets
    | Remove
    | Skip
    | Rebuild
    | Alias
    | Retry
    | Prioritise
    | Import
)
#: Of a Question or Change that is under way already.
Part = Renew | ImportChunk
Body = Question | Change | Part


class Command(Message, frozen=True, kw_only=True):
    """A request on the control socket; replies carry its number.

    `identity` names a command for good: one that comes a second time under the same identity
    (an answer was lost, say) is not carried out again. A `read_only` asker is refused all
    that would change something.
    """

    number: Number
    protocol: Number = PROTOCOL
    operator: ShortWords = ""  # login and host, for the event list
    identity: ShortWords = ""
    read_only: bool = False
    body: Body
