"""How builders, queues, downloads and the farm are, as operators are told."""

from enum import StrEnum

from piwheels.model import HostMetrics, LiveDownloads, QueueStatus
from piwheels.protocol.message_base import BoundedFloat, Message

#: Counts older than this are shown with their age; on a large farm they take seconds to refresh.
STALE_COUNTS_S = 30.0


class BuilderState(StrEnum):
    """What a builder is doing, as operators see it."""

    IDLE = "idle"  # nothing is queued for its targets
    PAUSED = "paused"  # idle because the farm is paused
    BUILDING = "building"
    UPLOADING = "uploading"
    FINISHING = "finishing"  # its build is settled, and it has not asked for another yet
    DRAINING = "draining"  # ends after the build in hand
    TO_SLEEP = "to sleep"  # building, and gets no further job until woken
    ASLEEP = "asleep"
    OVERDUE = "overdue"  # building for longer than such a build is expected to take
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
    release_version: str = ""
    target: str = ""
    phase: str = ""
    phase_s: BoundedFloat = 0.0
    build_s: BoundedFloat = 0.0  # since the job was handed out
    expected_s: BoundedFloat = (
        0.0  # a build in hand for longer is stuck; 0 where nothing is expected
    )
    limit_s: BoundedFloat = 0.0  # the builder ends a build after so long; 0 where it did not say
    since_last_message_s: BoundedFloat = (
        0.0  # when this was told; it grows only in the states silent and lost
    )
    built: int = 0  # since the master started
    failed: int = 0
    built_last_hour: int = 0
    failed_last_hour: int = 0
    host: HostMetrics = HostMetrics()
    load_history: tuple[
        BoundedFloat, ...
    ] = ()  # of the last minutes, oldest first; in a Snapshot only


class StatusReply(Message, frozen=True, kw_only=True):
    """The farm at a glance."""

    version: str
    instance: str = ""  # another for each start of a master
    uptime_s: BoundedFloat
    paused: bool
    waits: str = ""  # why no builder gets a job, beside a pause; "" when they do
    builders: tuple[BuilderView, ...]
    queues: tuple[QueueStatus, ...]
    last_hour: dict[str, int]  # builds by outcome
    projects: int
    releases: int
    files: int
    files_bytes: int
    builds: int
    stale_pages: int
    #: How old queues, last_hour and stale_pages are: a slow database delays no answer.
    counts_age_s: BoundedFloat = 0.0
    database_bytes: int
    host: HostMetrics
    upstream_status_text: str = ""  # what the follower last said
    upstream_lag_s: BoundedFloat | None = None  # since the upstream was last read to its end
    downloads: LiveDownloads = LiveDownloads()
    totals_age_s: BoundedFloat = (
        0.0  # how old projects, releases, files, builds and database_bytes are
    )
    database: str = ""  # what the master waits for its database for; "" when it does not
