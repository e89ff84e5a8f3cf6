"""The follower: copies into the bucket what the publishers wrote, in their order.

What installers read comes first: of each project the wheels, then its index pages, then removals.
The pages for people, logs and files of the site follow. Everything is idempotent: a change says
what may differ, and the web root says what is right, so a crash repeats work and loses none.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from piwheels.backoff import Backoff
from piwheels.bucket.copier import Copier
from piwheels.bucket.site_files import FileState, SiteFiles
from piwheels.bucket.site_objects import key_of
from piwheels.bucket.store import open_store
from piwheels.config import Config
from piwheels.db import bucket_changes
from piwheels.db.bucket_changes import BucketChange, ChangeKind
from piwheels.db.database import Database
from piwheels.errors import first_error
from piwheels.formatting import pluralize
from piwheels.object_storage.errors import BucketError, ChangedMeanwhileError
from piwheels.webroot import TreeMissingError, Webroot, files_beside

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_POLL_S = 1.0
_SITE_FILES_INTERVAL_S = 30.0
#: So many files of the site are copied before the index is looked at again.
_SITE_FILES = 64
_FIRST_RETRY_S, _MAX_RETRY_S = 1.0, 120.0
#: A project whose files cannot be read, or change all the time, does not delay others.
_PROJECT_RETRY = timedelta(minutes=5)
#: How often it is looked whether too many changes wait: they do while a bucket is away for weeks.
_LIMIT_INTERVAL_S = 60.0
#: So many projects are copied at the same time.
_PROJECTS = 16
_TRIES = 5
#: The log of a build may arrive after its result.
_LOG_ARRIVAL = timedelta(minutes=15)
_LOG_RETRY = timedelta(seconds=30)
#: A log page is written so long before the page of its project is recorded, at most.
_LOG_PAGE_AGE = timedelta(minutes=15)
_INDEX_FILES = ("index.v1_json", "index.html")
_PROJECT_FILES = ("json", "v1.json", "feed.atom", "index.html")


@dataclass(slots=True)
class BucketFollower:
    """Makes the bucket like the web root.

    target: what the bucket is called in the settings; another one gets a first copy.
    deletion_delay_s: how long a removed wheel stays in the bucket after the page that listed it.
    problem: why it cannot copy now; "" if it can.
    max_waiting: of more changes than these, everything is compared instead.
    """

    db: Database
    webroot: Webroot
    copier: Copier
    target: str
    deletion_delay_s: float = 300.0
    poll_s: float = _POLL_S
    problem: str = ""
    max_waiting: int = bucket_changes.MAX_WAITING
    _limit_due: float = float("-inf")
    _site_files: SiteFiles = field(init=False)
    _site_files_due: float = float("-inf")

    def __post_init__(self) -> None:
        self._site_files = SiteFiles(self.webroot.root)

    async def run(self) -> None:
        """Copy until canceled."""
        if await bucket_changes.follow(self.db, self.target):
            log.info("copying the web root into %s", self.target)
        backoff = Backoff(_FIRST_RETRY_S, _MAX_RETRY_S, jitter=(0.8, 1.2))
        while True:
            await self._limit_waiting()
            try:
                worked = await self.copy_next()
            except (BucketError, OSError) as error:
                self._note_problem(str(error))
                await asyncio.sleep(backoff.next_s())
                continue
            self._note_problem("")
            backoff.reset()
            if not worked:
                await asyncio.sleep(self.poll_s)

    async def _limit_waiting(self) -> None:
        """Bound the table of changes."""
        if time.monotonic() < self._limit_due:
            return
        self._limit_due = time.monotonic() + _LIMIT_INTERVAL_S
        left = await bucket_changes.limit_waiting(self.db, self.max_waiting)
        if left is not None:
            log.warning(
                "%s: more than %s waited; everything is compared with it instead",
                self.target,
                pluralize(self.max_waiting, "change"),
            )
            # Removals are kept: the next time after as many more.
            self.max_waiting = max(self.max_waiting, 2 * left)

    def _note_problem(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("%s: %s; retrying", self.target, problem)
        elif self.problem and not problem:
            log.info("%s: copying again", self.target)
        self.problem = problem

    async def copy_next(self) -> bool:
        """Copy what is most urgent; False if nothing waits.

        Raises:
            BucketError: the bucket does not take it.
            TreeTakenError: another master writes the web root, and its follower copies.
            TreeMissingError: the web root is not there.
            OSError: it cannot be read.
        """
        await asyncio.to_thread(self.webroot.check_writer)
        await asyncio.to_thread(self.webroot.tree_epoch.check_there)
        if changes := await bucket_changes.next_index_changes(self.db):
            await self._copy_index_changes(changes)
            return True
        if time.monotonic() >= self._site_files_due:
            if not await self._copy_site_files():
                return True
            self._site_files_due = time.monotonic() + _SITE_FILES_INTERVAL_S
        if changes := await bucket_changes.next_site_changes(self.db):
            await self._copy_site_changes(changes)
            return True
        return await bucket_changes.record_first_copy(self.db)

    async def _copy_index_changes(self, changes: Sequence[BucketChange]) -> None:
        """Copy the index pages of projects, the list of all projects last."""
        projects = _by_project(changes)
        all_projects = projects.pop("", None)
        for part in _parts(list(projects.items()), _PROJECTS):
            await _all_of(self._copy_project(*it) for it in part)
        if all_projects:
            await self._copy_project("", all_projects)

    async def _copy_site_changes(self, changes: Sequence[BucketChange]) -> None:
        """Copy the pages of projects and logs, until a change of the index waits."""
        for part in _parts(list(_by_project(changes).items()), _PROJECTS):
            await _all_of(self._copy_project(*it) for it in part)
            if await bucket_changes.is_index_waiting(self.db):
                return

    async def _copy_project(self, project: str, changes: list[BucketChange]) -> None:
        """Copy one project; what cannot be copied now is retried later.

        Raises:
            BucketError: the bucket does not take it.
            TreeMissingError: the web root is not there.
        """
        for _ in range(_TRIES):
            try:
                done = await self._copy_changes(project, changes)
            except ChangedMeanwhileError:
                continue  # another follower, or the page was written again: look again
            except TreeMissingError:
                raise  # this concerns every project
            except OSError as error:
                log.error("%s cannot be copied: %s; retrying", project or "the list", error)
                break
            await bucket_changes.forget_changes(self.db, done)
            return
        await bucket_changes.postpone_changes(self.db, changes, _PROJECT_RETRY)

    async def _copy_changes(self, project: str, changes: list[BucketChange]) -> list[BucketChange]:
        """Copy what changed of a project; returns what is done, and postpones the rest."""
        kinds = {change.kind for change in changes}
        if kinds & {ChangeKind.SIMPLE, ChangeKind.WHEEL}:
            return await self._copy_index(project, changes, ChangeKind.SIMPLE in kinds)
        late = await self._copy_logs([it for it in changes if it.kind is ChangeKind.LOG])
        objects = {it.subject for it in changes if it.kind is ChangeKind.OBJECT}
        await _all_of(self.copier.sync(key) for key in objects)
        pages = [change for change in changes if change.kind is ChangeKind.PROJECT]
        if pages:
            since = min(change.changed_at for change in pages) - _LOG_PAGE_AGE
            await self._copy_project_pages(project, since)
        await bucket_changes.postpone_changes(self.db, late, _LOG_RETRY)
        return [change for change in changes if change not in late]

    # --- the index ---

    async def _copy_index(
        self, project: str, changes: list[BucketChange], has_page: bool
    ) -> list[BucketChange]:
        """Wheels, then pages, then removals."""
        pages = []
        if has_page:
            folder = f"simple/{project}/" if project else "simple/"
            pages = [await self.copier.prepare_page(f"{folder}{name}") for name in _INDEX_FILES]
            # Each wheel that these pages list was recorded before they were written: now these
            # are all there.
            newer = await bucket_changes.wheel_changes(self.db, project)
            known = {change.change_id for change in changes}
            changes = [*changes, *(it for it in newer if it.change_id not in known)]
        wheels = [change for change in changes if change.kind is ChangeKind.WHEEL]
        there, gone = await asyncio.to_thread(self._split_wheels, wheels)
        # Removals that were postponed are left for later.
        changes = [it for it in changes if it.is_due or it.subject in there]
        await _all_of(self._sync_in_order(_keys_of_wheel(subject)) for subject in there)
        for page in pages if all(page.local for page in pages) else reversed(pages):
            await self.copier.write_page(page)
        removals = [it for it in changes if it.subject in gone]
        if pages and removals:
            # Clients may have read the page that listed them.
            delay = timedelta(seconds=self.deletion_delay_s)
            await bucket_changes.postpone_changes(self.db, removals, delay)
            return [change for change in changes if change not in removals]
        lost = await self._postpone_lost(project, removals)
        await _all_of(
            self._sync_in_order(reversed(_keys_of_wheel(subject)))
            for subject in {change.subject for change in removals} - lost
        )
        return [change for change in changes if change.subject not in lost]

    async def _postpone_lost(self, project: str, removals: Sequence[BucketChange]) -> set[str]:
        """Leave wheels that are published, but not in the web root, in the bucket."""
        lost = await bucket_changes.published_of(self.db, {it.subject for it in removals})
        if lost:
            log.error(
                "%s of %s in the database and not in the web root; left in the bucket: see "
                "`piw audit`",
                pluralize(len(lost), "wheel"),
                project,
            )
            kept = [change for change in removals if change.subject in lost]
            await bucket_changes.postpone_changes(self.db, kept, _PROJECT_RETRY)
        return lost

    def _split_wheels(self, changes: Iterable[BucketChange]) -> tuple[list[str], set[str]]:
        """The wheels that are in the web root, and those that are not."""
        subjects = dict.fromkeys(change.subject for change in changes)
        there = [it for it in subjects if (self.webroot.root / _keys_of_wheel(it)[0]).exists()]
        return there, set(subjects) - set(there)

    async def _sync_in_order(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self.copier.sync(key)

    # --- the site ---

    async def _copy_logs(self, changes: Sequence[BucketChange]) -> list[BucketChange]:
        """Copy logs; returns the changes whose log did not arrive yet."""
        late = []
        young = datetime.now(UTC) - _LOG_ARRIVAL
        for change in changes:
            path = self.webroot.log_path(int(change.subject))
            if change.changed_at > young and change.project and not path.exists():
                late.append(change)
        builds = {int(change.subject) for change in changes if change not in late}
        await _all_of(self._sync_in_order(self._keys_of_log(build)) for build in builds)
        return late

    async def _copy_project_pages(self, project: str, since: datetime) -> None:
        builds = await bucket_changes.builds_of(self.db, project)
        keys = await asyncio.to_thread(self._new_log_keys, builds, since)
        await _all_of(self.copier.sync(key) for key in keys)
        folder = self.webroot.project_dir(project)
        await self._sync_in_order(await asyncio.to_thread(self._page_keys, folder))

    def _page_keys(self, folder: Path) -> list[str]:
        """The keys of a project's pages, index.html last."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
            names = [key_of(name) for name in names]
            return self._keys_in(folder, dict.fromkeys([*sorted(names), *_PROJECT_FILES]))
        return self._keys_in(folder, reversed(_PROJECT_FILES))

    def _keys_in(self, folder: Path, names: Iterable[str]) -> list[str]:
        return [key_of(str((folder / name).relative_to(self.webroot.root))) for name in names]

    def _keys_of_log(self, build: int) -> list[str]:
        paths = (self.webroot.log_path(build), self.webroot.log_page_path(build))
        return [key_of(str(path.relative_to(self.webroot.root))) for path in paths]

    def _new_log_keys(self, builds: Sequence[int], since: datetime) -> list[str]:
        """The keys of those logs and their pages that were written since then."""
        return [
            key
            for build in builds
            for key in self._keys_of_log(build)
            if _is_newer(self.webroot.root / f"{key}.gz", since.timestamp())
        ]

    async def _copy_site_files(self) -> bool:
        """Copy what changed of the site, a few files at a time; False if the index comes first."""
        changed = list((await asyncio.to_thread(self._site_files.changed)).items())
        for part in _parts(changed, _SITE_FILES):
            await _all_of(self._copy_site_file(*it) for it in part)
            if await bucket_changes.is_index_waiting(self.db):
                return False
        return True

    async def _copy_site_file(self, key: str, state: FileState | None) -> None:
        try:
            await self.copier.sync(key)
        except TreeMissingError:
            raise
        except (ChangedMeanwhileError, OSError) as error:
            log.warning("%s was not copied: %s; retrying", key, error)
        else:
            self._site_files.mark_copied(key, state)


async def open_follower(db: Database, webroot: Webroot, config: Config) -> BucketFollower | None:
    """The follower that the settings ask for; without one, changes are recorded no longer.

    Raises:
        ConfigError: the settings are wrong, or the extra is missing.
    """
    settings = config.publish
    if not settings.target:
        await bucket_changes.unfollow(db)
        return None
    return BucketFollower(
        db=db,
        webroot=webroot,
        copier=Copier(open_store(settings), webroot, settings.max_requests),
        target=settings.target,
        deletion_delay_s=config.webroot.deletion_delay_s,
    )


def _by_project(changes: Iterable[BucketChange]) -> dict[str, list[BucketChange]]:
    by_project = attrgetter("project")
    return {
        project: list(group)
        for project, group in groupby(sorted(changes, key=by_project), by_project)
    }


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Sequences of at most so many items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _keys_of_wheel(subject: str) -> list[str]:
    """The keys of a wheel and of what is beside it, in the order of copying."""
    sha256, _, filename = subject.partition("/")
    wheel = Webroot(Path()).wheel_path(sha256, filename)
    statement, metadata = files_beside(wheel)
    return [str(path) for path in (wheel, metadata, statement)]


def _is_newer(path: Path, timestamp: float) -> bool:
    try:
        return path.stat().st_mtime >= timestamp
    except (FileNotFoundError, NotADirectoryError):
        return False


async def _all_of(tasks: Iterable[Awaitable[object]]) -> None:
    """Await all; the first error is raised after the others were ended."""
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(_awaited(task))
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors


async def _awaited(task: Awaitable[object]) -> None:
    await task
