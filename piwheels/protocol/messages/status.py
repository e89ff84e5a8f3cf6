"""The state of builders, queues, downloads and the farm, as shown to operators."""

from datetime import datetime
from enum import StrEnum

from piwheels.model import (
    Alert,
    AwaitedPackage,
    BucketProgress,
    BuildHistory,
    HostMetrics,
    LiveDownloads,
    QueueStatus,
    RefusedKey,
    WaitingAccesses,
)
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import BoundedFloat, Message

#: Counts older than this are shown with their age: the database does not answer.
STALE_COUNTS_S = 30.0


def no_jobs_text(reason: str) -> str:
    """What operators read while no builder gets a job (StatusReply.waits)."""
    return f"no jobs are assigned: {reason}"


class BuilderState(StrEnum):
    """What a builder is doing."""

    IDLE = "idle"  # nothing is queued for its targets
    PAUSED = "paused"  # idle because the farm is paused
    BUILDING = "building"
    UPLOADING = "uploading"
    FINISHING = "finishing"  # its build ended, and it is not idle yet
    DRAINING = "draining"  # ends or restarts after its running build
    TO_SLEEP = "to sleep"  # building, and gets no further job until woken
    ASLEEP = "asleep"
    OVERDUE = "overdue"  # building for longer than expected
    SILENT = "silent"  # no message for half a minute
    LOST = "lost"  # no message for so long that its job was queued again
    #: An operator ended its process, which is shown until it is back, or for three days; or it was
    #: started on demand, and ended, which is shown for an hour.
    ENDED = "ended"
    QUARANTINED = "quarantined"  # its builds fail because of it; gets one now and then, as a test


class BuilderView(Message, frozen=True, kw_only=True):
    """A builder as the master knows it.

    Of its `Job` it has the names only: no console shows the sdist, and a view is sent often.
    """

    label: str
    state: BuilderState
    state_s: BoundedFloat = 0.0  # for how long it has been in its state, when this was sent
    reason: str = ""
    targets: tuple[str, ...] = ()
    platform: str = ""
    board: str = ""
    os: str = ""
    version: str = ""
    protocol: int = 0  # 0: of a master that does not say
    sandboxed: bool = True
    on_demand: bool = False  # it was started for what is queued, and ends by itself
    build: int | None = None
    project: str = (
        ""  # with the next two: what it builds, or what was queued again when it was lost
    )
    release_version: str = ""
    target: str = ""
    phase: str = ""
    phase_s: BoundedFloat = 0.0
    build_s: BoundedFloat = 0.0  # since the builder got the job
    expected_s: BoundedFloat = 0.0  # a longer build is overdue; 0: nothing is expected
    longest_s: BoundedFloat = 0.0  # the longest successful build of its project; 0: unknown
    limit_s: BoundedFloat = 0.0  # the builder ends a longer build; 0: unknown
    since_last_message_s: BoundedFloat = (
        0.0  # when this was sent; it grows only in the states silent and lost
    )
    built: int = 0  # since the master started
    failed: int = 0
    built_last_hour: int = 0
    failed_last_hour: int = 0
    host: HostMetrics = HostMetrics()
    clock_offset_s: BoundedFloat | None = None  # ahead of the master's clock; None is unknown
    #: How many times as long as other builders' its last 10 builds took; None is unknown.
    peer_ratio: BoundedFloat | None = None
    load_history: tuple[
        BoundedFloat, ...
    ] = ()  # of the last minutes, oldest first; in a Snapshot only


class OperatorSession(Message, frozen=True, kw_only=True):
    """A console that is connected, and what its operator did last."""

    session: int  # differs for each connection
    name: str  # as in events: login and host, and the key's name over TCP
    origin: str  # the address that it connects from
    since: datetime
    role: ControlRole = ControlRole.ADMINISTER
    last_command: str = ""  # as in events
    last_command_at: datetime | None = None


class StatusReply(Message, frozen=True, kw_only=True):
    """The status of the farm."""

    version: str
    instance: str = ""  # differs for each start of a master
    uptime_s: BoundedFloat
    paused: bool
    paused_by: str = ""  # the operator
    paused_at: datetime | None = None
    waits: str = ""  # why no builder gets a job, apart from a pause; "" when they do
    builders: tuple[BuilderView, ...]
    queues: tuple[QueueStatus, ...]
    awaited_packages: tuple[AwaitedPackage, ...] = ()  # by how many releases wait for each
    last_hour: dict[str, int]  # builds by outcome
    build_history: BuildHistory = BuildHistory()
    projects: int
    releases: int
    files: int
    files_bytes: int
    builds: int
    stale_pages: int
    oldest_page_at: datetime | None = None  # since when one of the index has waited
    bucket: BucketProgress | None = None  # the copy of the web root; None without publish.target
    bucket_problem: str = ""  # why nothing can be copied now; "" if it can
    waiting_accesses: WaitingAccesses | None = None  # that could not be moved to files
    #: How old queues, last_hour and stale_pages are: a slow database delays no answer.
    counts_age_s: BoundedFloat = 0.0
    database_bytes: int
    host: HostMetrics
    upstream_status_text: str = ""  # of the upstream sync, one line
    upstream_lag_s: BoundedFloat | None = None  # since the upstream was last read completely
    downloads: LiveDownloads = LiveDownloads()
    totals_age_s: BoundedFloat = (
        0.0  # how old projects, releases, files, builds and database_bytes are
    )
    index_url: str = ""  # what `pip install --index-url` takes, as the settings say
    alerts: tuple[Alert, ...] = ()  # the worst first, then those that were cleared lately
    operators: tuple[OperatorSession, ...] = ()  # with a console, the first to connect first
    refused_keys: tuple[RefusedKey, ...] = ()  # in the last 10 minutes, 20 at most
    database: str = ""  # what the database keeps the master waiting for; "" when it does not
    replication: str = ""  # why a failover can lose acknowledged builds; "" when it cannot
