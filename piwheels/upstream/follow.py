"""Following the upstream: projects added, and what the index says of them turned into releases.

Two sources tell when to look at a project (the changelog, or the clock); one function,
`reconcile`, makes the database agree with its page. Transient faults delay, never kill.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from piwheels import names
from piwheels.db import catalog, events, settings
from piwheels.db.database import Database
from piwheels.errors import PiwheelsError, RefusedError, TransientError
from piwheels.model import Rules, Wanted
from piwheels.protocol.messages import Added
from piwheels.simpleapi import ProjectPage, SimpleIndex
from piwheels.upstream.changelog import Changelog, NoChangelogError
from piwheels.upstream.choose import choose, releases_of
from piwheels.upstream.last_look import note_page

log = logging.getLogger(__name__)

SERIAL = "upstream.serial"
_AT_ONCE = 4
_FIRST_DELAY_S = 5.0
_LONGEST_DELAY_S = 600.0
_CHANGELOG_EVERY_S = 30.0
_WAIT_FOR_DUE_S = 5.0
#: What `seen` holds of a project that was missing at the last look.
_MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How the upstream is followed.

    source: "auto", "changelog" or "poll". everything: also projects that nobody added.
    changelog_url: "" derives it from the index's address. first_delay_s: how long a fault
    delays; doubled with each further one.
    """

    source: str = "auto"
    poll_interval_s: float = 900.0
    everything: bool = False
    changelog_url: str = ""
    changelog_every_s: float = _CHANGELOG_EVERY_S
    first_delay_s: float = _FIRST_DELAY_S


async def add(
    db: Database, index: SimpleIndex, wanted: Sequence[Wanted], rules: Rules
) -> tuple[Added, ...]:
    """Follow projects from now on, and have the releases built that were asked for.

    Returns:
        For each what was found, or in one line why nothing was.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Wanted) -> Added:
        async with limit:
            try:
                return await _add_one(db, index, item, rules)
            except PiwheelsError as error:
                return Added(requirement=item.requirement, problem=str(error))

    return tuple(await asyncio.gather(*map(one, wanted)))


async def _add_one(db: Database, index: SimpleIndex, item: Wanted, rules: Rules) -> Added:
    requirement = names.requirement(item.requirement)
    project = names.project(requirement.name)
    page = await index.project(project)
    if page is None:
        raise RefusedError(f"{index.url} knows no project {project}")
    now = datetime.now(UTC)
    chosen = choose(releases_of(page, seen_at=now), requirement, item.latest)
    await db.retrying(lambda: catalog.add_project(db, project, page.display, since=now))
    await db.retrying(lambda: catalog.add_releases(db, chosen, rules))
    await _note_status(db, page)
    versions = tuple(release.version for release in chosen)
    return Added(requirement=item.requirement, project=project, versions=versions)


async def _note_status(db: Database, page: ProjectPage) -> None:
    await note_page(db, page, releases_of(page, seen_at=datetime.now(UTC)))
    await db.retrying(
        lambda: catalog.set_project_status(db, page.project, page.status, page.status_reason)
    )


class Follower:
    """The follow duty; `said` is its last word, for operators.

    `read_at` is when the upstream was last read to its end, on the monotonic clock.
    """

    def __init__(
        self, db: Database, index: SimpleIndex, rules: Rules, options: FollowOptions
    ) -> None:
        self._db = db
        self._index = index
        self._rules = rules
        self._options = options
        self.said = ""
        self.read_at: float | None = None

    async def run(self) -> None:
        """Follow the upstream until cancelled."""
        changelog = Changelog(self._changelog_url(), self._index)
        delay_s = self._options.first_delay_s
        while True:
            began, asked_s = time.monotonic(), 0.0
            try:
                if await self._has_changelog(changelog):
                    await self._follow_changelog(changelog)
                else:
                    await self._poll()
            except TransientError as error:
                asked_s = error.wait_s
                self._say(f"{error}; trying again")
            except RefusedError as error:
                self._say(f"{error}; trying again")
            if time.monotonic() - began > _LONGEST_DELAY_S:
                delay_s = self._options.first_delay_s
            await asyncio.sleep(max(delay_s * random.uniform(0.8, 1.2), asked_s))  # noqa: S311
            delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    def _changelog_url(self) -> str:
        derived = f"{self._index.url.rstrip('/').removesuffix('/simple')}/pypi"
        return self._options.changelog_url or derived

    async def _has_changelog(self, changelog: Changelog) -> bool:
        if self._options.source == "poll":
            return False
        try:
            await changelog.last_serial()
        except NoChangelogError as error:
            if self._options.source == "changelog":
                raise
            self._say(f"polling {self._index.url}: {error}")
            return False
        return True

    # --- the changelog ---

    async def _follow_changelog(self, changelog: Changelog) -> None:
        while True:
            serial = await self.catch_up(changelog)
            self.read_at = time.monotonic()
            self._say(f"following the changelog of {self._index.url}, at serial {serial}")
            await asyncio.sleep(self._options.changelog_every_s)

    async def catch_up(self, changelog: Changelog) -> int:
        """Handle every event since the serial that is kept; returns the newest serial.

        Raises:
            TransientError: the upstream is in trouble; what was handled is kept.
        """
        kept = await self._db.retrying(lambda: settings.setting(self._db, SERIAL))
        if kept is None:
            await self._keep(newest := await changelog.last_serial())
            return newest
        serial = int(kept)
        while changes := await changelog.since(serial):
            await self._look_at({change.project for change in changes})
            serial = changes[-1].serial
            await self._keep(serial)
        return serial

    async def _keep(self, serial: int) -> None:
        await self._db.retrying(lambda: settings.put_setting(self._db, SERIAL, str(serial)))

    async def _look_at(self, projects: Iterable[str]) -> None:
        names = sorted(projects)
        known = await self._db.retrying(lambda: catalog.known(self._db, names))
        mine = [name for name in names if self._options.everything or name in known]
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(project: str) -> None:
            async with limit:
                await self._look(project)

        await asyncio.gather(*map(one, mine))

    async def _look(self, project: str) -> None:
        try:
            page = await self._index.project(project)
        except RefusedError as error:
            log.warning("%s", error)
            return
        if page is not None and self._options.everything:
            await self._db.retrying(
                lambda: catalog.add_project(
                    self._db, project, page.display, since=datetime.fromtimestamp(0, UTC)
                )
            )
        await self.reconcile(project, page, certain=True)

    # --- the clock ---

    async def _poll(self) -> None:
        while True:
            due = await self._db.retrying(lambda: catalog.followed(self._db))
            for followed in due:
                await self._poll_one(followed)
            if not due:
                self.read_at = time.monotonic()
                await asyncio.sleep(min(_WAIT_FOR_DUE_S, self._options.poll_interval_s))

    async def _poll_one(self, followed: catalog.Followed) -> None:
        project, seen = followed.project, followed.seen
        try:
            page = await self._index.project(project)
            mark = _mark(page)
            if not mark or mark != seen:
                # One look can meet a mirror in a bad moment: two have to miss a project.
                await self.reconcile(project, page, certain=seen == _MISSING)
            elif mark == _MISSING:
                await self.reconcile(project, page, certain=True)
            seen = mark
            self._say(f"polling {self._index.url}: {project} is up to date")
        except RefusedError as error:
            self._say(f"{error}; trying again")
        except TransientError as error:
            # The next project would fare no better at once.
            self._say(f"{error}; trying again")
            await asyncio.sleep(max(self._options.first_delay_s, error.wait_s))
        jitter = random.uniform(0.9, 1.1)  # noqa: S311
        again = datetime.now(UTC) + timedelta(seconds=self._options.poll_interval_s * jitter)
        await self._db.retrying(
            lambda: catalog.polled(self._db, project, seen=seen, next_poll=again)
        )

    # --- one project ---

    async def reconcile(self, project: str, page: ProjectPage | None, *, certain: bool) -> None:
        """Make the database agree with a project's page.

        Args:
            project: its normalised name.
            page: what the index says; None or an empty page is a project that is gone.
            certain: whether a project that is gone may be removed on this word alone.
        """
        if page is None or not page.files:
            if certain:
                await self._remove_project(project)
            return
        db, now = self._db, datetime.now(UTC)
        known = {
            item.version: item
            for item in await db.retrying(lambda: catalog.known_releases(db, project))
        }
        since = await db.retrying(lambda: catalog.since(db, project))
        releases = releases_of(page, seen_at=now)
        fresh = [
            release
            for release in releases
            if release.version in known or (since is not None and release.released_at > since)
        ]
        changed = await db.retrying(lambda: catalog.add_releases(db, fresh, self._rules))
        if changed:
            await self._note(f"{changed} releases are new or changed", project)
        there = {release.version for release in releases}
        for version, item in known.items():
            if version not in there and item.has_sdist:
                await db.retrying(lambda: catalog.remove_release(db, project, version))  # noqa: B023
                await self._note(f"release {version} was removed upstream", project)
        await _note_status(db, page)

    async def _remove_project(self, project: str) -> None:
        if await self._db.retrying(lambda: catalog.remove_project(self._db, project)):
            await self._note("was removed upstream", project)

    async def _note(self, what: str, project: str) -> None:
        log.info("%s: %s", project, what)
        with contextlib.suppress(PiwheelsError):
            await self._db.retrying(
                lambda: events.record_event(self._db, "upstream", what, project)
            )

    def _say(self, text: str) -> None:
        if text != self.said:
            log.info("%s", text)
        self.said = text


def _mark(page: ProjectPage | None) -> str:
    """What tells that a page did not change since: its serial or ETag; "" when it has neither."""
    if page is None or not page.files:
        return _MISSING
    return str(page.serial) if page.serial is not None else page.etag
