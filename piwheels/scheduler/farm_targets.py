"""The targets that the farm builds for, and those that connected builders serve."""

import asyncio
import contextlib
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from piwheels.db import target_queries
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import CompatibilityRules, FreeDisk, Target
from piwheels.protocol.messages import MAX_TARGETS
from piwheels.scheduler.builder_capabilities import free_disk, memory_by_target
from piwheels.scheduler.event_publisher import EventPublisher
from piwheels.scheduler.farm_state import FarmState
from piwheels.wheel.tags import check_target

#: Builders add no targets to a farm that has this many; operators may.
_MAX_FARM_TARGETS = 256
_PRESENCE_INTERVAL_S = 60.0


@dataclass(slots=True)
class FarmTargets:
    """The targets by name; jobs are recomputed when they or their builders change.

    A change waits for every writer that has begun, and for a batch of the recomputed jobs: `db` is
    a connection that no claim uses.
    """

    db: Database
    dsn: str
    rules: CompatibilityRules
    event_publisher: EventPublisher
    farm: FarmState
    by_name: dict[str, Target] = field(default_factory=dict)
    _added_by: dict[str, set[str]] = field(default_factory=dict)  # targets, by the builder's label
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _presence_changed: asyncio.Event = field(default_factory=asyncio.Event)
    _presence_stored_at: float = field(default_factory=time.monotonic)

    async def restore(self) -> None:
        """Read the targets, skipped ones too."""
        await target_queries.compute_missing_compatibility(self.db, self.rules)
        known = await target_queries.targets(self.db, include_skipped=True)
        self.by_name = {target.name: target for target in known}

    async def run(self) -> None:
        """Recompute jobs when targets or their builders change, until canceled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recompute_jobs())
            group.create_task(self._watch_presence())

    @property
    def served(self) -> frozenset[str]:
        """The names of the targets of connected builders."""
        sessions = self.farm.sessions.values()
        return frozenset(name for session in sessions for name in session.targets)

    @property
    def with_compiler(self) -> frozenset[str]:
        """The names of the targets for which a connected builder has a C compiler."""
        return frozenset(
            name
            for session in self.farm.sessions.values()
            if session.accepts_jobs
            for name in session.targets
            if name not in session.targets_without_compiler
        )

    @property
    def memory_bytes(self) -> dict[str, int]:
        """By target, the most memory that a builder which takes jobs gives to a build."""
        there = [session for session in self.farm.sessions.values() if session.accepts_jobs]
        return dict.fromkeys(self.served, 0) | memory_by_target(there)

    @property
    def known_memory_bytes(self) -> dict[str, int]:
        """Likewise, of builders that were lost or take no jobs, too."""
        return self.farm.largest_memory_bytes(self.served)

    @property
    def free_disk(self) -> dict[str, FreeDisk]:
        """By target, the free disk of the builders that take jobs and tell it."""
        return free_disk(self.served, self.farm.sessions.values())

    async def add(self, target: Target) -> bool:
        """Build for this target from now on; returns whether it is a new one.

        Raises:
            RejectedError: no interpreter can be such a target.
        """
        check_target(target)
        added = await target_queries.add_target(self.db, target, self.rules)
        self.by_name[target.name] = target
        self._changed.set()  # also when an earlier attempt added it, and the reply was lost
        if added:
            await self.event_publisher.record(f"target {target.name} was added")
        return added

    async def add_for_builder(self, label: str, targets: Iterable[Target]) -> None:
        """Add those of a builder's targets that the farm does not have.

        Raises:
            RejectedError: no interpreter can be such a target, or there are too many.
        """
        added = self._added_by.setdefault(label, set())
        for target in targets:
            if target.name in self.by_name:
                continue
            if len(added) >= MAX_TARGETS or len(self.by_name) >= _MAX_FARM_TARGETS:
                raise RejectedError(
                    f"too many targets ({target.name}): a builder adds at most {MAX_TARGETS}, "
                    f"and a farm has at most {_MAX_FARM_TARGETS}; name fewer interpreters in "
                    "builder.interpreters"
                )
            await self.add(target)
            added.add(target.name)

    async def skip(self, target: str, reason: str | None) -> bool:
        """Stop building for a target, or start again when the reason is None."""
        changed = await target_queries.skip_target(self.db, target, reason)
        self._changed.set()
        return changed

    def on_builder_connected(self) -> None:
        """Store which targets have builders, soon."""
        self._presence_changed.set()

    async def _recompute_jobs(self) -> None:
        """Recompute the jobs of changed targets, also what an earlier master left incomplete."""
        database = await Database.connect(
            self.dsn, role="converge", epoch=self.db.epoch, connect_timeout_s=math.inf
        )
        async with database as db:
            while True:
                await target_queries.recompute_jobs(db)
                await self._changed.wait()
                self._changed.clear()

    async def _watch_presence(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PRESENCE_INTERVAL_S):
                    await self._presence_changed.wait()
            self._presence_changed.clear()
            await self._store_presence()

    async def _store_presence(self) -> None:
        """Store which targets have builders, and recompute jobs when that changed."""
        there = [session for session in self.farm.sessions.values() if session.accepts_jobs]
        served = {name for session in there for name in session.targets}
        now = time.monotonic()
        elapsed_s, self._presence_stored_at = now - self._presence_stored_at, now
        if await target_queries.record_presence(self.db, served, self.with_compiler, elapsed_s):
            self._changed.set()
