"""Following the upstream: projects added, and when to look at which.

The changelog reports which projects changed, or else the clock says when to look again; the facts
are those of the projects' pages (upstream.looks). A reported change is kept in the database until
a page shows it. Transient faults delay, never kill.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from piwheels import names
from piwheels.db import catalog, settings, upstream
from piwheels.db.database import Database
from piwheels.db.upstream import Reported
from piwheels.errors import PiwheelsError, RefusedError, TransientError
from piwheels.model import ProjectStatus, Rules, Wanted
from piwheels.protocol.messages import Added
from piwheels.simpleapi import SimpleIndex
from piwheels.upstream.changelog import Change, Changelog, NoChangelogError
from piwheels.upstream.choose import choose, followed_since, releases_of
from piwheels.upstream.clock import UpstreamClock
from piwheels.upstream.health import Health
from piwheels.upstream.last_look import note_page
from piwheels.upstream.looks import Looks
from piwheels.upstream.reconcile import Reconciler

log = logging.getLogger(__name__)

SERIAL = upstream.SERIAL

_ADDED_AT_ONCE = 4
_FIRST_DELAY_S = 5.0
_LONGEST_DELAY_S = 60.0
_CHANGELOG_EVERY_S = 30.0
#: Without an answer of the changelog for so long, pages are polled until it answers.
_SILENT_S = 60.0
#: Where no changelog is, it is looked for again.
_PROBE_S = 600.0
#: With a changelog, each page is compared this seldom all the same.
_COMPARE_S = 86400.0
_COMPARE_EVERYTHING_S = 7 * 86400.0
_HOUSEKEEPING_S = 30.0
_DELETE_S = 3600.0
_NOTICE_S = 86400.0
#: The serial has to be lower at so many readings in a row: a mirror can be behind for a moment.
_BACKWARDS = 2
#: A changelog that was there and is not is a fault of the upstream for so many readings, in about
#: eight minutes; then its pages are polled.
_LOST_AFTER = 12
#: A clock that differs by more is worth telling.
_CLOCK_S = 120.0
_NAMED = 3


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How the upstream is followed.

    source: "auto", "changelog" or "poll". everything: also projects that nobody added.
    changelog_url: "" derives it from the index's address. first_delay_s: how long a fault
    delays; doubled with each further one, up to longest_delay_s. silent_s: how long the changelog
    may fail before pages are polled instead. at_once: pages asked for at the same time.
    removed_days: how long releases that were removed upstream are kept, hidden.
    """

    source: str = "auto"
    poll_interval_s: float = 900.0
    everything: bool = False
    changelog_url: str = ""
    changelog_every_s: float = _CHANGELOG_EVERY_S
    first_delay_s: float = _FIRST_DELAY_S
    longest_delay_s: float = _LONGEST_DELAY_S
    silent_s: float = _SILENT_S
    at_once: int = 20
    removed_days: int = 30


async def add(
    db: Database, index: SimpleIndex, wanted: Sequence[Wanted], rules: Rules
) -> tuple[Added, ...]:
    """Follow projects from now on, and have the releases built that were asked for.

    Returns:
        For each what was found, or in one line why nothing was.
    """
    limit = asyncio.Semaphore(_ADDED_AT_ONCE)

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
    clock = UpstreamClock()
    clock.hear(page.answered_at, page.age_s)
    there = releases_of(page, seen_at=clock.now())
    if not there and page.status is ProjectStatus.QUARANTINED:
        reason = page.status_reason or "no reason was given"
        raise RefusedError(f"the upstream index quarantined it ({reason}): it lists no files")
    chosen = choose(there, requirement, item.latest)
    since, existing = followed_since(page, clock.now()), [release.version for release in there]

    async def store() -> None:
        # A project with the releases that were asked for, or nothing of it.
        async with db.transaction():
            await catalog.lock_projects(db, [project])
            await catalog.add_project(db, project, page.display, since=since, existing=existing)
            await catalog.add_releases(db, chosen, rules)
            await catalog.set_project_status(db, project, page.status, page.status_reason)

    await db.retrying(store)
    await note_page(db, page, there)
    versions = tuple(release.version for release in chosen)
    return Added(requirement=item.requirement, project=project, versions=versions)


class Follower:
    """The follow duty."""

    def __init__(
        self, db: Database, index: SimpleIndex, rules: Rules, options: FollowOptions
    ) -> None:
        self._db = db
        self._index = index
        self._options = options
        self._clock = UpstreamClock()
        self._health = Health(options.at_once, options.first_delay_s, options.longest_delay_s)
        self._reconciler = Reconciler(db, rules, options.removed_days)
        self._looks = Looks(
            db=db,
            index=index,
            reconciler=self._reconciler,
            clock=self._clock,
            health=self._health,
            everything=options.everything,
            interval_s=options.poll_interval_s,
            first_wait_s=options.first_delay_s,
        )
        self._way = ""  # how the upstream is followed, in words
        self._fault = ""  # of the changelog
        self._notice = ("", float("-inf"))
        self._clock_said = ""
        self._backwards = 0
        self._lost = 0  # readings in a row that found no changelog
        self._caught_up_at: float | None = None
        self._answered_at = time.monotonic()  # when the changelog answered last
        self._decided = asyncio.Event()
        self._logged = ""

    @property
    def said(self) -> str:
        """How following goes, for operators, in one line."""
        parts = [self._way, self._fault, self._trouble(), self._hidden_changes()]
        notice, at = self._notice
        if time.monotonic() - at < _NOTICE_S:
            parts.append(notice)
        return "; ".join(filter(None, [*parts, self._clock_said]))

    @property
    def read_at(self) -> float | None:
        """When the upstream was last read to its end, on the monotonic clock."""
        return self._caught_up_at if self._caught_up_at is not None else self._looks.idle_at

    async def run(self) -> None:
        """Follow the upstream until cancelled."""
        await self._check_address()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._look())
            group.create_task(self._keep_house())

    async def _look(self) -> None:
        # How long a page is good for depends on whether there is a changelog.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.silent_s):
                await self._decided.wait()
        if not self._decided.is_set():
            self._do_without_changelog()
        await self._looks.run()

    # --- which index ---

    async def _check_address(self) -> None:
        """Compare everything where the serial and the pages that are known are another index's."""
        here = self._index.url
        before = await self._db.retrying(lambda: settings.setting(self._db, upstream.ADDRESS))
        if before is None:
            await self._db.retrying(lambda: settings.put_setting(self._db, upstream.ADDRESS, here))
        elif before != here:
            await self._compare_all(f"the upstream index is {here} now, and was {before}", None)

    async def _compare_all(self, why: str, serial: int | None) -> None:
        here = self._index.url
        count = await self._db.retrying(
            lambda: upstream.compare_all(self._db, serial=serial, address=here)
        )
        self._looks.hidden_changes.clear()
        text = f"{why}: all {count} followed projects are compared with their pages again"
        self._notice = text, time.monotonic()
        await self._reconciler.note(text)
        self._looks.wake()

    # --- the changelog ---

    async def _watch(self) -> None:
        """Read the changelog, or look for one, again and again."""
        changelog = Changelog(self._changelog_url(), self._index)
        delay_s = self._options.first_delay_s
        while True:
            try:
                wait_s, self._fault = await self._read(changelog), ""
                delay_s, self._answered_at = self._options.first_delay_s, time.monotonic()
                self._decided.set()
            except (TransientError, RefusedError) as error:
                asked_s = error.wait_s if isinstance(error, TransientError) else 0.0
                wait_s = max(delay_s * random.uniform(0.8, 1.2), asked_s)  # noqa: S311
                delay_s = min(delay_s * 2, self._options.longest_delay_s)
                self._fault = f"{error}; trying again"
                if time.monotonic() - self._answered_at > self._options.silent_s:
                    self._do_without_changelog()
            self._log()
            await asyncio.sleep(wait_s)

    async def _read(self, changelog: Changelog) -> float:
        """Read the changelog to its end; returns how long to wait before the next time."""
        options, url = self._options, self._index.url
        if options.source == "poll":
            self._poll(f"polling {url}")
            return _PROBE_S
        try:
            serial = await self.catch_up(changelog)
        except NoChangelogError as error:
            if options.source == "changelog" or await self._was_there():
                raise
            self._poll(f"polling {url}: {error}")
            return _PROBE_S
        self._lost = 0
        self._caught_up_at = time.monotonic()
        self._way = f"following the changelog of {url}, at serial {serial}"
        self._looks.interval_s = self._seldom_s()
        if self._backwards:
            return min(options.first_delay_s, options.changelog_every_s)
        return options.changelog_every_s

    async def _was_there(self) -> bool:
        """Whether the changelog that is not found now was read before, and is not lost yet."""
        self._lost += 1
        kept = await self._db.retrying(lambda: settings.setting(self._db, SERIAL))
        return kept is not None and self._lost < _LOST_AFTER

    def _seldom_s(self) -> float:
        seldom = _COMPARE_EVERYTHING_S if self._options.everything else _COMPARE_S
        return max(seldom, self._options.poll_interval_s)

    def _do_without_changelog(self) -> None:
        """Poll while the changelog does not answer, where that is possible and allowed."""
        if self._options.source == "auto" and not self._options.everything:
            self._poll(f"polling {self._index.url} until its changelog answers")
        else:
            self._looks.interval_s = self._seldom_s()

    def _poll(self, way: str) -> None:
        self._way, self._caught_up_at = way, None
        self._looks.interval_s = self._options.poll_interval_s

    def _changelog_url(self) -> str:
        derived = f"{self._index.url.rstrip('/').removesuffix('/simple')}/pypi"
        return self._options.changelog_url or derived

    async def catch_up(self, changelog: Changelog) -> int:
        """Keep every event since the serial that is kept; returns the newest serial.

        Raises:
            NoChangelogError: there is none.
            TransientError: the upstream is in trouble; what was read is kept.
        """
        kept = await self._db.retrying(lambda: settings.setting(self._db, SERIAL))
        if kept is None:
            newest = await changelog.last_serial()
            await self._db.retrying(lambda: settings.put_setting(self._db, SERIAL, str(newest)))
            return newest
        serial = int(kept)
        while changes := await changelog.since(serial):
            serial = changes[-1].serial
            await self._keep(changes)
        return await self._checked(changelog, serial)

    async def _checked(self, changelog: Changelog, serial: int) -> int:
        """The serial, or the upstream's where that went backwards and stays there."""
        newest = await changelog.last_serial()
        self._backwards = self._backwards + 1 if newest < serial else 0
        if self._backwards < _BACKWARDS:
            return serial
        self._backwards = 0
        await self._compare_all(
            f"the upstream's serial went back from {serial} to {newest}", newest
        )
        return newest

    async def _keep(self, changes: Sequence[Change]) -> None:
        reported = list(_by_project(changes))
        serial, everything = changes[-1].serial, self._options.everything
        await self._db.retrying(
            lambda: upstream.store_reported(self._db, reported, serial, everything=everything)
        )
        self._looks.wake()

    # --- what is said ---

    def _trouble(self) -> str:
        trouble = self._health.trouble
        return f"no usable answers, nothing is changed meanwhile: {trouble}" if trouble else ""

    def _hidden_changes(self) -> str:
        hidden = self._looks.hidden_changes
        if not hidden:
            return ""
        named = "; ".join(f"{project}: {why}" for project, why in list(hidden.items())[:_NAMED])
        return f"{len(hidden)} reported changes are not visible yet ({named})"

    def _log(self) -> None:
        if (said := self.said) != self._logged:
            log.info("%s", said)
        self._logged = said

    # --- now and then ---

    async def _keep_house(self) -> None:
        """Look after the clock, and delete what was removed upstream long ago."""
        deleted_at, said_ahead = float("-inf"), False
        while True:
            self._clock_said = self._differs()
            if self._clock_said and not said_ahead:
                await self._reconciler.note(self._clock_said)
            said_ahead = bool(self._clock_said)
            if time.monotonic() - deleted_at > _DELETE_S and self._clock.heard:
                # By the earlier of both clocks: one that is wrong deletes nothing.
                now = min(self._clock.now(), datetime.now(UTC))
                await self._reconciler.delete_removed(now)
                deleted_at = time.monotonic()
            self._log()
            await asyncio.sleep(_HOUSEKEEPING_S)

    def _differs(self) -> str:
        ahead_s = self._clock.ahead_s() if self._clock.heard else 0.0
        if abs(ahead_s) < _CLOCK_S:
            return ""
        where = "ahead of" if ahead_s > 0 else "behind"
        return f"this machine's clock is {abs(ahead_s):.0f} s {where} the upstream's"


def _by_project(changes: Iterable[Change]) -> Iterable[Reported]:
    """Events by project, the newest word of each; `changes` are in the order of their serials."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(change.project, []).append(change)
    for project, events in found.items():
        newest = events[-1]
        removed = dict.fromkeys(event.removed for event in events if event.removed is not None)
        yield Reported(
            project=project,
            serial=newest.serial,
            action=newest.action,
            removed=tuple(removed),
            gone=newest.removed == "",
        )
