"""Is it worth telling? What is true now against what was told, without the noise.

A console that is told only what changed costs nothing while nothing happens. So measurements
count as changed when they moved by more than a tolerance from what was last told, and clocks
when they do not simply go on: a reader lets them run from when they were told.
"""

from msgspec.structs import replace

from piwheels.protocol.messages import (
    COUNTS_OLD_S,
    BuilderView,
    HostState,
    QueueView,
    StatusReply,
)

_LOAD = 0.25
_LOAD_PART = 0.1
_MEMORY_PART = 0.02
_DISK_PART = 0.005
_DEGREES = 2.0
_CLOCK_S = 3.0
_DATABASE_PART = 0.01
#: A follower reads its upstream every half minute or so; a reader's clock may be so far off.
_LAG_S = 60.0
_WAIT_S = 60.0
_WAIT_PART = 0.05


def host_differs(told: HostState, now: HostState) -> bool:
    """Whether a machine is in another state than was told."""
    return (
        _moved(told.load, now.load, max(_LOAD, told.load * _LOAD_PART))
        or _moved(told.memory_free, now.memory_free, told.memory_total * _MEMORY_PART)
        or _moved(told.swap_free, now.swap_free, told.swap_total * _MEMORY_PART)
        or _moved(told.disk_free, now.disk_free, told.disk_total * _DISK_PART)
        or (told.memory_total, told.swap_total, told.disk_total)
        != (now.memory_total, now.swap_total, now.disk_total)
        or _clock_differs(told.temperature, now.temperature, 0.0, _DEGREES)
    )


def builder_differs(told: BuilderView, now: BuilderView, elapsed_s: float) -> bool:
    """Whether a builder is another than was told so long ago."""
    return (
        _quiet(told) != _quiet(now)
        or host_differs(told.host, now.host)
        or (
            now.build is not None
            and (
                _clock_differs(told.phase_s, now.phase_s, elapsed_s, _CLOCK_S)
                or _clock_differs(told.build_s, now.build_s, elapsed_s, _CLOCK_S)
            )
        )
    )


def status_differs(told: StatusReply, now: StatusReply, elapsed_s: float) -> bool:
    """Whether the farm is another than was told so long ago; builders are told on their own."""
    return (
        _still(told) != _still(now)
        or host_differs(told.host, now.host)
        or _clock_differs(told.upstream_lag_s, now.upstream_lag_s, elapsed_s, _LAG_S)
        or _grew(told.upstream_lag_s, now.upstream_lag_s)
        or _became_old(told.counts_age_s, now.counts_age_s)
        or _moved(told.database_bytes, now.database_bytes, told.database_bytes * _DATABASE_PART)
        or any(
            _clock_differs(before.oldest_s, after.oldest_s, elapsed_s, _CLOCK_S)
            or _grew(before.oldest_s, after.oldest_s)
            for before, after in zip(told.queues, now.queues, strict=True)
        )
    )


def _quiet(view: BuilderView) -> BuilderView:
    return replace(view, host=HostState(), silent_s=0.0, phase_s=0.0, build_s=0.0, loads=())


def _still(status: StatusReply) -> StatusReply:
    return replace(
        status,
        builders=(),
        uptime_s=0.0,
        host=HostState(),
        upstream_lag_s=None,
        counts_age_s=0.0,
        totals_age_s=0.0,
        database_bytes=0,
        queues=tuple(_without_clock(queue) for queue in status.queues),
    )


def _without_clock(queue: QueueView) -> QueueView:
    return replace(queue, oldest_s=None)


def _moved(told: float, now: float, tolerance: float) -> bool:
    return abs(now - told) > tolerance


def _grew(told: float | None, now: float | None) -> bool:
    """Whether a wait is told so wrong, to who lets no clock run, that it can be seen."""
    return (now or 0.0) - (told or 0.0) > max(_WAIT_S, (told or 0.0) * _WAIT_PART)


def _became_old(told: float, now: float) -> bool:
    """Whether counts have become too old to be shown without their age, fresh again, or older."""
    if max(told, now) <= COUNTS_OLD_S:
        return False
    return (told > COUNTS_OLD_S) != (now > COUNTS_OLD_S) or now - told > COUNTS_OLD_S


def _clock_differs(
    told: float | None, now: float | None, elapsed_s: float, tolerance: float
) -> bool:
    if told is None or now is None:
        return told is not now
    return abs(now - told - elapsed_s) > tolerance
