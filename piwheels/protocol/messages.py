"""Every message on every socket, as typed unions: one union per direction per socket.

Messages are msgspec structs with a tag, packed as MessagePack with field names. A peer
states PROTOCOL in its first message; another version is refused with both named.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from piwheels.model import Job, Outcome, Target, Wanted

#: Raised by one with every change that an older peer would not understand.
PROTOCOL = 1

#: The largest piece of a file that one message carries, in bytes.
CHUNK_BYTES = 256 * 1024

#: Builders cut a log at this length, and the master too.
LARGEST_LOG_BYTES = 32 * 1024 * 1024


# What strangers' figures and words may be (a builder's, or a recording's that somebody sent).
# Others, and NaN with them, make a message malformed: whoever reckons with them would end.
Figure = Annotated[float, Meta(ge=-1e12, le=1e12)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
SizeBytes = Annotated[int, Meta(ge=0, le=2**62)]
Words = Annotated[str, Meta(pattern=r"\A[^\0]*\Z")]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of every message."""


# --- builder and master ------------------------------------------------------------------


class HostState(Message, frozen=True, kw_only=True):
    """How a machine is: sizes in bytes, temperature in degrees Celsius."""

    load: Figure = 0.0  # one minute's average
    memory_total: SizeBytes = 0
    memory_free: SizeBytes = 0
    swap_total: SizeBytes = 0
    swap_free: SizeBytes = 0
    disk_total: SizeBytes = 0
    disk_free: SizeBytes = 0
    temperature: Figure | None = None


class Hello(Message, frozen=True, kw_only=True):
    """A builder's first message on every connection: who it is and what it serves."""

    protocol: int
    version: str  # of piwheels
    targets: tuple[Target, ...]
    platform: str  # "linux aarch64"
    board: str
    os: str
    host: HostState
    sandboxed: bool = True
    limit_s: Seconds = 0.0  # it ends a build after so long
    busy: int | None = None  # the build that it has in hand


class Idle(Message, frozen=True, kw_only=True):
    """The builder has nothing to do. Sent when so, and again as a sign of life."""

    last_build: int  # the highest build number it was ever given; 0 for none
    host: HostState


class Building(Message, frozen=True, kw_only=True):
    """A sign of life while a build is in hand."""

    build: int
    phase: str
    phase_s: Seconds
    host: HostState


class LogLines(Message, frozen=True, kw_only=True):
    """A piece of a build's log; `offset` is where in the log it begins, in bytes."""

    build: int
    offset: int
    data: bytes


class FileOffer(Message, frozen=True, kw_only=True):
    """A wheel that a build made, as its builder describes it; the master trusts none of it."""

    filename: str
    size_bytes: int
    sha256: str
    dependencies: tuple[str, ...] = ()  # Debian packages


class Built(Message, frozen=True, kw_only=True):
    """A build has ended, and how. Repeated after every Welcome until Done answers it."""

    build: int
    outcome: Outcome
    reason: str = ""
    duration_s: Seconds
    files: tuple[FileOffer, ...] = ()
    inputs: tuple[Words, ...] = ()


class Bye(Message, frozen=True, kw_only=True):
    """The builder is going away on purpose; what it had in hand can go to another."""

    reason: str = ""


FromBuilder = Hello | Idle | Building | LogLines | Built | Bye


class Welcome(Message, frozen=True, kw_only=True):
    """The answer to Hello: you are known; this is how we talk."""

    label: str
    log_offset: int = 0  # so much of the log of the build in hand has arrived


class Wait(Message, frozen=True, kw_only=True):
    """Nothing to build now, for this reason; a Build may follow at any time."""

    reason: str


class BuildJob(Message, frozen=True, kw_only=True):
    """Build this."""

    job: Job


class Continue(Message, frozen=True, kw_only=True):
    """The master heard you; go on."""


class Abandon(Message, frozen=True, kw_only=True):
    """Stop this build and forget it."""

    build: int
    reason: str


class Send(Message, frozen=True, kw_only=True):
    """Offer the files of this build on the file socket."""

    build: int


class Done(Message, frozen=True, kw_only=True):
    """The build is settled; its folder can be emptied."""

    build: int
    note: str = ""


class Stop(Message, frozen=True, kw_only=True):
    """End your process, after the build in hand if `after_build`."""

    reason: str
    after_build: bool = False


class Refused(Message, frozen=True, kw_only=True):
    """A message that was not accepted, and why. `fatal` means that no retry will help."""

    reason: str
    fatal: bool = False


ToBuilder = Welcome | Wait | BuildJob | Continue | Abandon | Send | Done | Stop | Refused

# --- the file socket ---------------------------------------------------------------------


class Offer(Message, frozen=True, kw_only=True):
    """Builder: this file of this build can be fetched from me."""

    build: int
    filename: str
    size_bytes: int


class Chunk(Message, frozen=True, kw_only=True):
    """Builder: a piece of the offered file; its bytes are the frame that follows."""

    build: int
    filename: str
    offset: int


FromSender = Offer | Chunk


class Fetch(Message, frozen=True, kw_only=True):
    """Master: send me this piece. Each is one credit; the sender keeps none unanswered."""

    build: int
    filename: str
    offset: int
    length: int


class Fetched(Message, frozen=True, kw_only=True):
    """Master: the file is complete, or is no longer wanted."""

    build: int
    filename: str
    note: str = ""


ToSender = Fetch | Fetched | Refused

# --- control -----------------------------------------------------------------------------


class Status(Message, frozen=True, kw_only=True):
    """How is the farm?"""


class Watch(Message, frozen=True, kw_only=True):
    """Send a Snapshot now, and Batches of Events from then on."""


class FollowLog(Message, frozen=True, kw_only=True):
    """Send the log of a build from an offset on, and what is added to it until it ends."""

    build: int
    offset: int = 0
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
    builders: tuple[str, ...]
    at_once: bool = False
    rolling: int = 0


class Quit(Message, frozen=True, kw_only=True):
    """End the master; builders go on building and wait for the next one."""


class Add(Message, frozen=True, kw_only=True):
    """Follow these projects, and build what was asked of them."""

    wanted: tuple[Wanted, ...]


class AddTargets(Message, frozen=True, kw_only=True):
    """Build for these targets from now on."""

    targets: tuple[Target, ...]


class Remove(Message, frozen=True, kw_only=True):
    """Remove a project, or one release of it, with its files; keep it out if `skip`."""

    project: str
    version: str | None = None
    skip: str | None = None  # the reason not to build it again


class Skip(Message, frozen=True, kw_only=True):
    """Do not build a project, a release or a target, for this reason; None lifts it."""

    project: str | None = None
    version: str | None = None
    target: str | None = None
    reason: str | None = None


class Rebuild(Message, frozen=True, kw_only=True):
    """Write pages again: a part of them (db.pages.Part), those of one project, or all."""

    project: str | None = None
    part: str = ""


class Alias(Message, frozen=True, kw_only=True):
    """Let a name lead to a project's page, or to none when that is None."""

    name: str
    project: str | None = None


class Retry(Message, frozen=True, kw_only=True):
    """Try again what failed; with `built`, build again what was built."""

    project: str
    version: str | None = None
    target: str | None = None
    built: bool = False


class Prioritise(Message, frozen=True, kw_only=True):
    """Let the jobs of a project, or of one release, be due earlier by so many seconds.

    A negative `by_s` is later; 0 is when they were queued.
    """

    project: str
    version: str | None = None
    by_s: float


class ListBuilds(Message, frozen=True, kw_only=True):
    """The builds that ended last, the newest first."""

    limit: int = 200
    project: str | None = None
    failed: bool = False  # only those without a wheel
    slower_than_s: float = 0.0


class ListEvents(Message, frozen=True, kw_only=True):
    """What happened last, the newest first; `before` is an event's number."""

    limit: int = 200
    before: int | None = None


class Explain(Message, frozen=True, kw_only=True):
    """Why is a wheel there or not, and what happens next?"""

    project: str
    version: str | None = None
    target: str | None = None


class Report(Message, frozen=True, kw_only=True):
    """How far are these releases, for each of these targets? (`releases`: project, version)."""

    releases: tuple[tuple[str, str], ...]
    targets: tuple[str, ...]


class Import(Message, frozen=True, kw_only=True):
    """Publish a wheel that was built elsewhere; its bytes are fetched from the asker."""

    filename: str
    size_bytes: int
    sha256: str


class ImportChunk(Message, frozen=True, kw_only=True):
    """A piece of the wheel of an Import."""

    offset: int
    data: bytes


class Renew(Message, frozen=True, kw_only=True):
    """The asker of the Watch or FollowLog of this number is still there; Renewed answers it."""


Body = (
    Status
    | Renew
    | Watch
    | FollowLog
    | Pause
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
    | ListBuilds
    | ListEvents
    | Explain
    | Report
    | Import
    | ImportChunk
)


class Command(Message, frozen=True, kw_only=True):
    """A request on the control socket; replies carry its number.

    `identity` names a command for good: one that comes a second time under the same identity
    (an answer was lost, say) is not carried out again. A `read_only` asker is refused all
    that would change something.
    """

    number: int
    protocol: int = PROTOCOL
    operator: str = ""  # login and host, for the event list
    identity: str = ""
    read_only: bool = False
    body: Body


class Accepted(Message, frozen=True, kw_only=True):
    """A command that changes something has arrived and is being carried out."""


class Applied(Message, frozen=True, kw_only=True):
    """The command was carried out; one line says how."""

    text: str
    count: int = 0


class Problem(Message, frozen=True, kw_only=True):
    """The command was not carried out, and why."""

    reason: str


class BuilderState(StrEnum):
    """What a builder is doing, as operators see it."""

    IDLE = "idle"  # nothing is queued for its targets
    PAUSED = "paused"  # idle because the farm is paused
    BUILDING = "building"
    UPLOADING = "uploading"
    CLEANING = "cleaning"  # its build is settled, and it has not asked for another yet
    DRAINING = "draining"  # ends after the build in hand
    ASLEEP = "asleep"
    STUCK = "stuck"  # building for longer than such a build is expected to take
    SILENT = "silent"  # not heard for half a minute
    LOST = "lost"  # not heard for so long that its job went to another
    QUARANTINED = "quarantined"  # failed of itself again and again; gets no jobs until woken


class BuilderView(Message, frozen=True, kw_only=True):
    """A builder as the master sees it."""

    label: str
    state: str  # see BuilderState
    reason: str = ""
    targets: tuple[str, ...] = ()
    platform: str = ""
    board: str = ""
    os: str = ""
    version: str = ""
    sandboxed: bool = True
    build: int | None = None
    project: str = ""
    version_built: str = ""
    target: str = ""
    phase: str = ""
    phase_s: Figure = 0.0
    build_s: Figure = 0.0  # since the job was handed out
    expected_s: Figure = 0.0  # a build in hand for longer is stuck; 0 where nothing is expected
    limit_s: Figure = 0.0  # the builder ends a build after so long; 0 where it did not say
    silent_s: Figure = 0.0  # when this was told; it grows only in the states silent and lost
    built: int = 0  # since the master started
    failed: int = 0
    built_last_hour: int = 0
    failed_last_hour: int = 0
    host: HostState = HostState()
    loads: tuple[Figure, ...] = ()  # of the last minutes, oldest first; in a Snapshot only


class QueueView(Message, frozen=True, kw_only=True):
    """What waits for a target."""

    target: str
    abi: str = ""
    platform: str = ""  # "trixie aarch64"
    pending: int
    claimed: int
    deferred: int
    built_last_hour: int = 0
    oldest_s: Figure | None = None  # how long the oldest pending job has waited
    served: bool = False  # a builder that serves it is there


class DownloadCount(Message, frozen=True, kw_only=True):
    """How often something (a project, an architecture, ...) was downloaded."""

    name: str
    count: int


class Downloads(Message, frozen=True, kw_only=True):
    """What the access log tells; days are those of UTC."""

    connected: bool = False  # an access log is being read
    total: int = 0
    today: int = 0
    last_30_days: int = 0
    record_day: int = 0  # the most downloads of one day
    record_date: str = ""  # that day, "2026-11-23"
    rate_per_s: Figure = 0.0  # over the last seconds
    per_minute: tuple[int, ...] = ()  # of the last 60 whole minutes, oldest first
    top: tuple[DownloadCount, ...] = ()  # projects, today
    architectures: tuple[DownloadCount, ...] = ()  # today, as are the next two
    pythons: tuple[DownloadCount, ...] = ()
    installers: tuple[DownloadCount, ...] = ()


class StatusReply(Message, frozen=True, kw_only=True):
    """The farm at a glance."""

    version: str
    instance: str = ""  # another for each start of a master
    uptime_s: Figure
    paused: bool
    builders: tuple[BuilderView, ...]
    queues: tuple[QueueView, ...]
    last_hour: dict[str, int]  # builds by outcome
    projects: int
    releases: int
    files: int
    files_bytes: int
    builds: int
    stale_pages: int
    database_bytes: int
    host: HostState
    upstream: str = ""  # what the follower last said
    upstream_lag_s: Figure | None = None  # since the upstream was last read to its end
    downloads: Downloads = Downloads()


class Added(Message, frozen=True, kw_only=True):
    """What came of one Wanted: the releases, or why there are none."""

    requirement: str
    project: str = ""
    versions: tuple[str, ...] = ()
    problem: str = ""


class AddReply(Message, frozen=True, kw_only=True):
    """What came of an Add."""

    added: tuple[Added, ...]


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


class ReportRow(Message, frozen=True, kw_only=True):
    """One line of the table that `piw up --exit-when-idle` prints."""

    project: str
    version: str
    target: str
    settled: bool
    covered: bool
    outcome: str
    duration_s: Figure | None = None
    detail: str = ""  # the wheel, or the failing line
    build: int | None = None


class ReportReply(Message, frozen=True, kw_only=True):
    """The answer to Report."""

    rows: tuple[ReportRow, ...]
    stale_pages: int  # pages of the index that are still to be written


class LogPiece(Message, frozen=True, kw_only=True):
    """A piece of a log; `finished` when no more will come."""

    build: int
    offset: int
    data: bytes
    finished: bool = False


class ImportFetch(Message, frozen=True, kw_only=True):
    """Send this piece of the wheel."""

    offset: int
    length: int


class BuilderChanged(Message, frozen=True, kw_only=True):
    """A builder is another than before; clocks that simply go on are not told again."""

    builder: BuilderView


class BuilderGone(Message, frozen=True, kw_only=True):
    """A builder has left."""

    label: str


class JobStarted(Message, frozen=True, kw_only=True):
    """A job was handed to a builder."""

    at: datetime
    builder: str
    build: int
    project: str
    version: str
    target: str


class JobEnded(Message, frozen=True, kw_only=True):
    """A build was settled."""

    at: datetime
    builder: str
    build: int
    project: str
    version: str
    target: str
    outcome: str
    duration_s: Figure
    detail: str = ""  # the wheel, or the failing line


class Happened(Message, frozen=True, kw_only=True):
    """Somebody did something, or tried to, or the farm did of itself."""

    event: int = 0  # its number in the list; 0 for one that is not kept
    at: datetime
    who: str  # login and host, or "master"
    what: str  # one line
    outcome: str = ""  # "applied", or "refused: why"; "" for what the farm did of itself


class Pulse(Message, frozen=True, kw_only=True):
    """The farm at a glance once more, without its builders; sent when something of it changed.

    Clocks that simply go on (waits, the upstream's lag) are told again every minute or so, and
    more seldom the longer they run; uptime is not.
    """

    status: StatusReply


Event = BuilderChanged | BuilderGone | JobStarted | JobEnded | Happened | Pulse


class Batch(Message, frozen=True, kw_only=True):
    """Events of a Watch in the order in which they happened, in one message."""

    events: tuple[Event, ...]


class Renewed(Message, frozen=True, kw_only=True):
    """The answer to a Renew, and the master's sign of life when it has nothing to tell."""


class Snapshot(Message, frozen=True, kw_only=True):
    """All that is true now; Events change it from here."""

    status: StatusReply
    builds: tuple[JobEnded, ...] = ()  # that ended last, the newest first
    events: tuple[Happened, ...] = ()  # the newest first


class BuildsReply(Message, frozen=True, kw_only=True):
    """The answer to ListBuilds."""

    builds: tuple[JobEnded, ...]


class EventsReply(Message, frozen=True, kw_only=True):
    """The answer to ListEvents."""

    events: tuple[Happened, ...]


ReplyBody = (
    Accepted
    | Applied
    | Problem
    | StatusReply
    | AddReply
    | ExplainReply
    | ReportReply
    | LogPiece
    | ImportFetch
    | Snapshot
    | BuildsReply
    | EventsReply
    | Batch
    | Renewed
    | Event
)


class Reply(Message, frozen=True, kw_only=True):
    """An answer, or an event of a Watch, to the command of this number."""

    number: int
    body: ReplyBody
