"""A builder that is hot, throttled and slow, with all that the master answers about it."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from piwheels.model import (
    BuilderPage,
    BuilderSeries,
    BuildSummary,
    FailureCause,
    FailureClass,
    HostMetrics,
    Outcome,
    RootState,
    SeriesBars,
    SeriesWindow,
)
from piwheels.protocol.messages import (
    BuilderReply,
    BuilderView,
    LogTail,
    SeriesReply,
    Snapshot,
)
from tests.tui.sample_farm import BUILDERS, GIB, alert, building, snapshot
from tests.tui.static_source import NOON, StaticSource

HOST = HostMetrics(
    load=4.12, memory_total=4 * GIB, memory_free=4 * GIB * 9 // 100, swap_total=GIB, swap_free=GIB,
    disk_total=100 * GIB, disk_free=36 * GIB, temperature=83.0, cores=4, throttled=True,
    throttled_s=38 * 60.0, cpu_hz=0.9e9, max_cpu_hz=1.5e9, uptime_s=12 * 86_400.0,
)  # fmt: skip
HOT: BuilderView = building(
    "pi-17",
    "building",
    "scipy",
    1958,
    phase="building",
    build_s=2880.0,
    targets=("cp311-bookworm-armv7l", "cp39-bullseye-armv7l"),
    target="cp311-bookworm-armv7l",
    board="Raspberry Pi 4 Model B Rev 1.4",
    os="Debian GNU/Linux 12 (bookworm)",
    version="1.0",
    host=HOST,
    clock_offset_s=-0.2,
    peer_ratio=1.9,
    state_s=2880.0,
)
HOT_ALERT = alert("hot:pi-17", 38, "83C, throttled 38 of the last 60 min", value=83.0, worst=84.0)


def _build(number: int, release: str, took_s: float, failed: str = "") -> BuildSummary:
    project, _, version = release.partition(" ")
    cause = FailureCause(failure_class=FailureClass(failed)) if failed else None
    return BuildSummary(
        ended_at=datetime.fromtimestamp(NOON, UTC) - timedelta(minutes=number),
        builder="pi-17",
        build_id=1950 - number,
        project=project,
        version=version,
        target="cp39-bullseye-armv7l" if number % 2 else "cp311-bookworm-armv7l",
        outcome=Outcome.FAILED if failed else Outcome.BUILT,
        duration_s=took_s,
        cause=cause,
    )


BUILDS = (
    _build(50, "pyzmq 27.1.0", 252.0),
    _build(51, "cffi 2.0.0", 100.0),
    _build(52, "lxml 6.0.2", 540.0, "timed-out"),
    _build(53, "numpy 2.3.5", 3480.0),
    _build(54, "pygame 2.6.1", 552.0),
    _build(55, "markupsafe 3.0.3", 20.0),
    _build(56, "psycopg2 2.9.11", 41.0, "missing-package"),
)
PAGE = BuilderPage(
    builds=BUILDS,
    usual_s={1900: 123.0, 1899: 52.0, 1898: 184.0, 1897: 1860.0, 1896: 290.0, 1895: 11.0},
    running_usual_s=1500.0,
    built=31,
    failed=2,
    peers=11,
    usual_built=58,
    roots=(
        RootState(
            name="bookworm-armv7l", key="5e1f0a72", made_at=datetime(2026, 11, 2, tzinfo=UTC)
        ),
    ),
)


def bars(kind: BuilderSeries, first: float, last: float, window: SeriesWindow) -> SeriesBars:
    """A value that rises in the first third of the window; nothing is known of its first bars."""
    shares = [min(1.0, 3 * place / window.bars) for place in range(window.bars)]
    means = [first + (last - first) * share for share in shares]
    return SeriesBars(
        name=kind.of("pi-17"),
        means=(None, None, *means[2:]),
        maxima=(None, None, *means[2:]),
        mean=sum(means[2:]) / len(means[2:]),
    )


def series(window: SeriesWindow) -> SeriesReply:
    return SeriesReply(
        series=(
            bars(BuilderSeries.LOAD, 2.0, 4.12, window),
            bars(BuilderSeries.TEMPERATURE, 41.0, 84.0, window),
            bars(BuilderSeries.MEMORY, 0.3, 0.91, window),
            bars(BuilderSeries.DISK, 0.62, 0.64, window),
            bars(BuilderSeries.THROTTLED, 0.0, 1.0, window),
        ),
        ended_at=datetime.fromtimestamp(NOON, UTC),
    )


LOG = b"".join(
    b"[%d/1204] Compiling C++ object scipy/spatial/_ckdtree\n" % number
    for number in range(380, 415)
)


def hot_snapshot() -> Snapshot:
    """The sample farm with this builder as its first."""
    plain = snapshot()
    status = replace(
        plain.status,
        builders=(HOT, *BUILDERS),
        alerts=(*plain.status.alerts, HOT_ALERT),
    )
    return replace(plain, status=status)


def hot_source() -> StaticSource:
    """A master that knows all about it."""
    source = StaticSource(hot_snapshot())
    source.log = LOG
    source.replies[BuilderReply] = BuilderReply(page=PAGE)
    source.replies[SeriesReply] = series(SeriesWindow.DAY)
    source.replies[LogTail] = LogTail(offset=100, data=LOG, running=True)
    return source
