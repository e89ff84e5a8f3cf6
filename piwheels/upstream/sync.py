"""Synchronization with the upstream index: adds projects, and schedules checks of their pages.

The changelog reports which projects changed; without one, pages are polled. The data comes from
the pages of projects (page_checks). A reported change is kept in the database until a page shows
it. Transient errors delay the synchronization and do not end it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from packaging.requirements import Requirement

from piwheels import untrusted_names
from piwheels.backoff import Backoff
from piwheels.db import catalog, key_values, listed_projects, upstream, upstream_wheels
from piwheels.db.database import Database
from piwheels.db.upstream import ReportedChange
from piwheels.db.upstream_wheels import WheelChanges
from piwheels.errors import PiwheelsError, RejectedError, TransientError
from piwheels.index_client.client import FileTooLargeError, SimpleIndex
from piwheels.index_client.page import ProjectPage
from piwheels.model import (
    BuildRequest,
    CompatibilityRules,
    PageCheckResult,
    ProjectStatus,
    Release,
    UpstreamWheelPolicy,
)
from piwheels.protocol.messages import AddResult
from piwheels.upstream import page_evidence
from piwheels.upstream.changelog import Changelog, ChangelogEvent, NoChangelogError
from piwheels.upstream.clock import UpstreamClock
from piwheels.upstream.faults import describe_fault
from piwheels.upstream.health import UpstreamHealth
from piwheels.upstream.last_check import record_page
from piwheels.upstream.listing import ListingReader
from piwheels.upstream.listing_fill import ListingFill
from piwheels.upstream.page_checks import PageChecker
from piwheels.upstream.reconcile import Reconciler
from piwheels.upstream.selection import (
    NoSdistError,
    follow_since,
    releases_of,
    select_releases,
    without_future_times,
)
from piwheels.upstream.wheels import counting_wheels

log = logging.getLogger(__name__)

SERIAL = upstream.SERIAL_KEY

_MAX_CONCURRENT_ADDS = 4
_FIRST_DELAY_S = 5.0
_MAX_DELAY_S = 60.0
_CHANGELOG_INTERVAL_S = 30.0
#: If the changelog does not respond for this long, pages are polled until it does.
_CHANGELOG_TIMEOUT_S = 60.0
#: How often to look for a changelog where there was none.
_PROBE_INTERVAL_S = 600.0
#: With a changelog, every page is still compared at this interval.
_COMPARE_INTERVAL_S = 86400.0
_COMPARE_ALL_INTERVAL_S = 7 * 86400.0
#: Without a changelog, the list of all projects is read this often.
_LISTING_INTERVAL_S = 3600.0
_HOUSEKEEPING_INTERVAL_S = 30.0
_DELETE_INTERVAL_S = 3600.0
_NOTICE_DURATION_S = 86400.0
#: The serial must be lower in this many consecutive readings: a mirror can be briefly behind.
_BACKWARDS_READINGS = 2
#: A changelog that disappeared is a fault of the upstream for this many readings, in about eight
#: minutes; then pages are polled.
_MISSING_READINGS = 12
#: A larger difference of the clocks is reported.
_MAX_CLOCK_DIFFERENCE_S = 120.0
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Options of the synchronization.

    method: "auto", "changelog" or "poll".
    follow_all: also follow projects that nobody added.
    changelog_url: "" derives it from the URL of the index.
    first_delay_s: the delay after a fault; doubled with each further one, up to max_delay_s.
    changelog_timeout_s: how long the changelog may fail before pages are polled instead.
    max_concurrency: concurrent requests for pages.
    wheels: the farm's policy for wheels of upstream.
    retention_days: how long releases that were removed upstream are kept, hidden.
    """

    method: str = "auto"
    poll_interval_s: float = 900.0
    follow_all: bool = False
    changelog_url: str = ""
    changelog_interval_s: float = _CHANGELOG_INTERVAL_S
    first_delay_s: float = _FIRST_DELAY_S
    max_delay_s: float = _MAX_DELAY_S
    changelog_timeout_s: float = _CHANGELOG_TIMEOUT_S
    max_concurrency: int = 20
    wheels: UpstreamWheelPolicy = UpstreamWheelPolicy.BUILD
    retention_days: int = 30


async def add_projects(
    db: Database,
    index: SimpleIndex,
    requests: Sequence[BuildRequest],
    rules: CompatibilityRules,
    *,
    wheels: UpstreamWheelPolicy = UpstreamWheelPolicy.BUILD,
) -> tuple[AddResult, ...]:
    """Follow projects from now on, and queue the requested releases.

    A project whose requested releases have no sdist is followed with them as well: its page says
    why nothing is built, and they are built if an sdist appears.

    Args:
        db: the connection.
        index: the upstream.
        requests: what to add.
        rules: for wheel tags and specifiers.
        wheels: see SyncOptions.

    Returns:
        For each request the selected releases, or one line with the problem.
    """
    limit = asyncio.Semaphore(_MAX_CONCURRENT_ADDS)

    async def one(item: BuildRequest) -> AddResult:
        async with limit:
            try:
                return await _add_project(db, index, item, rules, wheels)
            except PiwheelsError as error:
                return AddResult(requirement=item.requirement, problem=str(error))
            except Exception as error:  # noqa: BLE001 - of one page; the database's are raised again
                problem = describe_fault(error, item.requirement)
                return AddResult(requirement=item.requirement, problem=problem)

    return tuple(await asyncio.gather(*map(one, requests)))


async def _add_project(
    db: Database,
    index: SimpleIndex,
    item: BuildRequest,
    rules: CompatibilityRules,
    wheels: UpstreamWheelPolicy,
) -> AddResult:
    requirement = untrusted_names.parse_requirement(item.requirement)
    project = untrusted_names.normalize_project(requirement.name)
    page, there = await _read_valid_page(db, index, project)
    clock = UpstreamClock()
    clock.update(page.answered_at, page.age_s)
    if not there and page.status is ProjectStatus.QUARANTINED:
        reason = page.status_reason or "no reason given"
        raise RejectedError(f"the upstream index quarantined it ({reason}) and lists no files")
    chosen, refusal = _select(there, requirement, item.release_count)
    since, existing = follow_since(page, clock.now()), [release.version for release in there]

    async def store() -> None:
        await catalog.lock_projects(db, [project])
        await catalog.add_project(
            db, project, page.display_name, follow_since=since, existing=existing
        )
        await catalog.add_releases(db, chosen, rules)
        counting = counting_wheels(page, await upstream_wheels.policy_of(db, project, wheels))
        await upstream_wheels.store_upstream_wheels(db, [project], counting, rules)
        await catalog.set_project_status(db, project, page.status, page.status_reason)

    # The project with the requested releases, or nothing of it.
    await db.in_transaction(store)
    await record_page(db, page, there)
    if refusal:
        return AddResult(requirement=item.requirement, problem=refusal)
    versions = tuple(release.version for release in chosen)
    return AddResult(requirement=item.requirement, project=project, versions=versions)


async def _read_valid_page(
    db: Database, index: SimpleIndex, project: str
) -> tuple[ProjectPage, list[Release]]:
    """A project's page, and its releases.

    Raises:
        RejectedError: there is none, or it proves nothing: it is no project page, or an older one.
    """
    page = await index.project(project)
    if page is None:
        raise RejectedError(f"{index.url} has no project {project}")
    page = without_future_times(page, datetime.now(UTC))
    clock = UpstreamClock()
    clock.update(page.answered_at, page.age_s)
    releases = releases_of(page, seen_at=clock.now())
    state = await upstream.project_state(db, project)
    assessment = page_evidence.assess(state, page, len(releases))
    if assessment.result is not PageCheckResult.UP_TO_DATE:
        raise RejectedError(f"{assessment.problem}; nothing was changed, try again later")
    return page, releases


def _select(
    there: Sequence[Release], requirement: Requirement, count: int
) -> tuple[Sequence[Release], str]:
    """The releases to store, and why none of them can be built; "" if they can."""
    try:
        return select_releases(there, requirement, count), ""
    except NoSdistError as error:
        return error.releases, f"{error}; the project is followed, and built if one appears"


async def set_wheel_policy(
    db: Database,
    index: SimpleIndex,
    project: str,
    policy: UpstreamWheelPolicy | None,
    rules: CompatibilityRules,
    *,
    farm_policy: UpstreamWheelPolicy,
) -> WheelChanges:
    """Give a project a policy of its own for wheels of upstream, or the farm's again (None).

    With `missing` and `mirror`, the wheels are those that the project's page lists now.

    Raises:
        PiwheelsError: the page cannot be read or proves nothing, or there is no such project.
    """
    holds, wheels = policy or farm_policy, []
    if holds is not UpstreamWheelPolicy.BUILD:
        page, _ = await _read_valid_page(db, index, project)
        wheels = counting_wheels(page, holds)
    changes = await upstream_wheels.set_project_policy(db, project, policy, wheels, rules)
    if changes is None:
        raise RejectedError(f"{project} was removed from this farm meanwhile")
    return changes


class UpstreamSync:
    """The service that synchronizes followed projects with the upstream index."""

    def __init__(
        self, db: Database, index: SimpleIndex, rules: CompatibilityRules, options: SyncOptions
    ) -> None:
        self._db = db
        self._index = index
        self._options = options
        self._clock = UpstreamClock()
        self._health = UpstreamHealth(
            options.max_concurrency, options.first_delay_s, options.max_delay_s
        )
        self._reconciler = Reconciler(
            db, rules, options.retention_days, wheel_policy=options.wheels
        )
        self._fill = ListingFill(
            db=db,
            index=index,
            rules=rules,
            reconciler=self._reconciler,
            clock=self._clock,
            health=self._health,
            interval_s=self._full_compare_interval_s(),
        )
        self._checker = PageChecker(
            db=db,
            index=index,
            reconciler=self._reconciler,
            clock=self._clock,
            health=self._health,
            follow_all=options.follow_all,
            interval_s=options.poll_interval_s,
            first_wait_s=options.first_delay_s,
            fill=self._fill,
        )
        # Held while the serial is read from the database, changed and written.
        self._serial_lock = asyncio.Lock()
        self._listing = self._make_listing_reader()
        self._method_text = ""  # for operators
        self._changelog_error = ""  # of the changelog
        self._notice = ("", float("-inf"))
        self._clock_text = ""
        self._backwards_readings = 0
        self._missing_readings = 0  # consecutive readings without a changelog
        self._changelog_read_at: float | None = None
        self._changelog_answered_at = time.monotonic()  # the last response
        self._method_chosen = asyncio.Event()
        self._logged_text = ""

    def _make_listing_reader(self) -> ListingReader:
        return ListingReader(
            db=self._db,
            index=self._index,
            fill=self._fill,
            reconciler=self._reconciler,
            serial_lock=self._serial_lock,
            max_age_s=self._listing_interval_s,
            on_read=self._checker.wake,
            first_delay_s=self._options.first_delay_s,
            max_delay_s=self._options.max_delay_s,
        )

    @property
    def status_text(self) -> str:
        """The status of the synchronization for operators, in one line."""
        parts = [
            self._method_text,
            self._listing.status_text,
            self._changelog_error,
            self._outage_text(),
            self._invisible_changes_text(),
        ]
        notice, at = self._notice
        if time.monotonic() - at < _NOTICE_DURATION_S:
            parts.append(notice)
        return "; ".join(filter(None, [*parts, self._clock_text]))

    @property
    def last_synced_at(self) -> float | None:
        """When the synchronization was last complete, on the monotonic clock."""
        return (
            self._changelog_read_at
            if self._changelog_read_at is not None
            else self._checker.idle_at
        )

    async def run(self) -> None:
        """Synchronize until canceled."""
        await self._check_index_url()
        await self._check_wheel_policy()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_changelog())
            group.create_task(self._check_pages())
            group.create_task(self._run_housekeeping())
            if self._options.follow_all:
                group.create_task(self._fill.run())
                group.create_task(self._read_listing())

    async def _read_listing(self) -> None:
        # After the changelog: events since the serial that it starts at are stored from then on.
        await self._wait_for_method()
        await self._listing.run()

    async def _check_pages(self) -> None:
        await self._wait_for_method()
        await self._checker.run()

    async def _wait_for_method(self) -> None:
        """How long pages are valid depends on whether there is a changelog."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.changelog_timeout_s):
                await self._method_chosen.wait()
        if not self._method_chosen.is_set():
            self._fall_back_to_polling()

    # --- index URL ---

    async def _check_index_url(self) -> None:
        """Compare all projects if the stored serial and pages are those of another index."""
        here = self._index.url
        before = await key_values.get_value(self._db, upstream.ADDRESS_KEY)
        if before is None:
            await key_values.set_value(self._db, upstream.ADDRESS_KEY, here)
        elif before != here:
            await self._compare_all(f"the upstream index changed from {before} to {here}", None)

    async def _check_wheel_policy(self) -> None:
        """Read every page again if the policy changed: which wheels count depends on it."""
        policy = str(self._options.wheels)
        if await upstream_wheels.set_policy(self._db, policy, str(SyncOptions().wheels)):
            text = f"the policy for wheels of the upstream is {policy!r} now: pages are read again"
            self._notice = text, time.monotonic()
            await self._reconciler.record_event(text)

    async def _compare_all(self, reason: str, serial: int | None) -> None:
        here = self._index.url
        # A list of all projects that was read before lacks what changed until now.
        await listed_projects.forget_listing_time(self._db)
        count = await upstream.recheck_all(self._db, serial=serial, address=here)
        self._checker.invisible_changes.clear()
        text = f"{reason}: all {count} followed projects will be compared with their pages again"
        self._notice = text, time.monotonic()
        await self._reconciler.record_event(text)
        self._checker.wake()

    # --- the changelog ---

    async def _watch_changelog(self) -> None:
        """Read the changelog, or look for one, repeatedly."""
        changelog = Changelog(self._changelog_url(), self._index)
        options = self._options
        backoff = Backoff(options.first_delay_s, options.max_delay_s, jitter=(0.8, 1.2))
        while True:
            try:
                wait_s, self._changelog_error = await self._read_changelog(changelog), ""
                self._changelog_answered_at = time.monotonic()
                backoff.reset()
                self._method_chosen.set()
            except Exception as error:  # noqa: BLE001 - of the answer; the database's are raised again
                asked_s = error.retry_after_s if isinstance(error, TransientError) else 0.0
                wait_s = max(backoff.next_s(), asked_s)
                self._changelog_error = f"{describe_fault(error, 'the changelog')}; retrying"
                if time.monotonic() - self._changelog_answered_at > options.changelog_timeout_s:
                    self._fall_back_to_polling()
            self._log_status()
            await asyncio.sleep(wait_s)

    async def _read_changelog(self, changelog: Changelog) -> float:
        """Read the changelog to its end; returns the delay before the next time."""
        options, url = self._options, self._index.url
        if options.method == "poll":
            self._use_polling(f"polling {url}")
            return _PROBE_INTERVAL_S
        try:
            serial = await self.process_changes(changelog)
        except NoChangelogError as error:
            if options.method == "changelog" or await self._had_changelog():
                raise
            self._use_polling(f"polling {url}: {error}")
            return _PROBE_INTERVAL_S
        self._missing_readings = 0
        self._changelog_read_at = time.monotonic()
        self._method_text = f"following the changelog of {url}, at serial {serial}"
        self._checker.interval_s = self._full_compare_interval_s()
        if self._backwards_readings:
            return min(options.first_delay_s, options.changelog_interval_s)
        return options.changelog_interval_s

    async def _had_changelog(self) -> bool:
        """Whether a missing changelog was read before, and is not given up yet."""
        self._missing_readings += 1
        kept = await key_values.get_value(self._db, SERIAL)
        return kept is not None and self._missing_readings < _MISSING_READINGS

    def _full_compare_interval_s(self) -> float:
        seldom = _COMPARE_ALL_INTERVAL_S if self._options.follow_all else _COMPARE_INTERVAL_S
        return max(seldom, self._options.poll_interval_s)

    def _fall_back_to_polling(self) -> None:
        """Poll while the changelog does not respond, if the options allow it."""
        if self._options.method == "auto" and not self._options.follow_all:
            self._use_polling(f"polling {self._index.url} until its changelog responds")
        else:
            self._checker.interval_s = self._full_compare_interval_s()

    def _use_polling(self, text: str) -> None:
        self._method_text, self._changelog_read_at = text, None
        # Every project of an index cannot be polled that often: the list says which have changed.
        follow_all, polled_s = self._options.follow_all, self._options.poll_interval_s
        self._checker.interval_s = self._full_compare_interval_s() if follow_all else polled_s

    def _listing_interval_s(self) -> float:
        """How often the list of all projects is read: with a changelog it only repairs."""
        if self._changelog_read_at is not None:
            return self._full_compare_interval_s()
        return max(_LISTING_INTERVAL_S, self._options.poll_interval_s)

    def _changelog_url(self) -> str:
        derived = f"{self._index.url.rstrip('/').removesuffix('/simple')}/pypi"
        return self._options.changelog_url or derived

    async def process_changes(self, changelog: Changelog) -> int:
        """Store all events since the stored serial; returns the newest serial.

        Raises:
            NoChangelogError: the upstream has no changelog.
            TransientError: the upstream is unavailable; the events read so far are stored.
        """
        async with self._serial_lock:
            return await self._process_changes(changelog)

    async def _process_changes(self, changelog: Changelog) -> int:
        kept = await key_values.get_value(self._db, SERIAL)
        if kept is None:
            newest = await changelog.last_serial()
            await key_values.set_value(self._db, SERIAL, str(newest))
            # A list that was read before lacks what changed until now.
            await listed_projects.forget_listing_time(self._db)
            return newest
        serial = int(kept)
        try:
            while changes := await changelog.events_since(serial):
                serial = changes[-1].serial
                await self._store_changes(changes)
        except FileTooLargeError as error:  # it would be asked for again and again
            newest = await changelog.last_serial()
            await self._compare_all(f"the changelog since {serial} is too long ({error})", newest)
            return newest
        return await self._check_serial(changelog, serial)

    async def _check_serial(self, changelog: Changelog, serial: int) -> int:
        """The serial, or the upstream's serial if that stays lower."""
        newest = await changelog.last_serial()
        self._backwards_readings = self._backwards_readings + 1 if newest < serial else 0
        if self._backwards_readings < _BACKWARDS_READINGS:
            return serial
        self._backwards_readings = 0
        await self._compare_all(
            f"the upstream's serial decreased from {serial} to {newest}", newest
        )
        return newest

    async def _store_changes(self, changes: Sequence[ChangelogEvent]) -> None:
        reported = list(_by_project(changes))
        serial, everything = changes[-1].serial, self._options.follow_all
        await upstream.store_reported_changes(self._db, reported, serial, follow_all=everything)
        self._checker.wake()

    # --- status text ---

    def _outage_text(self) -> str:
        trouble = self._health.outage
        return f"no usable responses, changes are on hold: {trouble}" if trouble else ""

    def _invisible_changes_text(self) -> str:
        hidden = self._checker.invisible_changes
        if not hidden:
            return ""
        named = "; ".join(f"{project}: {why}" for project, why in list(hidden.items())[:_MAX_NAMED])
        return f"{len(hidden)} reported changes are not visible yet ({named})"

    def _log_status(self) -> None:
        if (text := self.status_text) != self._logged_text:
            log.info("%s", text)
        self._logged_text = text

    # --- housekeeping ---

    async def _run_housekeeping(self) -> None:
        """Compare the clocks, and delete removed releases after their retention."""
        deleted_at, said_ahead = float("-inf"), False
        while True:
            self._clock_text = self._clock_difference()
            if self._clock_text and not said_ahead:
                await self._reconciler.record_event(self._clock_text)
            said_ahead = bool(self._clock_text)
            if time.monotonic() - deleted_at > _DELETE_INTERVAL_S and self._clock.is_known:
                # By the earlier of both clocks, so that a wrong clock deletes nothing.
                now = min(self._clock.now(), datetime.now(UTC))
                await self._reconciler.delete_removed(now)
                deleted_at = time.monotonic()
            self._log_status()
            await asyncio.sleep(_HOUSEKEEPING_INTERVAL_S)

    def _clock_difference(self) -> str:
        ahead_s = self._clock.ahead_s() if self._clock.is_known else 0.0
        if abs(ahead_s) < _MAX_CLOCK_DIFFERENCE_S:
            return ""
        where = "ahead of" if ahead_s > 0 else "behind"
        return f"this machine's clock is {abs(ahead_s):.0f} s {where} the upstream's"


def _by_project(changes: Iterable[ChangelogEvent]) -> Iterable[ReportedChange]:
    """The newest event of each project; `changes` are ordered by serial."""
    found: dict[str, list[ChangelogEvent]] = {}
    for change in changes:
        found.setdefault(change.project, []).append(change)
    for project, events in found.items():
        newest = events[-1]
        removed = dict.fromkeys(
            event.removed_version for event in events if event.removed_version is not None
        )
        yield ReportedChange(
            project=project,
            serial=newest.serial,
            action=newest.action,
            removed_versions=tuple(removed),
            project_removed=newest.removed_version == "",
        )
