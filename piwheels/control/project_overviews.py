"""A project as an operator sees it: a release's state for each target, builds, downloads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from piwheels.causes.explanation import summarize_build
from piwheels.control.adaptive_cache import AdaptiveCache
from piwheels.db import downloads, queue_outlines, recipe_store, site_queries, status_queries
from piwheels.db.database import Database
from piwheels.db.index_queries import version_sort_key
from piwheels.errors import RejectedError
from piwheels.formatting import format_queue_position
from piwheels.model import (
    ExpectedWait,
    ProjectOverview,
    ProjectStatusRow,
    QueueOutline,
    Recipe,
    State,
    TargetProgress,
    TargetStatusRow,
)
from piwheels.release_status import (
    ReleaseStatus,
    StatusContext,
    release_statuses,
)

_MAX_BUILDS = 20
_MAX_VERSIONS = 30
#: Builds of a day are counted, and jobs are sampled: not oftener than this times as long.
_LOAD_FACTOR = 100.0
_MAX_AGE_S = 300.0
#: An answer waits no longer for newer outlines when it has some.
_OUTLINES_TIMEOUT_S = 0.5


@dataclass(slots=True)
class ProjectOverviews:
    """Answers ShowProject.

    db: for the project. counts_db: for the outlines of the queues.
    """

    db: Database
    counts_db: Database
    status_context: Callable[[], StatusContext]
    _outlines: AdaptiveCache[dict[str, QueueOutline]] = field(init=False)

    def __post_init__(self) -> None:
        self._outlines = AdaptiveCache(
            lambda: queue_outlines.queue_outlines(self.counts_db),
            cost_factor=_LOAD_FACTOR,
            max_age_s=_MAX_AGE_S,
        )

    async def outlines(self) -> dict[str, QueueOutline]:
        """The outline of each target's queue."""
        return (await self._outlines.get_within(_OUTLINES_TIMEOUT_S)).value

    async def overview(self, project: str, version: str | None) -> ProjectOverview:
        """A project with one of its releases.

        Raises:
            RejectedError: the farm does not have it.
        """
        db = self.db
        facts = await status_queries.project_status(
            db, project, [version] if version else None, outlines=await self.outlines()
        )
        if facts is None:
            raise RejectedError(f"this farm does not have {project}")
        head = await site_queries.project_head(db, project)
        release = next(iter(facts.releases), None)
        shown = release.version if release else ""
        builds = await site_queries.project_builds(db, project, _MAX_BUILDS, version=version)
        versions = sorted(head.versions, key=version_sort_key, reverse=True)
        return ProjectOverview(
            project=project,
            version=shown,
            released_at=release.released_at if release else None,
            yanked=release.yanked if release else None,
            skip_reason=facts.skip_reason or (release.skip_reason if release else None),
            targets=tuple(self._targets(facts)),
            versions=tuple(it for it in versions if it != shown)[:_MAX_VERSIONS],
            builds=builds,
            needs=head.needs,
            downloads=await downloads.project_total(db, project),
            recipes=tuple(map(_recipe_line, await recipe_store.project_recipes(db, project))),
        )

    def _targets(self, facts: ProjectStatusRow) -> list[TargetProgress]:
        if not facts.releases:
            return []
        release, context = facts.releases[0], self.status_context()
        found = release_statuses(facts, release, context)
        return [
            _progress(status, target, context.now)
            for target in release.targets
            if (status := found.for_target(target.target)) is not None
        ]


def _progress(
    status: ReleaseStatus, target: TargetStatusRow, now: datetime | None
) -> TargetProgress:
    return TargetProgress(
        target=target.target,
        state=status.state,
        label=status.label,
        note=_note(status, target),
        expected=_expected(status.state, target, now),
        build=target.current_build_id or target.last_build_id,
    )


def _expected(state: State, target: TargetStatusRow, now: datetime | None) -> ExpectedWait | None:
    if state is State.QUEUED and not target.awaited_packages:
        return target.expected
    if state is State.DEFERRED and target.retry_at and now:
        wait_s = max(0.0, (target.retry_at - now).total_seconds())
        return ExpectedWait(soonest_s=wait_s, latest_s=wait_s)
    return None


def _note(status: ReleaseStatus, target: TargetStatusRow) -> str:
    match status.state:
        case State.FAILED | State.DEFERRED:
            return summarize_build(target.last_cause, target.last_reason or "")
        case State.BUILDING:
            return f"on {target.claimed_by}" if target.claimed_by else ""
        case State.COVERED:
            return status.file
        case State.QUEUED:
            return format_queue_position(target.jobs_ahead.least, target.jobs_ahead.most)
        case _:
            return status.detail or status.text


def _recipe_line(recipe: Recipe) -> str:
    """What a recipe adds, in one line."""
    return f"{recipe.origin}: {', '.join(_recipe_parts(recipe)) or 'nothing'}"


def _recipe_parts(recipe: Recipe) -> Iterator[str]:
    lists = {
        "packages": recipe.packages,
        "constraints": recipe.constraints,
        "tools": recipe.tools,
        "environment": tuple(name for name, _ in recipe.environment),
        "patches": tuple(patch.name for patch in recipe.patches),
        "targets": recipe.targets,
    }
    for name, items in lists.items():
        if items:
            yield f"{name} {' '.join(items)}"
    if recipe.memory_class:
        yield f"memory {recipe.memory_class}"
    if recipe.time_limit_s:
        yield f"time limit {recipe.time_limit_s:.0f} s"
    if recipe.skip:
        yield f"skips: {recipe.skip}"
