"""What the simulated farm does with requests, in place of the database and the scheduler."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from piwheels.errors import RejectedError
from piwheels.formatting import pluralize
from piwheels.model import (
    ExpectedWait,
    ProjectHit,
    ProjectOverview,
    QueuedJob,
    State,
)
from piwheels.protocol.messages import (
    AcknowledgeAlerts,
    AddPackages,
    AlertsChanged,
    BuilderCommand,
    BuildReply,
    BuildsReply,
    CommandBuilders,
    CommandSucceeded,
    Event,
    EventsReply,
    Explain,
    ExplainReply,
    Explanation,
    ListBuilds,
    ListEvents,
    ListFailedBuilds,
    ListFailures,
    ListQueue,
    MuteAlerts,
    Pause,
    Prioritize,
    ProjectHits,
    ProjectReply,
    QueueReply,
    ReadSeries,
    RegeneratePages,
    Remove,
    ReplyBody,
    RequestBody,
    Resume,
    Retry,
    RetryReleases,
    SearchProjects,
    ShowBuild,
    ShowBuilder,
    ShowProject,
    Skip,
    SkipReleases,
    Status,
    StopMaster,
)
from tests.simfarm import builder_pages, failures, series
from tests.simfarm.model import FarmModel

_POLL_S = 0.1


class SimHandlers:
    """Changes the model and publishes what changed."""

    def __init__(self, model: FarmModel, publish: Callable[..., None]) -> None:
        self._model = model
        self._publish = publish

    async def handle(self, body: RequestBody) -> ReplyBody:
        """Answer a query, or execute a command.

        Raises:
            RejectedError: it cannot be done.
        """
        match body:
            case Pause() | Resume():
                paused = isinstance(body, Pause)
                self._publish(*self._model.pause(paused=paused))
                return CommandSucceeded(text="paused" if paused else "resumed")
            case CommandBuilders():
                return await self._command_builders(body)
            case AcknowledgeAlerts() | MuteAlerts():
                return self._change_alerts(body)
            case StopMaster():
                return CommandSucceeded(text="the master is stopping")
            case RetryReleases(releases=releases) | AddPackages(releases=releases):
                self._model.retried |= set(releases)
                return CommandSucceeded(text="queued again", count=len(releases))
            case SkipReleases(releases=releases):
                self._model.forget(releases)
                return CommandSucceeded(text="skipped", count=len(releases))
            case Skip() | Retry() | Prioritize() | Remove() | RegeneratePages():
                return CommandSucceeded(text="done", count=1)
            case _:
                return self._query(body)

    def _query(self, body: RequestBody) -> ReplyBody:
        match body:
            case Status():
                return self._model.status()
            case Explain():
                return _explain(body)
            case ListBuilds():
                builds = [
                    build
                    for build in reversed(self._model.builds)
                    if body.project in {None, build.project}
                    and body.builder in {None, build.builder}
                    and not (body.failed and build.outcome == "built")
                    and build.duration_s >= body.slower_than_s
                    and (body.ended_before is None or build.ended_at < body.ended_before)
                ]
                return BuildsReply(builds=tuple(builds[: body.limit]))
            case ShowProject(project=project, version=version):
                return _overview(self._model, project, version)
            case ListQueue(target=target):
                return _queue(self._model, target)
            case SearchProjects(text=text):
                return _search(self._model, text)
            case ReadSeries() | ShowBuilder():
                return self._series_or_builder(body)
            case ListFailures() | ListFailedBuilds() | ShowBuild():
                return self._about_failures(body)
            case ListEvents():
                events = [
                    event
                    for event in reversed(self._model.events)
                    if body.before is None or event.event_id < body.before
                ]
                return EventsReply(events=tuple(events[: body.limit]))
            case _:
                raise RejectedError(f"the simulated farm knows no {type(body).__name__}")

    def _series_or_builder(self, body: ReadSeries | ShowBuilder) -> ReplyBody:
        if isinstance(body, ShowBuilder):
            return builder_pages.page(self._model, body.builder)
        return series.read_series(self._model, body.names, body.window)

    def _about_failures(self, body: ListFailures | ListFailedBuilds | ShowBuild) -> ReplyBody:
        match body:
            case ListFailures():
                return failures.report(self._model.all_builds, self._model.retried)
            case ListFailedBuilds():
                found = failures.open_failures(self._model.all_builds)
                return BuildsReply(builds=tuple(found.get((body.failure_class, body.cause), ())))
            case ShowBuild(build=build):
                return BuildReply(details=failures.build_details(self._model, build))

    def _change_alerts(self, body: AcknowledgeAlerts | MuteAlerts) -> CommandSucceeded:
        tracker = self._model.alerts
        for alert_id in body.alerts:
            if isinstance(body, AcknowledgeAlerts):
                tracker.acknowledge(alert_id, self._model.operator, body.note, self._model.time)
            else:
                until = self._model.time + timedelta(seconds=body.duration_s)
                tracker.mute(alert_id, self._model.operator, until, body.note)
        self._publish(AlertsChanged(alerts=tracker.alerts))
        return CommandSucceeded(text="done", count=len(body.alerts))

    async def _command_builders(self, body: CommandBuilders) -> CommandSucceeded:
        missing = self._model.missing(body.builders)
        if missing:
            raise RejectedError(f"there is no builder {', '.join(missing)}")
        if body.command is BuilderCommand.RESTART and body.max_parallel:
            await self._restart_in_turn(body)
        else:
            self._publish(*self._apply(body))
        count = len(body.builders)
        return CommandSucceeded(text=f"{body.command}: {pluralize(count, 'builder')}", count=count)

    def _apply(self, body: CommandBuilders) -> list[Event]:
        model, labels = self._model, body.builders
        match body.command:
            case BuilderCommand.SLEEP:
                return model.sleep(labels, immediately=body.immediately)
            case BuilderCommand.WAKE:
                return model.wake(labels)
            case BuilderCommand.CANCEL_BUILD:
                return model.cancel_builds(labels)
            case BuilderCommand.DRAIN:
                return model.drain(labels, restart=False)
            case BuilderCommand.RESTART:
                return model.drain(labels, restart=True)
            case BuilderCommand.KILL:
                return model.kill(labels)

    async def _restart_in_turn(self, body: CommandBuilders) -> None:
        waiting, away = list(body.builders), set[str]()
        while waiting or away:
            away = {label for label in away if self._model.is_restarting(label)}
            while waiting and len(away) < body.max_parallel:
                label = waiting.pop(0)
                self._publish(*self._model.drain([label], restart=True))
                away.add(label)
            await asyncio.sleep(_POLL_S)


def _overview(model: FarmModel, project: str, version: str | None) -> ReplyBody:
    builds = tuple(build for build in reversed(model.builds) if build.project == project)
    if not builds:
        raise RejectedError(f"the simulated farm has no {project}")
    shown = version or builds[0].version
    return ProjectReply(
        overview=ProjectOverview(project=project, version=shown, builds=builds[:20])
    )


def _queue(model: FarmModel, target: str) -> ReplyBody:
    builds = [build for build in model.builds if build.target == target][:20]
    jobs = (
        QueuedJob(
            project=build.project,
            version=build.version,
            queued_at=build.ended_at,
            expected=ExpectedWait(soonest_s=50.0 * place, latest_s=60.0 * (place + 1)),
        )
        for place, build in enumerate(builds)
    )
    return QueueReply(jobs=tuple(jobs), jobs_per_hour=60.0)


def _search(model: FarmModel, text: str) -> ReplyBody:
    names = sorted({build.project for build in model.builds})
    found = [name for name in names if text in name]
    hits = tuple(ProjectHit(project=name, version="1.0", targets=2, covered=1) for name in found)
    return ProjectHits(hits=hits[:20], projects=len(names), more=len(hits) > 20)


def _explain(body: Explain) -> ReplyBody:
    answer = Explanation(
        project=body.project,
        version=body.version or "1.0",
        target=body.target or "cp313-trixie-aarch64",
        state=State.QUEUED,
        text=f"{body.project} waits for a builder that serves this target, after 17 others.",
    )
    return ExplainReply(answers=(answer,))
