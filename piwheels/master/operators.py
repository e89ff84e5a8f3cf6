"""What each operator command does: a command in, one answer out."""

import re
from dataclasses import dataclass
from datetime import timedelta

from piwheels.db import catalog, jobs, pages, site
from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.farm.dispatch import Dispatch
from piwheels.master.fates import Inbox, Send
from piwheels.master.glance import Glance
from piwheels.master.imports import Importer
from piwheels.master.questions import Questions
from piwheels.model import Rules
from piwheels.protocol.messages import (
    Add,
    AddReply,
    AddTargets,
    Alias,
    Applied,
    Body,
    BuildsReply,
    EventsReply,
    Explain,
    Import,
    ListBuilds,
    ListEvents,
    OrderBuilders,
    Pause,
    Prioritise,
    Quit,
    Rebuild,
    Remove,
    ReplyBody,
    Report,
    Resume,
    Retry,
    Skip,
    Status,
)
from piwheels.simpleapi import SimpleIndex
from piwheels.upstream.follow import add

_LONGEST_PRIORITY_S = 10 * 365 * 86400.0


#: A project's name as somebody may have spelled it (PEP 508).
_ALIAS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


@dataclass(slots=True)
class Operators:
    """Carries out commands, and has questions answered."""

    db: Database
    dispatch: Dispatch
    glance: Glance
    questions: Questions
    importer: Importer
    index: SimpleIndex
    rules: Rules

    async def carry_out(self, body: Body, who: str, send: Send, inbox: Inbox) -> ReplyBody:  # noqa: C901 - one case a command
        """Do what an operator asked for.

        Raises:
            PiwheelsError: it cannot be done, and why.
        """
        match body:
            case Status():
                return await self.glance.status()
            case ListBuilds():
                builds = await self.glance.builds(body)
                return BuildsReply(builds=builds, targets=await self.questions.targets())
            case ListEvents():
                return EventsReply(events=await self.glance.events(body))
            case Explain():
                return await self.questions.explain(body)
            case Report():
                return await self.questions.report(body)
            case Add():
                return await self._add(body)
            case AddTargets():
                return await self._add_targets(body)
            case Remove():
                return await self._remove(body)
            case Skip():
                return await self._skip(body)
            case Rebuild():
                return await self._rebuild(body)
            case Alias():
                return await self._alias(body)
            case Retry():
                return await self._retry(body)
            case Prioritise():
                return await self._prioritise(body)
            case Pause() | Resume():
                return await self._pause(paused=isinstance(body, Pause))
            case OrderBuilders():
                return await self._order(body, who)
            case Import():
                return await self.importer.take(body, send, inbox)
            case Quit():
                return Applied(text="the master is stopping; builders wait for the next one")
            case _:
                raise RefusedError(f"{type(body).__name__} is no command by itself")

    async def _add(self, command: Add) -> AddReply:
        return AddReply(added=await add(self.db, self.index, command.wanted, self.rules))

    async def _add_targets(self, command: AddTargets) -> Applied:
        count = 0
        for target in command.targets:
            count += await self.dispatch.add_target(target)
        return Applied(text=f"{count} targets are new", count=count)

    async def _remove(self, command: Remove) -> Applied:
        project, wanted_version = command.project, command.version
        if not await self.db.retrying(lambda: catalog.known(self.db, [project])):
            raise RefusedError(f"this farm has no project {project}")
        if wanted_version is None:
            await self._remove_project(project, command.skip)
            what = project
        else:
            removed = await self.db.retrying(
                lambda: catalog.remove_release(self.db, project, wanted_version)
            )
            if not removed:
                raise RefusedError(f"this farm has no release {wanted_version} of {project}")
            what = f"{project} {wanted_version}"
        return Applied(text=f"{what} is removed; its wheels leave the tree shortly")

    async def _remove_project(self, project: str, skip: str | None) -> None:
        await self.db.retrying(lambda: catalog.remove_project(self.db, project))
        if skip is not None:
            await self.db.retrying(lambda: catalog.add_project(self.db, project, project))
            await self.db.retrying(lambda: catalog.skip_project(self.db, project, skip))

    async def _skip(self, command: Skip) -> Applied:
        changed, what = await self._apply_skip(command)
        done = "is built again" if command.reason is None else f"is skipped: {command.reason}"
        if not changed:
            raise RefusedError(f"nothing changed: there is no {what}, or it is so already")
        return Applied(text=f"{what} {done}")

    async def _apply_skip(self, command: Skip) -> tuple[bool, str]:
        project, wanted_version, target = command.project, command.version, command.target
        reason = command.reason
        if project is None and target is not None:
            target = await self.questions.target_meant(target)
            return await self.dispatch.skip_target(target, reason), f"target {target}"
        if project is None:
            raise RefusedError("name a project, a release or a target")
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
        target = await self.questions.target_meant(word)
        changed = await self.db.retrying(
            lambda: catalog.skip_for_target(self.db, project, version, target, reason)
        )
        return changed, f"{' '.join(filter(None, (project, version)))} for {target}"

    async def _rebuild(self, command: Rebuild) -> Applied:
        project, part = command.project, _part(command.part)
        if project is not None and not await self.db.retrying(
            lambda: catalog.known(self.db, [project])
        ):
            raise RefusedError(f"this farm has no project {project}")
        count = await self.db.retrying(lambda: pages.mark(self.db, part, project))
        return Applied(text=f"{count} pages will be written again", count=count)

    async def _alias(self, command: Alias) -> Applied:
        name, project = command.name, command.project
        if not _ALIAS.fullmatch(name) or name == project:
            raise RefusedError(f"{name!r} is no other name that a project could have")
        if project is not None and not await self.db.retrying(
            lambda: catalog.known(self.db, [project])
        ):
            raise RefusedError(f"this farm has no project {project}")
        if not await self.db.retrying(lambda: site.set_alias(self.db, name, project)):
            raise RefusedError(f"nothing changed: {name} leads to {project or 'nothing'} already")
        return Applied(text=f"{name} leads to {project or 'nothing'} now")

    async def _retry(self, command: Retry) -> Applied:
        project, target = command.project, command.target
        if target is not None:
            target = await self.questions.target_meant(target)
        count = await self.db.retrying(
            lambda: jobs.retry(self.db, project, command.version, target, built=command.built)
        )
        if not count:
            raise RefusedError(
                f"nothing of {project} failed for good or waits for its next try; "
                f"`piw explain {project}` says how it stands"
            )
        return Applied(text=f"{count} builds of {project} are open again", count=count)

    async def _pause(self, *, paused: bool) -> Applied:
        if self.dispatch.paused == paused:
            return Applied(text="the farm is paused already" if paused else "the farm runs already")
        await self.dispatch.pause(paused=paused)
        return Applied(
            text="no more jobs are handed out; builds in hand go on"
            if paused
            else "jobs are handed out again"
        )

    async def _prioritise(self, command: Prioritise) -> Applied:
        project, by = command.project, command.by_s
        if not -_LONGEST_PRIORITY_S <= by <= _LONGEST_PRIORITY_S:
            raise RefusedError("a priority is at most ten years, either way")
        target = command.target
        if target is not None:
            target = await self.questions.target_meant(target)
        count = await self.db.retrying(
            lambda: jobs.prioritise(
                self.db, project, command.version, timedelta(seconds=by), target
            )
        )
        if not count:
            raise RefusedError(
                f"nothing of {project} waits; `piw explain {project}` says how it stands"
            )
        return Applied(text=f"{count} jobs of {project} are due {_moved(by)}", count=count)

    async def _order(self, command: OrderBuilders, who: str) -> Applied:
        if not command.builders:
            raise RefusedError("name a builder")
        given = await self.dispatch.order(command, who)
        absent = "".join(f"; {label} {why}" for label, why in given.refused)
        if not given.obeyed:
            raise RefusedError(absent.removeprefix("; "))
        text = f"{command.order}: {', '.join(given.obeyed)}{absent}"
        return Applied(text=text, count=len(given.obeyed))


def _moved(by_s: float) -> str:
    if not by_s:
        return "as they were queued"
    return f"{abs(by_s):.0f} s {'earlier' if by_s > 0 else 'later'}"


def _part(text: str) -> pages.Part | None:
    """The part of the site that a command names, "" for all of it."""
    if not text:
        return None
    try:
        return pages.Part(text)
    except ValueError:
        there = ", ".join(part for part in pages.Part)
        raise RefusedError(f"there is no part {text!r} of the site; there are {there}") from None
