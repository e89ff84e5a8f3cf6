"""Whether a change is large enough to publish.

A console that gets only changes costs nothing while nothing happens. So a measurement counts as
changed when it differs by more than a tolerance from its published value, and a duration when it
has not simply grown by the time that passed: consoles let durations grow by themselves.
"""

from msgspec.structs import replace

from piwheels.model import HostMetrics
from piwheels.protocol.messages import STALE_COUNTS_S, BuilderView, StatusReply

_LOAD_TOLERANCE = 0.25
_LOAD_TOLERANCE_SHARE = 0.1
_MEMORY_TOLERANCE_SHARE = 0.02
_DISK_TOLERANCE_SHARE = 0.005
_TEMPERATURE_TOLERANCE_C = 2.0
_CLOCK_TOLERANCE_S = 3.0
_THROTTLED_TOLERANCE_S = 60.0
_CLOCK_OFFSET_TOLERANCE_S = 1.0
_DATABASE_TOLERANCE_SHARE = 0.01
#: The upstream is read every half minute or so; the lag on a console may be wrong by as much.
_LAG_TOLERANCE_S = 60.0
_WAIT_DRIFT_S = 60.0
_WAIT_DRIFT_SHARE = 0.05


def host_changed(published: HostMetrics, now: HostMetrics) -> bool:
    """Whether a machine's metrics differ from the published ones."""
    return (
        _exceeds_tolerance(
            published.load, now.load, max(_LOAD_TOLERANCE, published.load * _LOAD_TOLERANCE_SHARE)
        )
        or _exceeds_tolerance(
            published.memory_free, now.memory_free, published.memory_total * _MEMORY_TOLERANCE_SHARE
        )
        or _exceeds_tolerance(
            published.swap_free, now.swap_free, published.swap_total * _MEMORY_TOLERANCE_SHARE
        )
        or _exceeds_tolerance(
            published.disk_free, now.disk_free, published.disk_total * _DISK_TOLERANCE_SHARE
        )
        or (published.memory_total, published.swap_total, published.disk_total)
        != (now.memory_total, now.swap_total, now.disk_total)
        or _clock_changed(published.temperature, now.temperature, 0.0, _TEMPERATURE_TOLERANCE_C)
        or _processor_changed(published, now)
    )


def _processor_changed(published: HostMetrics, now: HostMetrics) -> bool:
    """Its frequency is no change: it goes up and down with the load."""
    return (
        (published.throttled, published.cores, published.max_cpu_hz)
        != (now.throttled, now.cores, now.max_cpu_hz)
        or _clock_changed(published.throttled_s, now.throttled_s, 0.0, _THROTTLED_TOLERANCE_S)
        or (published.uptime_s is None) != (now.uptime_s is None)
        or (now.uptime_s or 0.0) < (published.uptime_s or 0.0)  # it has started again
    )


def builder_changed(published: BuilderView, now: BuilderView, elapsed_s: float) -> bool:
    """Whether a builder differs from the view that was published `elapsed_s` ago."""
    return (
        _builder_without_clocks(published) != _builder_without_clocks(now)
        or host_changed(published.host, now.host)
        or _clock_changed(
            published.clock_offset_s, now.clock_offset_s, 0.0, _CLOCK_OFFSET_TOLERANCE_S
        )
        or (
            now.build is not None
            and (
                _clock_changed(published.phase_s, now.phase_s, elapsed_s, _CLOCK_TOLERANCE_S)
                or _clock_changed(published.build_s, now.build_s, elapsed_s, _CLOCK_TOLERANCE_S)
            )
        )
    )


def status_changed(published: StatusReply, now: StatusReply, elapsed_s: float) -> bool:
    """Whether the farm, without its builders, differs from the status published `elapsed_s` ago."""
    return (
        _status_without_clocks(published) != _status_without_clocks(now)
        or host_changed(published.host, now.host)
        or _clock_changed(published.upstream_lag_s, now.upstream_lag_s, elapsed_s, _LAG_TOLERANCE_S)
        or _drifted(published.upstream_lag_s, now.upstream_lag_s)
        or _staleness_changed(published.counts_age_s, now.counts_age_s)
        or _exceeds_tolerance(
            published.database_bytes,
            now.database_bytes,
            published.database_bytes * _DATABASE_TOLERANCE_SHARE,
        )
        or any(
            _clock_changed(before.oldest_s, after.oldest_s, elapsed_s, _CLOCK_TOLERANCE_S)
            or _drifted(before.oldest_s, after.oldest_s)
            for before, after in zip(published.queues, now.queues, strict=True)
        )
    )


def _builder_without_clocks(view: BuilderView) -> BuilderView:
    return replace(
        view,
        host=HostMetrics(),
        clock_offset_s=None,
        state_s=0.0,
        since_last_message_s=0.0,
        phase_s=0.0,
        build_s=0.0,
        load_history=(),
    )


def _status_without_clocks(status: StatusReply) -> StatusReply:
    return replace(
        status,
        builders=(),
        uptime_s=0.0,
        host=HostMetrics(),
        upstream_lag_s=None,
        counts_age_s=0.0,
        totals_age_s=0.0,
        database_bytes=0,
        queues=tuple(replace(queue, oldest_s=None) for queue in status.queues),
    )


def _exceeds_tolerance(published: float, now: float, tolerance: float) -> bool:
    return abs(now - published) > tolerance


def _drifted(published: float | None, now: float | None) -> bool:
    """Whether a published wait is visibly wrong for a client that does not let it grow."""
    return (now or 0.0) - (published or 0.0) > max(
        _WAIT_DRIFT_S, (published or 0.0) * _WAIT_DRIFT_SHARE
    )


def _staleness_changed(published: float, now: float) -> bool:
    """Whether counts became stale, fresh again, or older while stale."""
    if max(published, now) <= STALE_COUNTS_S:
        return False
    return (published > STALE_COUNTS_S) != (
        now > STALE_COUNTS_S
    ) or now - published > STALE_COUNTS_S


def _clock_changed(
    published: float | None, now: float | None, elapsed_s: float, tolerance: float
) -> bool:
    if published is None or now is None:
        return published is not now
    return abs(now - published - elapsed_s) > tolerance
