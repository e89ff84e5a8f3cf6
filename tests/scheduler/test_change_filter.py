"""Which changes are published, and which are noise."""

import pytest
from msgspec.structs import replace

from piwheels.model import HostMetrics, QueueStatus
from piwheels.protocol.messages import BuilderState, BuilderView, StatusReply
from piwheels.scheduler.change_filter import builder_changed, status_changed

GB = 1 << 30
HOST = HostMetrics(
    load=1.0, memory_total=8 * GB, memory_free=4 * GB, disk_total=100 * GB, disk_free=50 * GB,
    temperature=50.0,
)  # fmt: skip
BUILDER = BuilderView(
    label="b",
    state=BuilderState.BUILDING,
    build=7,
    phase="building",
    phase_s=10.0,
    build_s=20.0,
    host=HOST,
)
QUEUE = QueueStatus(target="t", pending=3, claimed=0, deferred=0, oldest_s=100.0)
STATUS = StatusReply(
    version="1", instance="a", uptime_s=5.0, paused=False, builders=(), queues=(QUEUE,),
    last_hour={"built": 1}, projects=1, releases=1, files=1, files_bytes=1, builds=1,
    stale_pages=0, database_bytes=GB, host=HOST, upstream_lag_s=10.0,
)  # fmt: skip


def builder_after(elapsed_s: float, **changes: object) -> BuilderView:
    clocks = {"phase_s": 10.0 + elapsed_s, "build_s": 20.0 + elapsed_s, "since_last_message_s": 4.0}
    return replace(BUILDER, **(clocks | changes))


def status_changed_after(elapsed_s: float, **changes: object) -> StatusReply:
    clocks = {
        "uptime_s": 5.0 + elapsed_s,
        "upstream_lag_s": 10.0 + elapsed_s,
        "queues": (replace(QUEUE, oldest_s=100.0 + elapsed_s),),
    }
    return replace(STATUS, **(clocks | changes))


@pytest.mark.parametrize("elapsed_s", [0.0, 5.0, 3600.0])
def test_advancing_clocks_are_no_change(elapsed_s: float) -> None:
    assert not builder_changed(BUILDER, builder_after(elapsed_s), elapsed_s)


def test_ongoing_waits_are_published_again_about_every_minute() -> None:
    assert not status_changed(STATUS, status_changed_after(59.0), 59.0)
    assert status_changed(STATUS, status_changed_after(61.0), 61.0)
    waiting = replace(QUEUE, oldest_s=86_400.0)
    long = replace(STATUS, upstream_lag_s=None, queues=(waiting,))
    hour = replace(long, queues=(replace(waiting, oldest_s=90_000.0),))
    assert not status_changed(long, hour, 3600.0)


@pytest.mark.parametrize(
    "host",
    [
        replace(HOST, load=1.2),
        replace(HOST, memory_free=HOST.memory_free - GB // 8),
        replace(HOST, disk_free=HOST.disk_free + GB // 4),
        replace(HOST, temperature=51.5),
        replace(HOST, cpu_hz=600e6, clock_s=1e9),  # as the load wants it
    ],
)
def test_fluctuating_metrics_are_no_change(host: HostMetrics) -> None:
    assert not builder_changed(BUILDER, builder_after(5.0, host=host), 5.0)
    assert not status_changed(STATUS, status_changed_after(5.0, host=host), 5.0)


@pytest.mark.parametrize(
    "host",
    [
        replace(HOST, load=1.5),
        replace(HOST, throttled=True),
        replace(HOST, throttled_s=120.0),
        replace(HOST, uptime_s=5.0),
        replace(HOST, memory_free=3 * GB),
        replace(HOST, swap_total=GB),
        replace(HOST, disk_free=49 * GB),
        replace(HOST, temperature=60.0),
        replace(HOST, temperature=None),
    ],
)
def test_a_changed_state_of_a_machine_is_published(host: HostMetrics) -> None:
    assert builder_changed(BUILDER, builder_after(5.0, host=host), 5.0)
    assert status_changed(STATUS, status_changed_after(5.0, host=host), 5.0)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "overdue"},
        {"phase": "uploading"},
        {"phase_s": 0.0},
        {"built": 1},
        {"clock_offset_s": 0.0},
        {"peer_ratio": 1.5},
    ],
)
def test_a_changed_activity_of_a_builder_is_published(change: dict[str, object]) -> None:
    assert builder_changed(BUILDER, builder_after(15.0, **change), 15.0)


@pytest.mark.parametrize(
    "change",
    [
        {"paused": True},
        {"last_hour": {"built": 2}},
        {"queues": (replace(QUEUE, pending=4, oldest_s=105.0),)},
        {"queues": (replace(QUEUE, oldest_s=20.0),)},
        {"queues": (replace(QUEUE, oldest_s=None),)},
        {"queues": ()},
        {"upstream_lag_s": 600.0},
        {"database_bytes": 2 * GB},
    ],
)
def test_a_changed_farm_is_published(change: dict[str, object]) -> None:
    assert status_changed(STATUS, status_changed_after(5.0, **change), 5.0)


def test_a_throttled_machine_is_published_once_a_minute_and_when_it_has_started_again() -> None:
    hot = replace(BUILDER, host=replace(HOST, throttled_s=100.0, uptime_s=900.0))
    assert not builder_changed(
        hot, replace(hot, host=replace(hot.host, throttled_s=159.0, uptime_s=960.0)), 0.0
    )
    assert builder_changed(hot, replace(hot, host=replace(hot.host, throttled_s=161.0)), 0.0)
    assert builder_changed(hot, replace(hot, host=replace(hot.host, uptime_s=30.0)), 0.0)


def test_a_clock_that_varies_a_little_is_no_change() -> None:
    view = replace(BUILDER, clock_offset_s=0.2)
    assert not builder_changed(view, replace(view, clock_offset_s=1.1), 0.0)
    assert builder_changed(view, replace(view, clock_offset_s=1.3), 0.0)


def test_slow_drift_is_published_when_it_is_large_enough() -> None:
    drift = [replace(BUILDER, host=replace(HOST, load=1.0 + step / 100)) for step in range(50)]
    published = [BUILDER]
    for view in drift:
        if builder_changed(published[-1], view, 0.0):
            published.append(view)
    assert len(published) == 2
