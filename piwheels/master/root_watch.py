"""Notices that a root was updated on all of its builders, and builds again what a setting says."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from piwheels.db.database import Database
from piwheels.db.root_rebuilds import (
    RootSelection,
    count_waiting_rebuilds,
    load_histories,
    queue_rebuilds,
    store_history,
)
from piwheels.formatting import pluralize
from piwheels.model import RootHistory, RootState
from piwheels.retry_policy import SYSTEM_DEPENDENT
from piwheels.scheduler import root_updates

RebuildPolicy = Literal["never", "failed", "all"]

_INTERVAL_S = 30.0
#: Builds that a rebuild queues are added while fewer than this wait.
_MAX_WAITING = 200
_MAX_STEPS = 20
#: A farm remembers this many roots; what builders call others is not followed.
_MAX_ROOTS = 256

_WHAT_FOLLOWS: Mapping[RebuildPolicy, str] = {
    "never": "nothing is built again (master.rebuild_after_root_update)",
    "failed": "its failures are built again, after new releases",
    "all": "its wheels with compiled code and its failures are built again, after new releases",
}


@dataclass(slots=True)
class RootWatch:
    """Compares the roots that builders announce with those that they had.

    `announced` returns the roots of each connected builder, by its label; `record_event` writes
    into the audit log.
    """

    db: Database
    policy: RebuildPolicy
    announced: Callable[[], Mapping[str, tuple[RootState, ...]]]
    record_event: Callable[[str], Awaitable[None]]

    async def run(self) -> None:
        """Watch until canceled."""
        while True:
            await self.check(datetime.now(UTC))
            await asyncio.sleep(_INTERVAL_S)

    async def check(self, now: datetime) -> None:
        """Record what builders announce, and go on with rebuilds."""
        histories = await load_histories(self.db)
        for name, builders in self._builders_by_root().items():
            if name in histories or len(histories) < _MAX_ROOTS:
                histories[name] = await self._record(name, histories.get(name), builders, now)
        for name, history in histories.items():
            if history.cursor is not None:
                await self._rebuild(name, history)

    def _builders_by_root(self) -> dict[str, dict[str, RootState]]:
        found: dict[str, dict[str, RootState]] = {}
        for label, roots in self.announced().items():
            for state in roots:
                found.setdefault(state.name, {})[label] = state
        return found

    async def _record(
        self,
        name: str,
        known: RootHistory | None,
        builders: Mapping[str, RootState],
        now: datetime,
    ) -> RootHistory:
        if known is None:
            after = root_updates.first_history(builders, now)
        else:
            after = root_updates.record_builders(known, builders, now)
        complete = root_updates.is_update_complete(after, now)
        if complete:
            rebuild = self.policy != "never"
            after = root_updates.complete_update(after, now, rebuild=rebuild)
        if after != known:
            await store_history(self.db, name, after)
        if complete:
            builder_count = pluralize(len(after.builders), "builder")
            await self.record_event(
                f"the root {name} was updated on {builder_count}: {_WHAT_FOLLOWS[self.policy]}"
            )
        return after

    async def _rebuild(self, name: str, history: RootHistory) -> None:
        """Queue some more builds, unless enough of them wait."""
        selection = RootSelection(
            root=name,
            keys=history.former_keys,
            wheels=self.policy == "all",
            classes=() if self.policy == "never" else tuple(SYSTEM_DEPENDENT),
        )
        for _ in range(_MAX_STEPS):
            if await count_waiting_rebuilds(self.db, _MAX_WAITING) >= _MAX_WAITING:
                return
            history = await queue_rebuilds(self.db, name, history, selection)
            if history.cursor is None:
                queued = pluralize(history.queued, "build")
                await self.record_event(f"the update of the root {name} queued {queued} again")
                return
