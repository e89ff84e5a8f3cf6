"""A small farm in which every state occurs, for tests of what is drawn."""

from datetime import UTC, datetime, timedelta

from piwheels.model import (
    Alert,
    AlertRule,
    AuditEvent,
    BuildHistory,
    BuildSummary,
    ExpectedWait,
    FailureGroup,
    HostMetrics,
    LiveDownloads,
    Outcome,
    ProjectDownloads,
    ProjectHit,
    ProjectNeeds,
    ProjectOverview,
    QueueStatus,
    Severity,
    State,
    TargetProgress,
)
from piwheels.protocol.messages import (
    BuilderState,
    BuilderView,
    FailuresReply,
    ProjectHits,
    Snapshot,
    StatusReply,
)
from tests.tui.static_source import NOON

GIB = 1024**3
_TRIXIE = ("cp311-trixie-aarch64", "cp313-trixie-aarch64")
_HOST = HostMetrics(
    load=2.31,
    memory_total=8 * GIB,
    memory_free=5 * GIB,
    swap_total=2 * GIB,
    swap_free=2 * GIB,
    disk_total=120 * GIB,
    disk_free=80 * GIB,
    temperature=57.0,
)
_LOADS = (0.2, 0.8, 1.9, 3.8, 4.0, 3.9, 2.0, 1.1, 0.4, 0.9, 2.5, 3.9)


def builder(label: str, state: str, **facts: object) -> BuilderView:
    known = {
        "targets": _TRIXIE,
        "platform": "linux aarch64",
        "board": "Raspberry Pi 5 Model B Rev 1.0",
        "os": "trixie",
        "version": "1.0.0",
        "host": _HOST,
        "load_history": _LOADS,
        "built_last_hour": 7,
        "failed_last_hour": 1,
    }
    return BuilderView(label=label, state=BuilderState(state), **(known | facts))  # type: ignore[arg-type]


def building(label: str, state: str, project: str, build: int, **facts: object) -> BuilderView:
    known = {
        "build": build,
        "project": project,
        "release_version": "2.1.0",
        "target": "cp313-trixie-aarch64",
        "phase": "wheel",
        "phase_s": 754.0,
        "build_s": 840.0,
        "limit_s": 10_800.0,
    }
    return builder(label, state, **(known | facts))


def queue(target: str, **facts: object) -> QueueStatus:
    abi, _, platform = target.partition("-")
    known = {"platform": platform.replace("-", " "), "claimed": 0, "deferred": 0}
    return QueueStatus(target=target, abi=abi, **(known | facts))  # type: ignore[arg-type]


def build_finished(
    build: int, project: str, outcome: str, detail: str, minutes: int
) -> BuildSummary:
    return BuildSummary(
        ended_at=datetime.fromtimestamp(NOON, UTC) - timedelta(minutes=minutes),
        builder="pi4-attic",
        build_id=build,
        project=project,
        version="1.4.2",
        target="cp311-trixie-aarch64",
        outcome=Outcome(outcome),
        duration_s=95.0 * minutes,
        reason=detail,
    )


def audit_event(event: int, who: str, what: str, outcome: str = "") -> AuditEvent:
    at = datetime.fromtimestamp(NOON, UTC) - timedelta(minutes=event)
    return AuditEvent(event_id=event, at=at, who=who, text=what, outcome=outcome)


#: Two days; the second had a bad night.
HISTORY = BuildHistory(
    built=tuple(40 + 3 * (hour % 8) - (20 if 28 <= hour < 36 else 0) for hour in range(48)),
    failed=tuple(9 if 28 <= hour < 36 else 2 for hour in range(48)),
)

BUILDERS = (
    building("pi5-kitchen", "building", "numpy", 4711),
    building("pi5-cellar", "uploading", "pandas", 4710, phase="upload", phase_s=12.0),
    building(
        "pi4-attic", "overdue", "grpcio", 4702, phase_s=9_400.0, build_s=9_500.0, expected_s=3_000.0
    ),
    builder("pi4-garage", "idle"),
    builder("pi3-shed", "asleep", reason="put to sleep by ben@laptop"),
    building("pi5-roof", "draining", "lxml", 4709, phase_s=33.0),
    builder("pi4-hall", "silent", since_last_message_s=48.0),
    builder("pi4-loft", "quarantined", reason="its last 5 builds failed: no space left on device"),
    builder("pi5-desk", "finishing"),
)

QUEUES = (
    queue(
        "cp311-trixie-aarch64",
        pending=128,
        claimed=3,
        deferred=4,
        built_last_hour=42,
        oldest_s=5_400.0,
        has_builder=True,
    ),
    queue(
        "cp313-trixie-aarch64",
        pending=12,
        claimed=1,
        built_last_hour=9,
        oldest_s=240.0,
        has_builder=True,
    ),
    queue("cp39-bullseye-armv7l", pending=31, oldest_s=86_400.0, has_builder=False),
)

BUILDS = (
    build_finished(
        4708, "markupsafe", "built", "markupsafe-1.4.2-cp311-cp311-linux_aarch64.whl", 1
    ),
    build_finished(
        4707, "pillow", "failed", "fatal error: jpeglib.h: No such file or directory", 3
    ),
    build_finished(4706, "wrapt", "built", "wrapt-1.4.2-cp311-cp311-linux_aarch64.whl", 4),
    build_finished(4705, "scipy", "out-of-memory", "cc1plus was killed", 45),
)

EVENTS = (
    audit_event(9, "ann@desk", "sleep: pi3-shed", "applied"),
    audit_event(8, "master", "pi4-loft its last 5 builds failed and gets no more jobs"),
    audit_event(7, "ben@laptop", "kill: pi9", "refused: no such builder is connected"),
)

_REGRESSION = FailureGroup(
    failure_class="compiler-error",
    cause="'PyThreadState' has no member named 'use_tracing'",
    reason="src/trace.c:90:5: 'PyThreadState' has no member named 'use_tracing'",
    releases=23,
    targets=1,
    regressions=9,
    last_at=datetime.fromtimestamp(NOON - 660, UTC),
    example_build=4705,
    example_project="greenlet",
    example_version="2.0.1",
    example_target="cp313-trixie-aarch64",
    regressed=("greenlet 2.0.1", "gevent 22.10", "lxml 4.9"),
)
_LIBPQ = FailureGroup(
    failure_class="missing-package",
    cause="libpq-dev",
    reason="./psycopg/psycopg.h:30:10: fatal error: libpq-fe.h: No such file or directory",
    missing=("header libpq-fe.h",),
    packages=("libpq-dev",),
    releases=41,
    targets=3,
    last_at=datetime.fromtimestamp(NOON - 250, UTC),
    example_build=4707,
    example_project="psycopg2",
    example_version="2.9.11",
    example_target="cp311-trixie-aarch64",
)
_RETRYING = FailureGroup(
    failure_class="index-fault",
    cause="503 from the upstream index",
    reason="503 from the upstream index",
    releases=6,
    targets=5,
    retrying=6,
    last_at=datetime.fromtimestamp(NOON - 18_000, UTC),
    example_build=4701,
    example_project="numpy",
    example_version="2.1.0",
    example_target="cp311-trixie-aarch64",
)
FAILURES = FailuresReply(groups=(_REGRESSION, _LIBPQ, _RETRYING), causes=31, releases=214)


def alert(alert_id: str, minutes: float, text: str, **facts: object) -> Alert:
    rule, _, subject = alert_id.partition(":")
    known = {
        "severity": Severity.WARNING,
        "subject": subject or "master",
        "since": datetime.fromtimestamp(NOON, UTC) - timedelta(minutes=minutes),
        "text": text,
    }
    return Alert(alert_id=alert_id, rule=AlertRule(rule), **(known | facts))  # type: ignore[arg-type]


ALERTS = (
    alert(
        "quarantined:pi4-loft",
        95,
        "its last 5 builds failed: no space left on device",
        severity=Severity.CRITICAL,
    ),
    alert(
        "unserved:cp39-bullseye-armv7l",
        195,
        "31 wait and no builder serves it",
        severity=Severity.CRITICAL,
        value=31.0,
        worst=31.0,
    ),
    alert("overdue:pi4-attic", 108, "grpcio 2.1.0: 17m expected"),
    alert("silent:pi4-hall", 0.8, "no signal"),
)
#: What an operator has seen, and what has passed.
PAST_ALERTS = (
    alert(
        "hot:pi5-roof",
        2_900,
        "82C, too hot",
        value=82.0,
        worst=84.0,
        acknowledged_by="ada@desk",
        note="new fan on Monday",
    ),
    alert(
        "disk:pi3-shed",
        400,
        "96% used, 1.2 GiB free",
        muted_by="ben@laptop",
        muted_until=datetime.fromtimestamp(NOON, UTC) + timedelta(hours=2),
    ),
    alert(
        "upstream",
        430,
        "not read for 33m",
        cleared_at=datetime.fromtimestamp(NOON, UTC) - timedelta(minutes=426),
    ),
)


def status(**facts: object) -> StatusReply:
    known = {
        "version": "1.0.0",
        "instance": "one",
        "uptime_s": 86_400.0 * 3,
        "paused": False,
        "builders": BUILDERS,
        "queues": QUEUES,
        "last_hour": {"built": 51, "failed": 3},
        "build_history": HISTORY,
        "index_url": "http://wheels.example.org/simple/",
        "projects": 1_204,
        "releases": 9_120,
        "files": 8_411,
        "files_bytes": 31 * GIB,
        "builds": 10_311,
        "stale_pages": 2,
        "database_bytes": 412 * 1024**2,
        "host": _HOST,
        "upstream_status_text": "read to serial 24110232",
        "upstream_lag_s": 42.0,
        "downloads": LiveDownloads(),
        "alerts": (*ALERTS, *PAST_ALERTS),
    }
    return StatusReply(**(known | facts))  # type: ignore[arg-type]


def snapshot(**facts: object) -> Snapshot:
    return Snapshot(status=status(**facts), builds=BUILDS, events=EVENTS)


PROJECT_HITS = ProjectHits(
    hits=(
        ProjectHit(
            project="numpy",
            version="2.3.5",
            targets=7,
            covered=6,
            queued_target="cp314-forky-aarch64",
        ),
        ProjectHit(project="numexpr", version="2.14.1", targets=7, covered=7),
        ProjectHit(
            project="numba",
            version="0.62.1",
            targets=7,
            covered=3,
            failure_class="build-requirement",
        ),
        ProjectHit(project="numcodecs", version="0.16.3", targets=7, covered=7),
    ),
    projects=311_000,
)

PROJECT_OVERVIEW = ProjectOverview(
    project="pillow",
    version="1.4.2",
    released_at=datetime.fromtimestamp(NOON, UTC) - timedelta(days=3),
    targets=(
        TargetProgress(
            target="cp311-trixie-aarch64",
            state=State.FAILED,
            label="failed",
            note="jpeglib.h (header) is missing; Debian has it in libjpeg-dev",
            build=4707,
        ),
        TargetProgress(
            target="cp313-trixie-aarch64",
            state=State.COVERED,
            label="built",
            note="pillow-1.4.2-cp313-cp313-linux_aarch64.whl",
            build=4680,
        ),
        TargetProgress(
            target="cp314-trixie-aarch64",
            state=State.QUEUED,
            label="queued",
            note="position 12",
            expected=ExpectedWait(soonest_s=2400.0, latest_s=4500.0),
        ),
    ),
    versions=("1.4.1", "1.4.0", "1.3.0"),
    builds=(
        build_finished(4707, "pillow", "failed", "fatal error: jpeglib.h: No such file", 4),
        build_finished(4680, "pillow", "built", "", 61),
    ),
    needs=ProjectNeeds(min_memory_bytes=2 * GIB, min_disk_bytes=3 * GIB, expected_build_s=2700.0),
    downloads=ProjectDownloads(
        project="pillow", downloads=1_204_113, last_30_days=41_200, saved_s=0.0
    ),
    recipes=("learned: packages libjpeg-dev",),
)
