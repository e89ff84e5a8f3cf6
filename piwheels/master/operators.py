"""What each operator command does: a command in, one answer out, an event in the list."""

import asyncio
import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from piwheels.db import catalog, jobs, views
from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.farm.bulletin import Bulletin
from piwheels.farm.dispatch import Dispatch
from piwheels.farm.explain import explanations
from piwheels.farm.publishing import Publisher
from piwheels.master.control import Inbox, Send
from piwheels.master.glance import Glance
from piwheels.model import Build, Kind, Outcome, Release, ReleaseFacts, Rules, TargetFacts
from piwheels.protocol.messages import (
    Add,
    AddReply,
    AddTargets,
    Applied,
    Body,
    BuildsReply,
    EventsReply,
    Explain,
    ExplainReply,
    Happened,
    Import,
    ImportChunk,
    ImportFetch,
    ListBuilds,
    ListEvents,
    OrderBuilders,
    Pause,
    Quit,
    Rebuild,
    Remove,
    ReplyBody,
    Report,
    ReportReply,
    ReportRow,
    Resume,
    Retry,
    Skip,
    Status,
)
from piwheels.protocol.transfer import Transfer
from piwheels.simpleapi import SimpleIndex
from piwheels.upstream.follow import add
from piwheels.wheel.file import inspect

_CHUNK_WAIT_S = 60.0
_IMPORTED_BY = "import"


@dataclass(slots=True)
class Operators:
    """Carries out commands; `stop` ends the master."""

    db: Database
    dispatch: Dispatch
    glance: Glance
    index: SimpleIndex
    rules: Rules
    publisher: Publisher
    bulletin: Bulletin
    spool: Path
    stop: Callable[[], None]

    async def carry_out(self, body: Body, who: str, send: Send, inbox: Inbox) -> ReplyBody:  # noqa: C901 - one case a command
        """Do what an operator asked for.

        Raises:
            PiwheelsError: it cannot be done, and why.
        """
        match body:
            case Status():
                return await self.glance.status()
            case ListBuilds():
                return BuildsReply(builds=await self.glance.builds(body))
            case ListEvents():
                return EventsReply(events=await self.glance.events(body))
            case Explain():
                return await self._explain(body)
            case Report():
                return await self._report(body)
            case Add():
                return await self._add(body, who)
            case AddTargets():
                return await self._add_targets(body)
            case Remove():
                return await self._remove(body, who)
            case Skip():
                return await self._skip(body, who)
            case Rebuild():
                return await self._rebuild(body, who)
            case Retry():
                return await self._retry(body, who)
            case Pause() | Resume():
                return await self._pause(who, paused=isinstance(body, Pause))
            case OrderBuilders():
                return await self._order(body, who)
            case Import():
                return await self._import(body, who, send, inbox)
            case Quit():
                await self._note(who, "ended the master")
                self.stop()
                return Applied(text="the master is stopping; builders wait for the next one")
            case _:
                raise RefusedError(f"{type(body).__name__} is no command by itself")

    # --- questions ---

    async def _explain(self, question: Explain) -> ExplainReply:
        versions = [question.version] if question.version else None
        targets = [question.target] if question.target else None
        facts = await self.db.retrying(
            lambda: views.project_facts(self.db, question.project, versions, targets)
        )
        return ExplainReply(
            answers=explanations(
                question.project,
                facts,
                asked_version=question.version,
                asked_target=question.target,
                served=frozenset(
                    target for view in self.dispatch.builders() for target in view.targets
                ),
                paused=self.dispatch.paused,
                now=datetime.now(UTC),
            )
        )

    async def _report(self, question: Report) -> ReportReply:
        rows: list[ReportRow] = []
        for project, wanted_version in question.releases:
            facts = await self.db.retrying(
                lambda: views.project_facts(self.db, project, [wanted_version], question.targets)  # noqa: B023
            )
            for release in facts.releases if facts else ():
                rows += [_report_row(project, release, target) for target in release.targets]
        stale = await self.db.retrying(lambda: views.stale_count(self.db))
        return ReportReply(rows=tuple(rows), stale_pages=stale)

    # --- commands ---

    async def _add(self, command: Add, who: str) -> AddReply:
        added = await add(self.db, self.index, command.wanted, self.rules)
        for item in added:
            if not item.problem:
                await self._note(who, f"added {item.project} {', '.join(item.versions)}")
        return AddReply(added=added)

    async def _add_targets(self, command: AddTargets) -> Applied:
        count = 0
        for target in command.targets:
            count += await self.dispatch.add_target(target)
        return Applied(text=f"{count} targets are new", count=count)

    async def _remove(self, command: Remove, who: str) -> Applied:
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
        await self._note(who, f"removed {what}")
        return Applied(text=f"{what} is removed; its wheels leave the tree shortly")

    async def _remove_project(self, project: str, skip: str | None) -> None:
        await self.db.retrying(lambda: catalog.remove_project(self.db, project))
        if skip is not None:
            await self.db.retrying(lambda: catalog.add_project(self.db, project, project))
            await self.db.retrying(lambda: catalog.skip_project(self.db, project, skip))

    async def _skip(self, command: Skip, who: str) -> Applied:
        changed, what = await self._apply_skip(command)
        done = "is built again" if command.reason is None else f"is skipped: {command.reason}"
        if not changed:
            raise RefusedError(f"nothing changed: there is no {what}, or it is so already")
        await self._note(who, f"{what} {done}")
        return Applied(text=f"{what} {done}")

    async def _apply_skip(self, command: Skip) -> tuple[bool, str]:
        project, wanted_version, target = command.project, command.version, command.target
        reason = command.reason
        if project is None and target is not None:
            return await self.dispatch.skip_target(target, reason), f"target {target}"
        if project is None:
            raise RefusedError("name a project, a release or a target")
        if wanted_version is None:
            return await self.db.retrying(
                lambda: catalog.skip_project(self.db, project, reason)
            ), project
        return await self.db.retrying(
            lambda: catalog.skip_release(self.db, project, wanted_version, reason)
        ), f"{project} {wanted_version}"

    async def _rebuild(self, command: Rebuild, who: str) -> Applied:
        count = await self.db.retrying(lambda: views.mark_stale(self.db, command.project))
        await self._note(who, f"had {command.project or 'all'} pages written again")
        return Applied(text=f"{count} pages will be written again", count=count)

    async def _retry(self, command: Retry, who: str) -> Applied:
        project = command.project
        count = await self.db.retrying(
            lambda: jobs.retry(
                self.db, project, command.version, command.target, built=command.built
            )
        )
        if not count:
            raise RefusedError(
                f"nothing of {project} failed for good or waits for its next try; "
                f"`piw explain {project}` says how it stands"
            )
        await self._note(who, f"retried {project} {command.version or ''}".strip())
        return Applied(text=f"{count} builds of {project} are open again", count=count)

    async def _pause(self, who: str, *, paused: bool) -> Applied:
        if self.dispatch.paused == paused:
            return Applied(text="the farm is paused already" if paused else "the farm runs already")
        await self.dispatch.pause(paused=paused)
        await self._note(who, "paused the farm" if paused else "resumed the farm")
        return Applied(
            text="no more jobs are handed out; builds in hand go on"
            if paused
            else "jobs are handed out again"
        )

    async def _order(self, command: OrderBuilders, who: str) -> Applied:
        there = await self.dispatch.order(command.order, command.builders, who)
        missing = sorted(set(command.builders) - set(there))
        if not there:
            raise RefusedError(f"no such builder is connected: {', '.join(missing)}")
        await self._note(who, f"{command.order}: {', '.join(there)}")
        left = f"; not connected: {', '.join(missing)}" if missing else ""
        return Applied(text=f"{command.order}: {', '.join(there)}{left}", count=len(there))

    # --- wheels from elsewhere ---

    async def _import(self, command: Import, who: str, send: Send, inbox: Inbox) -> Applied:
        try:
            name, wheel_version, _, _ = parse_wheel_filename(command.filename)
        except InvalidWheelFilename as error:
            raise RefusedError(str(error)) from None
        if "/" in command.filename or not command.filename.endswith(".whl"):
            raise RefusedError(f"{command.filename!r} is no name of a wheel")
        number = await self.db.retrying(lambda: jobs.new_build_number(self.db))
        folder = self.spool / str(number)
        folder.mkdir(parents=True)
        try:
            path = folder / command.filename
            await _fetch(command, path, send, inbox)
            return await self._publish_import(number, str(name), str(wheel_version), path, who)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _publish_import(
        self, number: int, project: str, wheel_version: str, path: Path, who: str
    ) -> Applied:
        facts = await asyncio.to_thread(inspect, path)
        target = await self._first_covered(facts.filename, facts.kind)
        db, now = self.db, datetime.now(UTC)
        known = await db.retrying(lambda: catalog.known_releases(db, project))
        if wheel_version not in {item.version for item in known}:
            release = Release(
                project=project,
                version=wheel_version,
                released_at=now,
                requires_python=facts.requires_python,
            )
            await db.retrying(lambda: catalog.add_project(db, project, project))
            await db.retrying(lambda: catalog.add_releases(db, [release], self.rules))
        wheel = await self.publisher.lay_down(facts, path)
        build = Build(
            build=number,
            project=project,
            version=wheel_version,
            target=target,
            builder=_IMPORTED_BY,
            outcome=Outcome.BUILT,
            started_at=now,
            duration_s=0.0,
        )
        if not await db.retrying(lambda: jobs.record_import(db, build, [wheel], self.rules)):
            raise RefusedError(f"{project} {wheel_version} was removed while it was imported")
        await self._note(who, f"imported {wheel.filename}")
        return Applied(text=f"{wheel.filename} is published")

    async def _first_covered(self, filename: str, kind: Kind) -> str:
        for target in await self.db.retrying(lambda: catalog.targets(self.db)):
            if self.rules.covers(kind, target):
                return target.name
        raise RefusedError(f"{filename} installs on none of this farm's targets")

    async def _note(self, who: str, what: str) -> None:
        await self.db.retrying(lambda: catalog.record_event(self.db, who, what))
        self.bulletin.publish(Happened(at=datetime.now(UTC), who=who, what=what))


async def _fetch(command: Import, path: Path, send: Send, inbox: Inbox) -> None:
    """Ask for the wheel piece by piece; its hash has to be the one announced."""
    transfer = Transfer(command.size_bytes)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while not transfer.complete:
            for piece in transfer.next_pieces(time.monotonic()):
                await send(ImportFetch(offset=piece.offset, length=piece.length))
            async with asyncio.timeout(_CHUNK_WAIT_S):
                chunk = await inbox.get()
            if not isinstance(chunk, ImportChunk) or not transfer.accept(
                chunk.offset, len(chunk.data), time.monotonic()
            ):
                raise RefusedError(f"{command.filename}: a piece came that was not asked for")
            digest.update(chunk.data)
            file.write(chunk.data)
    if digest.hexdigest() != command.sha256:
        raise RefusedError(f"{command.filename} changed while it was read")


def _report_row(project: str, release: ReleaseFacts, target: TargetFacts) -> ReportRow:
    outcome, detail, settled = _outcome(release, target)
    return ReportRow(
        project=project,
        version=release.version,
        target=target.target,
        settled=settled,
        covered=target.covered_by is not None,
        outcome=outcome,
        duration_s=target.last_duration_s,
        detail=detail,
        build=target.last_build,
    )


def _outcome(release: ReleaseFacts, target: TargetFacts) -> tuple[str, str, bool]:
    """A word, the wheel or the reason, and whether nothing more will happen by itself."""
    if target.covered_by is not None:
        own = target.last_outcome == "built"
        return ("built" if own else "covered"), target.covered_by, True
    if not target.allowed:
        return "excluded", f"Requires-Python is {release.requires_python}", True
    if target.last_final:
        return target.last_outcome or "failed", target.last_reason or "", True
    if release.skip is not None or target.target_skip is not None:
        return "skipped", release.skip or target.target_skip or "", True
    return "open", target.last_reason or "", False
