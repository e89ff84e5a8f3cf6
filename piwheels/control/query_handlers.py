"""Answers the queries of clients: status, lists, and the state of single projects."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace

from piwheels.control.builder_pages import BuilderPages
from piwheels.control.project_overviews import ProjectOverviews
from piwheels.control.project_search import ProjectSearch
from piwheels.control.status_service import StatusService
from piwheels.db import (
    failures,
    history,
    page_queue,
    queue_demand,
    reproductions,
    series,
    site_queries,
    status_queries,
    target_queries,
)
from piwheels.db.database import Database
from piwheels.db.database_clock import database_time
from piwheels.db.listed_projects import listed_problem
from piwheels.errors import RejectedError
from piwheels.model import (
    BuildDetails,
    ProjectStatusRow,
    QueueOutline,
    SeriesWindow,
    State,
    TargetStatusRow,
    match_targets,
    projection,
)
from piwheels.protocol.messages import (
    BuilderHistory,
    BuilderHistoryReply,
    BuilderReply,
    BuildReply,
    BuildsReply,
    DemandReply,
    EventsReply,
    Explain,
    ExplainReply,
    Explanation,
    InvitationsReply,
    ListBuilds,
    ListDemand,
    ListEvents,
    ListFailedBuilds,
    ListFailures,
    ListInvitations,
    ListQueue,
    ListReproductions,
    LogTail,
    ProjectReply,
    QueueReply,
    ReadSeries,
    ReleaseReport,
    ReleaseReportReply,
    ReleaseReportRow,
    ReplyBody,
    ReproductionsReply,
    RequestBody,
    SearchProjects,
    SeriesReply,
    ShowBuild,
    ShowBuilder,
    ShowProject,
    Status,
    TailLog,
)
from piwheels.release_status import (
    ReleaseStatus,
    StatusContext,
    explain_with_upstream,
    is_idle_until_soon,
    release_statuses,
    removed_release_status,
)
from piwheels.scheduler import reasons
from piwheels.scheduler.build_logs import no_log_text
from piwheels.scheduler.dispatcher import Dispatcher

MAX_QUEUED_JOBS = 100


@dataclass(slots=True)
class QueryHandlers:
    """Answers queries from the database and from what the master knows."""

    db: Database
    dispatcher: Dispatcher
    status: StatusService
    search: ProjectSearch = field(init=False)
    overviews: ProjectOverviews = field(init=False)

    def __post_init__(self) -> None:
        counts_db = self.status.counts_db
        self.search = ProjectSearch(self.db, counts_db)
        self.overviews = ProjectOverviews(self.db, counts_db, self._status_context)

    async def handle(self, query: RequestBody) -> ReplyBody:
        """Answer a query.

        Raises:
            PiwheelsError: it cannot be answered, and why.
        """
        match query:
            case Status():
                return await self.status.status()
            case BuilderHistory() | ListInvitations() | ShowBuilder() | TailLog():
                return await self._about_builder(query)
            case ListBuilds() | ShowBuild():
                return await self._about_builds(query)
            case ListEvents():
                return EventsReply(events=await self.status.list_events(query))
            case ListFailures() | ListFailedBuilds():
                return await self._about_failures(query)
            case ReadSeries(names=names, window=window):
                return await self.read_series(names, window)
            case Explain() | ListReproductions() | SearchProjects() | ShowProject():
                return await self._about_projects(query)
            case ListQueue() | ListDemand():
                return await self._about_queue(query)
            case ReleaseReport():
                return await self.release_report(query)
            case _:
                raise RejectedError(f"{type(query).__name__} cannot be sent by itself")

    async def reproductions(self, query: ListReproductions) -> ReproductionsReply:
        """The newest reproduction of each wheel that a query names."""
        target = await self.resolve_target(query.target) if query.target else None
        named = await reproductions.files_of_release(self.db, query.project, query.version, target)
        names = {file.filename for file in named}
        found = await reproductions.newest_of_release(self.db, query.project, query.version)
        return ReproductionsReply(
            reproductions=tuple(each for each in found if each.filename in names)
        )

    async def _about_builds(self, query: ListBuilds | ShowBuild) -> ReplyBody:
        match query:
            case ListBuilds():
                return await self.builds(query)
            case ShowBuild(build=build):
                return BuildReply(details=await self.build_details(build))

    async def _about_failures(self, query: ListFailures | ListFailedBuilds) -> ReplyBody:
        match query:
            case ListFailures():
                return await self.status.failures()
            case ListFailedBuilds(failure_class=failure_class, cause=cause):
                found = await failures.builds_of_group(self.db, failure_class, cause)
                return BuildsReply(builds=tuple(found), targets=await self.targets())

    async def _about_builder(
        self, query: BuilderHistory | ListInvitations | ShowBuilder | TailLog
    ) -> ReplyBody:
        match query:
            case ListInvitations():
                return InvitationsReply(invitations=self.dispatcher.registration.invitations())
            case TailLog(build=build, known=known):
                return await self._log_tail(build, known)
            case BuilderHistory(builder=label):
                return BuilderHistoryReply(transitions=self.dispatcher.builder_history(label))
            case ShowBuilder(builder=label):
                return BuilderReply(page=await BuilderPages(self.db, self.dispatcher).page(label))

    async def _log_tail(self, build: int, known: int) -> LogTail:
        logs = self.dispatcher.logs
        if (tail := logs.tail(build, known)) is not None:
            return tail
        if (tail := await asyncio.to_thread(logs.archived_tail, build, known)) is not None:
            return tail
        raise RejectedError(no_log_text(build))

    async def _about_projects(
        self, query: Explain | ListReproductions | SearchProjects | ShowProject
    ) -> ReplyBody:
        match query:
            case ListReproductions():
                return await self.reproductions(query)
            case Explain():
                return await self.explain(query)
            case SearchProjects(text=text):
                return await self.search.find(text)
            case ShowProject(project=project, version=version):
                overview = await self.overviews.overview(project, version)
                return ProjectReply(overview=overview)

    async def builds(self, query: ListBuilds) -> BuildsReply:
        """Recent builds; of a builder with how long others usually take for the same."""
        builds = await self.status.list_builds(query)
        numbers = [build.build_id for build in builds] if query.builder else []
        usual_s = await history.usual_durations(self.db, numbers) if numbers else {}
        return BuildsReply(builds=builds, targets=await self.targets(), usual_s=usual_s)

    async def explain(self, query: Explain) -> ExplainReply:
        """Why a wheel exists or not, and what happens next."""
        versions = [query.version] if query.version else None
        target = await self.resolve_target(query.target) if query.target else None
        targets = [target] if target else None
        facts = await status_queries.project_status(
            self.db, query.project, versions, targets, outlines=await self.overviews.outlines()
        )
        statuses = explain_with_upstream(
            query.project,
            facts,
            self._status_context(),
            asked_version=query.version,
            asked_target=target,
            listed_problem=await listed_problem(self.db, query.project) if facts is None else None,
        )
        answers = (projection(Explanation, status, text=status.as_text) for status in statuses)
        head = await site_queries.project_head(self.db, query.project)
        return ExplainReply(answers=tuple(answers), targets=await self.targets(), needs=head.needs)

    async def build_details(self, build: int) -> BuildDetails:
        """A completed build, with how many releases fail as it did."""
        details = await failures.build_details(self.db, build)
        if details is None:
            raise RejectedError(f"build {build} is not recorded: it is running, or was removed")
        usual_s = await history.usual_durations(self.db, [build])
        key = (details.group_class, details.group_cause)
        groups = (await self.status.failures()).groups if details.group_class else ()
        releases = (it.releases for it in groups if (it.failure_class, it.cause) == key)
        return replace(details, usual_s=usual_s.get(build), group_releases=next(releases, 0))

    async def _about_queue(self, query: ListQueue | ListDemand) -> ReplyBody:
        match query:
            case ListQueue(target=target):
                return await self.queue(target)
            case ListDemand():
                return await self._demand()

    async def _demand(self) -> DemandReply:
        """The jobs that wait for builders, and the builders that were started on demand."""
        farm = self.dispatcher.state_machine
        found = await queue_demand.queue_demand(
            self.db, sorted(farm.seen_targets), farm.on_demand_disk_bytes
        )
        views = self.dispatcher.builder_views()
        return DemandReply(
            demand=tuple(found),
            waits=reasons.FARM_PAUSED if farm.paused else farm.no_jobs_reason,
            builders=tuple(view for view in views if view.on_demand),
        )

    async def queue(self, target: str) -> QueueReply:
        """The jobs that builders take next for a target, with their expected start."""
        jobs = await status_queries.next_jobs(self.db, target, MAX_QUEUED_JOBS)
        outline = (await self.overviews.outlines()).get(target) or QueueOutline()
        if target in self.dispatcher.targets.served and not self.dispatcher.paused:
            places = outline.listed_ahead([job.priority for job in jobs])
            jobs = [
                replace(job, expected=outline.expected_wait(place))
                for job, place in zip(jobs, places, strict=True)
            ]
        return QueueReply(jobs=tuple(jobs), jobs_per_hour=outline.builds_per_hour)

    async def read_series(self, names: Sequence[str], window: SeriesWindow) -> SeriesReply:
        """Time series over a window that ends now, by the database's clock."""
        now = await database_time(self.db)
        bars = await series.read_series(self.db, names, window, now)
        return SeriesReply(series=tuple(bars), ended_at=series.window_end(window, now))

    async def targets(self) -> tuple[str, ...]:
        """The names of all targets that the farm builds for."""
        return await self._target_names(skipped=False)

    async def resolve_target(self, word: str) -> str:
        """The target that a user names: by its name, or by its ABI tag where that is unique.

        A word that matches none is returned as it is.

        Raises:
            RejectedError: it matches several.
        """
        matches = match_targets(word, await self._target_names(skipped=False))
        matches = matches or match_targets(word, await self._target_names(skipped=True))
        if len(matches) > 1:
            raise RejectedError(f"{word} matches {' and '.join(matches)}; name one of them")
        return matches[0] if matches else word

    async def _target_names(self, *, skipped: bool) -> tuple[str, ...]:
        found = await target_queries.targets(self.db, include_skipped=skipped)
        return tuple(target.name for target in found)

    async def release_report(self, query: ReleaseReport) -> ReleaseReportReply:
        """The state of releases for each of some targets."""
        requested: dict[str, list[str]] = {}
        for project, version in query.releases:
            requested.setdefault(project, []).append(version)
        rows: list[ReleaseReportRow] = []
        for project, versions in requested.items():
            facts = await status_queries.project_status(
                self.db,
                project,
                versions,
                query.targets,
            )
            rows += _report_rows(project, versions, facts, self._status_context())
        # Clients install from the index; the web site's pages may be written later.
        stale = await page_queue.pending_page_count(self.db, page_queue.INDEX_PAGE_KINDS)
        return ReleaseReportReply(rows=tuple(rows), stale_pages=stale)

    def _status_context(self) -> StatusContext:
        return StatusContext(
            served_targets=self.dispatcher.targets.served,
            targets_with_compiler=self.dispatcher.targets.with_compiler,
            memory_bytes=self.dispatcher.targets.memory_bytes,
            known_memory_bytes=self.dispatcher.targets.known_memory_bytes,
            memory_with_packages=self.dispatcher.targets.farm.memory_with_packages,
            free_disk=self.dispatcher.targets.free_disk,
            paused=self.dispatcher.paused,
            now=datetime.now(UTC),
        )


def _report_rows(
    project: str,
    versions: Sequence[str],
    facts: ProjectStatusRow | None,
    context: StatusContext,
) -> Iterator[ReleaseReportRow]:
    releases = facts.releases if facts else ()
    if facts is not None:
        for release in releases:
            found = release_statuses(facts, release, context)
            for target in release.targets:
                if status_of_target := found.for_target(target.target):
                    resting = is_idle_until_soon(
                        status_of_target.state, release, target, context.now
                    )
                    yield _report_row(status_of_target, target, resting=resting)
    for version in sorted(set(versions) - {release.version for release in releases}):
        yield _report_row(removed_release_status(project, version), None, resting=True)


def _report_row(
    status_of_target: ReleaseStatus, target: TargetStatusRow | None, *, resting: bool
) -> ReleaseReportRow:
    return projection(
        ReleaseReportRow,
        status_of_target,
        target=target.target if target else "-",
        resting=resting,
        covered=status_of_target.state is State.COVERED,
        outcome=status_of_target.label,
        duration_s=target.last_duration_s if target else None,
        detail=status_of_target.detail or status_of_target.text,
        build=target.last_build_id if target else None,
    )
