"""Answers ShowBuilder: a builder's last builds and last day, against those of its peers."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from piwheels.db import history
from piwheels.db.builder_builds import BuilderCounts, counts_by_builder, usual_duration
from piwheels.db.database import Database
from piwheels.db.database_clock import database_time
from piwheels.errors import RejectedError
from piwheels.model import BuilderPage
from piwheels.protocol.messages import BuilderState, BuilderView
from piwheels.sanitize import truncate_line
from piwheels.scheduler.dispatcher import Dispatcher

_MAX_BUILDS = 20
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class BuilderPages:
    """Reads the pages of builders."""

    db: Database
    dispatcher: Dispatcher

    async def page(self, label: str) -> BuilderPage:
        """The page of a builder that is connected, or was lost or ended a while ago.

        Raises:
            RejectedError: there is no such builder.
        """
        views = {view.label: view for view in self.dispatcher.builder_views()}
        view = views.get(label)
        if view is None:
            raise RejectedError(f"there is no builder {truncate_line(label)}")
        builds = await history.recent_builds(self.db, limit=_MAX_BUILDS, builder=label)
        numbers = [build.build_id for build in builds]
        counts = await counts_by_builder(self.db, await database_time(self.db) - _DAY, _DAY)
        peers = _peers(view, views.values())
        day = counts.get(label, BuilderCounts())
        return BuilderPage(
            builds=tuple(builds),
            usual_s=await history.usual_durations(self.db, numbers) if numbers else {},
            running_usual_s=await self._running_usual(view),
            built=day.built,
            failed=day.failed,
            peers=len(peers),
            usual_built=_median_built(counts, peers),
            roots=self.dispatcher.announced_roots().get(label, ()),
        )

    async def _running_usual(self, view: BuilderView) -> float | None:
        if view.build is None:
            return None
        return await usual_duration(self.db, view.label, view.project, view.target)


def _peers(view: BuilderView, others: Collection[BuilderView]) -> list[str]:
    served = set(view.targets)
    return [
        other.label
        for other in others
        if other.label != view.label
        and other.state is not BuilderState.ENDED
        and not served.isdisjoint(other.targets)
    ]


def _median_built(counts: dict[str, BuilderCounts], peers: Collection[str]) -> int | None:
    if not peers:
        return None
    return round(median(counts.get(peer, BuilderCounts()).built for peer in peers))
