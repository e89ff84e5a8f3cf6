"""How many jobs wait, and how long they take at the rate of the last hour."""

from collections.abc import Sequence

from piwheels.model import QueueStatus

_HOUR_S = 3600.0


def waiting_jobs(queues: Sequence[QueueStatus]) -> int:
    """How many jobs a builder could take."""
    return sum(queue.pending for queue in queues)


def open_jobs(queues: Sequence[QueueStatus]) -> int:
    """How many jobs there are: those that wait, run, or wait for their next attempt."""
    return sum(queue.pending + queue.claimed + queue.deferred for queue in queues)


def drain_s(*queues: QueueStatus) -> float | None:
    """How long the jobs that wait take at the rate of the last hour; None when it is zero."""
    waiting = waiting_jobs(queues)
    if not waiting:
        return 0.0
    rate = sum(queue.built_last_hour for queue in queues)
    return waiting / rate * _HOUR_S if rate else None
