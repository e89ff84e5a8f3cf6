"""Every message on every socket, as typed unions: one union per direction per socket.

Messages are msgspec structs with a tag, packed as MessagePack with field names. A peer
states PROTOCOL in its first message; another version is refused with both named.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from piwheels.model import Job, Outcome, Target, Wanted

#: Raised by one with every change that an older peer would not understand.
PROTOCOL = 1

#: The largest piece of a file that one message carries, in bytes.
CHUNK_BYTES = 256 * 1024

#: Builders cut a log at this length, and the master too.
LARGEST_LOG_BYTES = 32 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of every message."""


# --- builder and master ------------------------------------------------------------------


class HostState(Message, frozen=True, kw_only=True):
    """How a machine is: sizes in bytes, temperature in degrees Celsius."""

    load: float = 0.0  # one minute's average
    memory_total: int = 0
    memory_free: int = 0
    swap_total: int = 0
    swap_free: int = 0
    disk_total: int = 0
    disk_free: int = 0
    temperature: float | None = None


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
    busy: int | None = None  # the build that it has in hand


class Idle(Message, frozen=True, kw_only=True):
    """The builder has nothing to do. Sent when so, and again as a sign of life."""

    last_build: int  # the highest build number it was ever given; 0 for none
    host: HostState


class Building(Message, frozen=True, kw_only=True):
    """A sign of life while a build is in hand."""

    build: int
    phase: str
    phase_s: float
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
    duration_s: float
    files: tuple[FileOffer, ...] = ()
    inputs: tuple[str, ...] = ()


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
    """Send a Snapshot now, and Events from then on."""


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

    SLEEP = "sleep"  # take no more jobs until woken
    WAKE = "wake"
    SKIP = "skip"  # drop the build in hand; it goes back for later
    DRAIN = "drain"  # end after the build in hand
    KILL = "kill"  # end now


class OrderBuilders(Message, frozen=True, kw_only=True):
    """Give an order to the builders of these labels."""

    order: Order
    builders: tuple[str, ...]


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
    """Write the pages of one project again, or of all when None."""

    project: str | None = None


class Retry(Message, frozen=True, kw_only=True):
    """Try again what failed; with `built`, build again what was built."""

    project: str
    version: str | None = None
    target: str | None = None
    built: bool = False


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
    """The asker of the Watch or FollowLog of this number is still there."""


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
    | Retry
    | Explain
    | Report
    | Import
    | ImportChunk
)


class Command(Message, frozen=True, kw_only=True):
    """A request on the control socket; replies carry its number."""

    number: int
    protocol: int = PROTOCOL
    operator: str = ""  # login and host, for the event list
    body: Body


class Applied(Message, frozen=True, kw_only=True):
    """The command was carried out; one line says how."""

    text: str
    count: int = 0


class Problem(Message, frozen=True, kw_only=True):
    """The command was not carried out, and why."""

    reason: str


class BuilderView(Message, frozen=True, kw_only=True):
    """A builder as the master sees it."""

    label: str
    state: str  # see farm.sessions.State
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
    phase_s: float = 0.0
    silent_s: float = 0.0
    built: int = 0  # since the master started
    failed: int = 0
    host: HostState = HostState()


class QueueView(Message, frozen=True, kw_only=True):
    """What waits for a target."""

    target: str
    pending: int
    claimed: int
    deferred: int
    oldest_s: float | None = None  # how long the oldest pending job has waited
    served: bool = False  # a builder that serves it is there


class StatusReply(Message, frozen=True, kw_only=True):
    """The farm at a glance."""

    version: str
    uptime_s: float
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
    duration_s: float | None = None
    detail: str = ""  # the wheel, or the failing line
    build: int | None = None


class ReportReply(Message, frozen=True, kw_only=True):
    """The answer to Report."""

    rows: tuple[ReportRow, ...]
    stale_pages: int  # pages that are still to be written


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


class Snapshot(Message, frozen=True, kw_only=True):
    """All that is true now; Events change it from here."""

    status: StatusReply


class BuilderChanged(Message, frozen=True, kw_only=True):
    """A builder is another than before."""

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
    duration_s: float
    detail: str = ""  # the wheel, or the failing line


class Happened(Message, frozen=True, kw_only=True):
    """Somebody did something, or the farm did of itself."""

    at: datetime
    who: str
    what: str


Event = BuilderChanged | BuilderGone | JobStarted | JobEnded | Happened

ReplyBody = (
    Applied
    | Problem
    | StatusReply
    | AddReply
    | ExplainReply
    | ReportReply
    | LogPiece
    | ImportFetch
    | Snapshot
    | Event
)


class Reply(Message, frozen=True, kw_only=True):
    """An answer, or an event of a Watch, to the command of this number."""

    number: int
    body: ReplyBody
