"""How many builders a pool should have: one rule, from the queue and from what runs. Pure.

Builders are started for jobs that wait, and end by themselves when they are idle: that delay keeps
their number from following every change of the queue. A builder that runs is ended only where its
pool has more than it may, and then it is drained: it finishes its build.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from piwheels.config import PoolSection
from piwheels.errors import ConfigError
from piwheels.model import QueueDemand
from piwheels.protocol.invitation import LABEL_KEY_DIGITS
from piwheels.protocol.messages import BuilderState, BuilderView

#: The end of a label whose name was taken when its builder joined: digits of its key.
_KEY_DIGITS = rf"(?:-[0-9a-f]{{{LABEL_KEY_DIGITS},}})?"
_ABSENT_STATES = frozenset({BuilderState.ENDED, BuilderState.LOST})


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A slot's job in the batch system that has not ended."""

    slot: int
    id: str  # by which the batch system cancels it
    is_pending: bool  # it has not started


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a pool, and the figures that it follows from."""

    pool: str
    waiting: int  # jobs
    pending: int  # builders that have not started
    running: int
    building: int  # of those that run
    start: tuple[int, ...] = ()  # slots
    cancel: tuple[str, ...] = ()  # jobs of the batch system that have not started
    drain: tuple[str, ...] = ()  # labels of builders
    note: str = ""  # why nothing is started though jobs wait


def require_pools(pools: Mapping[str, PoolSection]) -> None:
    """Refuse settings that say nothing about builders on demand.

    Raises:
        ConfigError: there is no pool.
    """
    if not pools:
        raise ConfigError(
            "piwheels.toml has no section [pool.NAME], which says what builders there are: see "
            "docs/builders-on-demand.md"
        )


def jobs_by_pool(pools: Mapping[str, PoolSection], demand: Iterable[QueueDemand]) -> dict[str, int]:
    """How many of the jobs that wait are each pool's.

    A job is left to the pool with the least memory that has enough for it, or to the one with the
    most if none has; of equal ones to the first.
    """
    waiting = dict.fromkeys(pools, 0)
    for each in demand:
        serving = [
            (pool.memory_mb, name)
            for name, pool in pools.items()
            if any(fnmatchcase(each.target, pattern) for pattern in pool.targets)
        ]
        if not serving:
            continue
        enough = [found for found in serving if found[0] >= each.memory_mb]
        by_memory = {"key": lambda found: found[0]}
        _, name = min(enough, **by_memory) if enough else max(serving, **by_memory)
        waiting[name] += each.waiting
    return waiting


def builders_of(pool: str, builders: Iterable[BuilderView]) -> dict[int, BuilderView]:
    """The connected builders of a pool, by slot."""
    label = re.compile(rf"{re.escape(pool)}-([0-9]+){_KEY_DIGITS}")
    return {
        int(found[1]): view
        for view in builders
        if view.state not in _ABSENT_STATES and (found := label.fullmatch(view.label))
    }


def plan(
    name: str,
    pool: PoolSection,
    waiting: int,
    jobs: Iterable[BatchJob],
    builders: Mapping[int, BuilderView],
    *,
    blocked: str = "",
) -> Plan:
    """What to do about a pool.

    Args:
        name: of the pool.
        pool: its settings.
        waiting: how many jobs wait for its builders.
        jobs: its slots in the batch system.
        builders: its connected builders, by slot.
        blocked: why no builder gets a job now; "" when they do.
    """
    live = {job.slot: job for job in jobs}
    pending = [job for job in live.values() if job.is_pending]
    building = [slot for slot in live if slot in builders and builders[slot].build is not None]
    free = len(live) - len(building)
    needed = 0 if blocked else -(-waiting // pool.jobs_per_builder)
    to_start = max(min(needed - free, pool.max_builders - len(live)), 0)
    unused = [
        slot
        for slot in range(1, pool.max_builders + 1)
        if slot not in live.keys() | builders.keys()
    ]
    surplus = max(len(live) - pool.max_builders, 0)
    canceled = pending if not needed else pending[-surplus:] if surplus else []
    return Plan(
        pool=name,
        waiting=waiting,
        pending=len(pending),
        running=len(live) - len(pending),
        building=len(building),
        start=tuple(unused[:to_start]),
        cancel=tuple(job.id for job in canceled),
        drain=_to_drain(builders, surplus - len(canceled)),
        note=blocked if waiting else "",
    )


def _to_drain(builders: Mapping[int, BuilderView], count: int) -> tuple[str, ...]:
    """So many builders: those that end already, then those without a build, then the others."""

    def order(slot: int) -> tuple[bool, bool, int]:
        view = builders[slot]
        return (view.state is not BuilderState.DRAINING, view.build is not None, -slot)

    chosen = sorted(builders, key=order)[: max(count, 0)]
    draining = {slot for slot in chosen if builders[slot].state is BuilderState.DRAINING}
    return tuple(builders[slot].label for slot in chosen if slot not in draining)
