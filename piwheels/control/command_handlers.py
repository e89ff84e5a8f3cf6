"""What each operator command does: a command in, one answer out."""

import re
from dataclasses import dataclass
from datetime import timedelta

from piwheels.control.command_executor import ChunkQueue, SendReply
from piwheels.control.query_handlers import QueryHandlers
from piwheels.control.status_service import StatusService
from piwheels.control.wheel_import import WheelImporter
from piwheels.db import catalog, page_queue, queue, site_queries
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import CompatibilityRules
from piwheels.protocol.messages import (
    Add,
    AddReply,
    AddTargets,
    Alias,
    BuildsReply,
    CommandBuilders,
    CommandSucceeded,
    EventsReply,
    Explain,
    ImportWheel,
    ListBuilds,
    ListEvents,
    Pause,
    Prioritize,
    RegeneratePages,
    ReleaseReport,
    Remove,
    ReplyBody,
    RequestBody,
    Resume,
    Retry,
    Skip,
    Status,
    StopMaster,
)
from piwheels.scheduler.dispatcher import Dispatcher
from piwheels.simple_index.client import SimpleIndex
from piwheels.upstream.sync import add_projects

_MAX_PRIORITY_S = 10 * 365 * 86400.0


#: A project's name as somebody may have spelled it (PEP 508).
_ALIAS_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


@dataclass(slots=True)
class CommandHandlers:
    """Carries out commands, and has questions answered."""

    db: Database
    dispatcher: Dispatcher
    status: StatusService
    queries: QueryHandlers
    importer: WheelImporter
    index: SimpleIndex
    rules: CompatibilityRules

    async def handle(  # noqa: C901 - one case a command
        self, body: RequestBody, who: str, send: SendReply, inbox: ChunkQueue
    ) -> ReplyBody:
        """Do what an operator asked for.

        Raises:
            PiwheelsError: it cannot be done, and why.
        """
        match body:
            case Status():
                return await self.status.status()
            case ListBuilds():
                builds = await self.status.list_builds(body)
                return BuildsReply(builds=builds, targets=await self.queries.targets())
            case ListEvents():
                return EventsReply(events=await self.status.list_events(body))
            case Explain():
                return await self.queries.explain(body)
            case ReleaseReport():
                return await self.queries.release_report(body)
            case Add():
                return await self._add(body)
            case AddTargets():
                return await self._add_targets(body)
            case Remove():
                return await self._remove(body)
            case Skip():
                return await self._skip(body)
            case RegeneratePages():
                return await self._regenerate_pages(body)
            case Alias():
                return await self._alias(body)
            case Retry():
                return await self._retry(body)
            case Prioritize():
                return await self._prioritize(body)
            case Pause() | Resume():
                return await self._pause(paused=isinstance(body, Pause))
            case CommandBuilders():
                return await self._command_builders(body, who)
            case ImportWheel():
                return await self.importer.run(body, send, inbox)
            case StopMaster():
                return CommandSucceeded(
                    text="the master is stopping; builders wait for the next one"
                )
            case _:
                raise RejectedError(f"{type(body).__name__} is no command by itself")

    async def _add(self, command: Add) -> AddReply:
        return AddReply(added=await add_projects(self.db, self.index, command.requests, self.rules))

    async def _add_targets(self, command: AddTargets) -> CommandSucceeded:
        count = 0
        for target in command.targets:
            count += await self.dispatcher.targets.add(target)
        return CommandSucceeded(text=f"{count} targets are new", count=count)

    async def _remove(self, command: Remove) -> CommandSucceeded:
        project, wanted_version = command.project, command.version
        if not await self.db.retrying(lambda: catalog.existing_projects(self.db, [project])):
            raise RejectedError(f"this farm has no project {project}")
        if wanted_version is None:
            await self._remove_project(project, command.skip)
            what = project
        else:
            removed = await self.db.retrying(
                lambda: catalog.remove_release(self.db, project, wanted_version)
            )
            if not removed:
                raise RejectedError(f"this farm has no release {wanted_version} of {project}")
            what = f"{project} {wanted_version}"
        return CommandSucceeded(text=f"{what} is removed; its wheels leave the tree shortly")

    async def _remove_project(self, project: str, skip: str | None) -> None:
        await self.db.retrying(lambda: catalog.remove_project(self.db, project))
        if skip is not None:
            await self.db.retrying(lambda: catalog.add_project(self.db, project, project))
            await self.db.retrying(lambda: catalog.skip_project(self.db, project, skip))

    async def _skip(self, command: Skip) -> CommandSucceeded:
        changed, what = await self._apply_skip(command)
        done = "is built again" if command.reason is None else f"is skipped: {command.reason}"
        if not changed:
            raise RejectedError(f"nothing changed: there is no {what}, or it is so already")
        return CommandSucceeded(text=f"{what} {done}")

    async def _apply_skip(self, command: Skip) -> tuple[bool, str]:
        project, wanted_version, target = command.project, command.version, command.target
        reason = command.reason
        if project is None and target is not None:
            target = await self.queries.resolve_target(target)
            return await self.dispatcher.targets.skip(target, reason), f"target {target}"
        if project is None:
            raise RejectedError("name a project, a release or a target")
        if target is not None:
            return await self._skip_for_target(project, wanted_version, target, reason)
        if wanted_version is None:
            return await self.db.retrying(
                lambda: catalog.skip_project(self.db, project, reason)
            ), project
        return await self.db.retrying(
            lambda: catalog.skip_release(self.db, project, wanted_version, reason)
        ), f"{project} {wanted_version}"

    async def _skip_for_target(
        self, project: str, version: str | None, word: str, reason: str | None
    ) -> tuple[bool, str]:
        target = await self.queries.resolve_target(word)
        changed = await self.db.retrying(
            lambda: catalog.skip_for_target(self.db, project, version, target, reason)
        )
        return changed, f"{' '.join(filter(None, (project, version)))} for {target}"

    async def _regenerate_pages(self, command: RegeneratePages) -> CommandSucceeded:
        project, part = command.project, _page_kind(command.kind)
        if project is not None and not await self.db.retrying(
            lambda: catalog.existing_projects(self.db, [project])
        ):
            raise RejectedError(f"this farm has no project {project}")
        count = await self.db.retrying(lambda: page_queue.request_rewrite(self.db, part, project))
        return CommandSucceeded(text=f"{count} pages will be written again", count=count)

    async def _alias(self, command: Alias) -> CommandSucceeded:
        name, project = command.name, command.project
        if not _ALIAS_PATTERN.fullmatch(name) or name == project:
            raise RejectedError(f"{name!r} is no other name that a project could have")
        if project is not None and not await self.db.retrying(
            lambda: catalog.existing_projects(self.db, [project])
        ):
            raise RejectedError(f"this farm has no project {project}")
        if not await self.db.retrying(lambda: site_queries.set_alias(self.db, name, project)):
            raise RejectedError(f"nothing changed: {name} leads to {project or 'nothing'} already")
        return CommandSucceeded(text=f"{name} leads to {project or 'nothing'} now")

    async def _retry(self, command: Retry) -> CommandSucceeded:
        project, target = command.project, command.target
        if target is not None:
            target = await self.queries.resolve_target(target)
        count = await self.db.retrying(
            lambda: queue.retry(
                self.db, project, command.version, target, rebuild_published=command.built
            )
        )
        if not count:
            raise RejectedError(
                f"nothing of {project} failed for good or waits for its next try; "
                f"`piw explain {project}` says how it stands"
            )
        return CommandSucceeded(text=f"{count} builds of {project} are open again", count=count)

    async def _pause(self, *, paused: bool) -> CommandSucceeded:
        if self.dispatcher.paused == paused:
            return CommandSucceeded(
                text="the farm is paused already" if paused else "the farm runs already"
            )
        await self.dispatcher.set_paused(paused=paused)
        return CommandSucceeded(
            text="no more jobs are handed out; builds in hand go on"
            if paused
            else "jobs are handed out again"
        )

    async def _prioritize(self, command: Prioritize) -> CommandSucceeded:
        project, by = command.project, command.advance_s
        if not -_MAX_PRIORITY_S <= by <= _MAX_PRIORITY_S:
            raise RejectedError("a priority is at most ten years, either way")
        target = command.target
        if target is not None:
            target = await self.queries.resolve_target(target)
        count = await self.db.retrying(
            lambda: queue.prioritize(
                self.db, project, command.version, timedelta(seconds=by), target
            )
        )
        if not count:
            raise RejectedError(
                f"nothing of {project} waits; `piw explain {project}` says how it stands"
            )
        return CommandSucceeded(
            text=f"{count} jobs of {project} are due {_describe_shift(by)}", count=count
        )

    async def _command_builders(self, command: CommandBuilders, who: str) -> CommandSucceeded:
        if not command.builders:
            raise RejectedError("name a builder")
        given = await self.dispatcher.command_builders(command, who)
        absent = "".join(f"; {label} {why}" for label, why in given.rejected)
        if not given.accepted:
            raise RejectedError(absent.removeprefix("; "))
        text = f"{command.command}: {', '.join(given.accepted)}{absent}"
        return CommandSucceeded(text=text, count=len(given.accepted))


def _describe_shift(by_s: float) -> str:
    if not by_s:
        return "as they were queued"
    return f"{abs(by_s):.0f} s {'earlier' if by_s > 0 else 'later'}"


def _page_kind(text: str) -> page_queue.PageKind | None:
    """The part of the site that a command names, "" for all of it."""
    if not text:
        return None
    try:
        return page_queue.PageKind(text)
    except ValueError:
        there = ", ".join(part for part in page_queue.PageKind)
        raise RejectedError(f"there is no part {text!r} of the site; there are {there}") from None
