"""Executes operator commands: a method for each message of `piwheels.protocol.commands`."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from piwheels.control.alert_service import AlertService
from piwheels.control.builder_invitations import BuilderInvitations
from piwheels.control.command_executor import Call
from piwheels.control.query_handlers import QueryHandlers
from piwheels.control.wheel_import import WheelImporter
from piwheels.db import (
    catalog,
    failures,
    job_queue,
    page_queue,
    recipe_store,
    reproductions,
    retention_queries,
    site_queries,
)
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.formatting import format_duration, pluralize
from piwheels.index_client.client import SimpleIndex
from piwheels.model import CompatibilityRules, UpstreamWheelPolicy, debian_package_error
from piwheels.protocol.commands.definition import release_text
from piwheels.protocol.messages import (
    AcknowledgeAlerts,
    Add,
    AddPackages,
    AddReply,
    AddTargets,
    Alias,
    AuthorizeBuilder,
    CommandBuilders,
    CommandSucceeded,
    DropPackages,
    ImportWheel,
    InviteBuilder,
    Message,
    MuteAlerts,
    Pause,
    Prioritize,
    RegeneratePages,
    RejectBuilder,
    Remove,
    ReplyBody,
    Reproduce,
    RequestBody,
    Resume,
    Retry,
    RetryReleases,
    RevokeInvitation,
    SetWheelPolicy,
    Skip,
    SkipReleases,
    StopMaster,
    UnmuteAlerts,
)
from piwheels.scheduler.dispatcher import Dispatcher
from piwheels.upstream.sync import add_projects, set_wheel_policy

_M = TypeVar("_M", bound=Message)

_MAX_PRIORITY_S = 10 * 365 * 86400.0
#: A project's name as somebody may have spelled it (PEP 508).
_ALIAS_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


@dataclass(slots=True)
class CommandHandlers:
    """Finds the handler of a message by its type, and runs it."""

    db: Database
    dispatcher: Dispatcher
    alerts: AlertService
    queries: QueryHandlers
    importer: WheelImporter
    invitations: BuilderInvitations
    index: SimpleIndex
    rules: CompatibilityRules
    wheels: UpstreamWheelPolicy = UpstreamWheelPolicy.BUILD  # upstream.wheels
    _handlers: dict[type[Message], Callable[[Any, Call], Awaitable[ReplyBody]]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.register(AcknowledgeAlerts, self._acknowledge)
        self.register(Add, self._add)
        self.register(AddPackages, self._add_packages)
        self.register(AddTargets, self._add_targets)
        self.register(Alias, self._alias)
        self.register(AuthorizeBuilder, self.invitations.authorize)
        self.register(CommandBuilders, self._command_builders)
        self.register(DropPackages, self._drop_packages)
        self.register(ImportWheel, self.importer.run)
        self.register(InviteBuilder, self.invitations.invite)
        self.register(MuteAlerts, self._mute)
        self.register(Pause, self._pause)
        self.register(Prioritize, self._prioritize)
        self.register(RegeneratePages, self._regenerate_pages)
        self.register(RejectBuilder, self.invitations.reject)
        self.register(Remove, self._remove)
        self.register(Reproduce, self._reproduce)
        self.register(Resume, self._resume)
        self.register(Retry, self._retry)
        self.register(RetryReleases, self._retry_releases)
        self.register(RevokeInvitation, self.invitations.revoke)
        self.register(SetWheelPolicy, self._set_wheel_policy)
        self.register(Skip, self._skip)
        self.register(SkipReleases, self._skip_releases)
        self.register(StopMaster, _stop_master)
        self.register(UnmuteAlerts, self._unmute)

    def register(
        self, message: type[_M], handler: Callable[[_M, Call], Awaitable[ReplyBody]]
    ) -> None:
        """Let a function handle messages of a type."""
        self._handlers[message] = handler

    def handles(self, message: type[Message]) -> bool:
        """Whether there is a handler for messages of a type."""
        return message in self._handlers

    async def handle(self, body: RequestBody, call: Call) -> ReplyBody:
        """Execute a command, or answer a query.

        Raises:
            PiwheelsError: it cannot be done, and why.
        """
        handler = self._handlers.get(type(body))
        if handler is None:
            return await self.queries.handle(body)
        return await handler(body, call)

    async def _acknowledge(self, command: AcknowledgeAlerts, call: Call) -> CommandSucceeded:
        return await self.alerts.acknowledge(command, call.caller.name)

    async def _mute(self, command: MuteAlerts, call: Call) -> CommandSucceeded:
        return await self.alerts.mute(command, call.caller.name)

    async def _unmute(self, command: UnmuteAlerts, _: Call) -> CommandSucceeded:
        return await self.alerts.unmute(command)

    async def _add(self, command: Add, _: Call) -> AddReply:
        added = await add_projects(
            self.db, self.index, command.requests, self.rules, wheels=self.wheels
        )
        for result in added:
            for version in result.versions:
                await retention_queries.bring_back(self.db, result.project, version)
        return AddReply(added=added)

    async def _add_targets(self, command: AddTargets, _: Call) -> CommandSucceeded:
        count = 0
        for target in command.targets:
            count += await self.dispatcher.targets.add(target)
        return CommandSucceeded(text=f"{pluralize(count, 'target')} added", count=count)

    async def _remove(self, command: Remove, _: Call) -> CommandSucceeded:
        project, version = command.project, command.version
        await self._require_project(project)
        if version is None:
            await self._remove_project(project, command.skip)
        elif not await catalog.remove_release(self.db, project, version):
            raise RejectedError(f"this farm has no release {version} of {project}")
        what = release_text(project, version)
        return CommandSucceeded(text=f"{what} was removed; its wheels will be deleted shortly")

    async def _require_project(self, project: str) -> None:
        if not await catalog.existing_projects(self.db, [project]):
            raise RejectedError(f"this farm has no project {project}")

    async def _remove_project(self, project: str, skip: str | None) -> None:
        await catalog.remove_project(self.db, project)
        if skip is not None:
            await catalog.add_project(self.db, project, project)
            await catalog.skip_project(self.db, project, skip)

    async def _skip(self, command: Skip, _: Call) -> CommandSucceeded:
        changed, what = await self._apply_skip(command)
        if not changed:
            raise RejectedError(f"nothing changed: {what} does not exist or already has this state")
        done = "is built again" if command.reason is None else f"is skipped: {command.reason}"
        return CommandSucceeded(text=f"{what} {done}")

    async def _apply_skip(self, command: Skip) -> tuple[bool, str]:
        """Whether it changed anything, and what it is about."""
        project, version, reason = command.project, command.version, command.reason
        target = await self._resolve(command.target)
        if project is None:
            if target is None:
                raise RejectedError("name a project, a release or a target")
            return await self.dispatcher.targets.skip(target, reason), f"target {target}"
        what = release_text(project, version, target)
        if target is not None:
            changed = await catalog.skip_for_target(self.db, project, version, target, reason)
        elif version is not None:
            changed = await catalog.skip_release(self.db, project, version, reason)
        else:
            changed = await catalog.skip_project(self.db, project, reason)
        return changed, what

    async def _resolve(self, target: str | None) -> str | None:
        return None if target is None else await self.queries.resolve_target(target)

    async def _regenerate_pages(self, command: RegeneratePages, _: Call) -> CommandSucceeded:
        kind = _page_kind(command.kind)
        if command.project is not None:
            await self._require_project(command.project)
        count = await page_queue.request_rewrite(self.db, kind, command.project)
        return CommandSucceeded(
            text=f"{pluralize(count, 'page')} will be written again", count=count
        )

    async def _alias(self, command: Alias, _: Call) -> CommandSucceeded:
        name, project = command.name, command.project
        if not _ALIAS_PATTERN.fullmatch(name) or name == project:
            raise RejectedError(f"{name!r} is not a valid alias")
        if project is not None:
            await self._require_project(project)
        changed = await site_queries.set_alias(self.db, name, project)
        state = f"redirects to {project}" if project else "is not an alias"
        if not changed:
            raise RejectedError(f"nothing changed: {name} already {state}")
        return CommandSucceeded(text=f"{name} now {state}" if project else f"{name} {state} now")

    async def _set_wheel_policy(self, command: SetWheelPolicy, _: Call) -> CommandSucceeded:
        project, policy = command.project, command.policy
        await self._require_project(project)
        changes = await set_wheel_policy(
            self.db, self.index, project, policy, self.rules, farm_policy=self.wheels
        )
        whose = f"now {policy}" if policy else f"now the farm's ({self.wheels})"
        text = f"the policy of {project} for wheels of the upstream is {whose}"
        for count, what in ((changes.added, "now"), (changes.removed, "no longer")):
            text += f"; {what} counting: {pluralize(count, 'wheel')}" if count else ""
        return CommandSucceeded(text=text, count=changes.added + changes.removed)

    async def _retry(self, command: Retry, _: Call) -> CommandSucceeded:
        project, target = command.project, await self._resolve(command.target)
        count = await job_queue.retry(
            self.db, project, command.version, target, rebuild_published=command.built
        )
        if command.version is not None:
            count += await retention_queries.bring_back(self.db, project, command.version)
        if not count:
            raise RejectedError(
                f"{project} has no failed or deferred builds; see `piw explain {project}`"
            )
        done = f"{pluralize(count, 'build')} of {project} {_was(count)} queued again"
        return CommandSucceeded(text=done, count=count)

    async def _reproduce(self, command: Reproduce, call: Call) -> CommandSucceeded:
        project, version = command.project, command.version
        if version is None:
            raise RejectedError(f"name one version, as in {project}==1.0")
        target = await self._resolve(command.target)
        found = await reproductions.files_of_release(self.db, project, version, target)
        what = release_text(project, version, target)
        if not found:
            raise RejectedError(f"{what} has no published wheel; see `piw explain {project}`")
        possible = [file for file in found if not file.obstacle]
        if not possible:
            raise RejectedError(f"{found[0].filename} cannot be built again: {found[0].obstacle}")
        await reproductions.request(self.db, possible, call.caller.name)
        count = len(possible)
        text = f"{pluralize(count, 'wheel')} of {what} will be built again and compared"
        return CommandSucceeded(text=text, count=count)

    async def _retry_releases(self, command: RetryReleases, _: Call) -> CommandSucceeded:
        count = await failures.retry_releases(self.db, command.releases)
        if not count:
            raise RejectedError(
                "nothing changed: none of these releases has failed or deferred builds"
            )
        done = f"{pluralize(count, 'build')} {_was(count)} queued again"
        return CommandSucceeded(text=done, count=count)

    async def _skip_releases(self, command: SkipReleases, _: Call) -> CommandSucceeded:
        count = await failures.skip_releases(self.db, command.releases, command.reason)
        if not count:
            raise RejectedError("nothing changed: these releases are skipped already, or removed")
        return CommandSucceeded(
            text=f"{pluralize(count, 'release')} {_was(count)} skipped: {command.reason}",
            count=count,
        )

    async def _add_packages(self, command: AddPackages, _: Call) -> CommandSucceeded:
        if error := next(filter(None, map(debian_package_error, command.packages)), ""):
            raise RejectedError(error)
        projects, queued = await recipe_store.add_packages(
            self.db, command.packages, projects=command.projects, releases=command.releases
        )
        if not projects:
            raise RejectedError("nothing changed: this farm has none of these projects")
        added = f"{', '.join(command.packages)} added to the builds of"
        return CommandSucceeded(
            text=f"{added} {pluralize(projects, 'project')}; "
            f"{pluralize(queued, 'build')} {_was(queued)} queued again",
            count=queued,
        )

    async def _drop_packages(self, command: DropPackages, _: Call) -> CommandSucceeded:
        dropped = await recipe_store.drop_packages(self.db, command.project)
        if not dropped:
            raise RejectedError(f"nothing changed: no packages were added to {command.project}")
        text = f"the builds of {command.project} no longer get {', '.join(dropped)}"
        return CommandSucceeded(text=text, count=len(dropped))

    async def _pause(self, _: Pause, call: Call) -> CommandSucceeded:
        if self.dispatcher.paused:
            return CommandSucceeded(text="the farm is already paused")
        await self.dispatcher.pause_farm(call.caller.name)
        return CommandSucceeded(text="no more jobs are assigned; running builds continue")

    async def _resume(self, _: Resume, __: Call) -> CommandSucceeded:
        if not self.dispatcher.paused:
            return CommandSucceeded(text="the farm is not paused")
        await self.dispatcher.resume_farm()
        return CommandSucceeded(text="jobs are assigned again")

    async def _prioritize(self, command: Prioritize, _: Call) -> CommandSucceeded:
        project, advance_s = command.project, command.advance_s
        if not -_MAX_PRIORITY_S <= advance_s <= _MAX_PRIORITY_S:
            raise RejectedError("jobs can be moved by ten years at most")
        target = await self._resolve(command.target)
        advance = timedelta(seconds=advance_s)
        count = await job_queue.prioritize(self.db, project, command.version, advance, target)
        if not count:
            raise RejectedError(f"{project} has no queued jobs; see `piw explain {project}`")
        jobs = f"{pluralize(count, 'job')} of {project}"
        return CommandSucceeded(
            text=f"{jobs} {_was(count)} {_describe_shift(advance_s)}", count=count
        )

    async def _command_builders(self, command: CommandBuilders, call: Call) -> CommandSucceeded:
        if not command.builders:
            raise RejectedError("name a builder")
        result = await self.dispatcher.command_builders(command, call.caller.name)
        rejected = "".join(f"; {label} {why}" for label, why in result.rejected)
        if not result.accepted:
            raise RejectedError(rejected.removeprefix("; "))
        text = f"{command.command}: {', '.join(result.accepted)}{rejected}"
        return CommandSucceeded(text=text, count=len(result.accepted))


async def _stop_master(_: StopMaster, __: Call) -> CommandSucceeded:
    return CommandSucceeded(text="the master is stopping; builders reconnect to the next one")


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _describe_shift(advance_s: float) -> str:
    if not advance_s:
        return "restored to the original order"
    return f"moved {'ahead' if advance_s > 0 else 'back'} by {format_duration(abs(advance_s))}"


def _page_kind(text: str) -> page_queue.PageKind | None:
    """The kind of page that a command names; None for all."""
    if not text:
        return None
    try:
        return page_queue.PageKind(text)
    except ValueError:
        kinds = ", ".join(page_queue.PageKind)
        raise RejectedError(f"there is no page kind {text!r}; use one of {kinds}") from None
