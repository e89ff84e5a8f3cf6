"""Making the database agree with what a project's page proves, without losing what was built.

A release that a page lacks is hidden, and shown again when it is listed again. Only a removal that
the changelog reported and a page confirmed has a release deleted, and that after a retention.
"""

import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from piwheels.db import catalog, events, upstream
from piwheels.db.database import Database
from piwheels.errors import PiwheelsError
from piwheels.model import ProjectStatus, Release, Rules
from piwheels.simpleapi import ProjectPage
from piwheels.upstream.choose import is_new, upload_times
from piwheels.upstream.last_look import note_page

log = logging.getLogger(__name__)

_EPOCH = datetime.fromtimestamp(0, UTC)
_NAMED = 5
_DELETED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Writes what pages prove; `removed_days` is how long removed releases are kept."""

    db: Database
    rules: Rules
    removed_days: int

    async def reconcile(
        self, page: ProjectPage, releases: list[Release], now: datetime, *, add: bool = False
    ) -> bool:
        """Take in a page that counts.

        Args:
            page: what the index says.
            releases: those of the page.
            now: the time by the upstream's clock.
            add: follow the project from its beginning, which nobody added.

        Returns:
            Whether it lacks a release that was listed before, which is hidden now.
        """
        db, project = self.db, page.project
        if add:
            display = page.display
            await db.retrying(
                lambda: catalog.add_project(db, project, display, since=_EPOCH, existing=())
            )
        there = await db.retrying(lambda: catalog.known_releases(db, project))
        known = {item.version for item in there}
        fresh = await self._fresh(page, releases, now)
        wanted = [item for item in releases if item.version in known | fresh]
        changed = await db.retrying(lambda: catalog.add_releases(db, wanted, self.rules))
        if changed:
            await self.note(f"{changed} releases are new or changed", project)
        await note_page(db, page, releases)
        await db.retrying(
            lambda: catalog.set_project_status(db, project, page.status, page.status_reason)
        )
        # The page of a quarantined project must not list files (PEP 792): that says nothing of
        # its releases, which are hidden by the status as a whole.
        if not releases and page.status is ProjectStatus.QUARANTINED:
            return False
        return await self._list(project, {item.version for item in releases})

    async def _fresh(
        self, page: ProjectPage, releases: Sequence[Release], now: datetime
    ) -> set[str]:
        """The versions that are new; the others are remembered where that was not done yet."""
        db = self.db
        rule = await db.retrying(lambda: upstream.following(db, page.project))
        times = upload_times(page)
        fresh = {
            item.version
            for item in releases
            if is_new(
                item.version,
                times.get(item.version),
                since=rule.since,
                existing=rule.existing,
                now=now,
            )
        }
        if rule.since is not None and rule.existing is None and releases:
            old = [item.version for item in releases if item.version not in fresh]
            await db.retrying(lambda: upstream.put_existing(db, page.project, old))
        return fresh

    async def hide_all(self, project: str) -> None:
        """Hide all releases of a project that the index does not know any more."""
        await self._list(project, set())

    async def _list(self, project: str, listed: Collection[str]) -> bool:
        """Hide what is not listed, and show what is; returns whether anything was hidden."""
        db = self.db
        known = await db.retrying(lambda: catalog.known_releases(db, project))
        if all(item.hidden != (item.version in listed) for item in known if item.has_sdist):
            return False
        listing = await db.retrying(lambda: catalog.note_listed(db, project, list(listed)))
        if listing.hidden:
            text = "the upstream lists no more"
            await self.note(f"hid what {text}: {_named(listing.hidden)}; all is kept", project)
        if listing.shown:
            await self.note(f"listed again: {_named(listing.shown)}", project)
        return bool(listing.hidden)

    async def confirm_removed(self, project: str, removed: Sequence[str], now: datetime) -> None:
        """Take in that a look confirmed removals that the changelog reported.

        Args:
            project: its normalised name.
            removed: versions, "" for the project as a whole.
            now: the time by the upstream's clock.
        """
        db, whole = self.db, "" in removed
        versions = None if whole else removed
        gone = await db.retrying(lambda: upstream.confirm_removed(db, project, versions, now))
        if gone:
            what = "was removed" if whole else "removed releases"
            kept = f"hidden, and deleted in {self.removed_days} days"
            await self.note(f"{what} upstream ({_named(gone)} {kept})", project)

    async def forget_existing(self, project: str) -> None:
        """Have whatever a removed project has from now on built: it stays followed."""
        await self.db.retrying(lambda: upstream.put_existing(self.db, project, ()))

    async def delete_removed(self, now: datetime) -> None:
        """Delete releases whose removal was confirmed longer ago than the retention."""
        db, before = self.db, now - timedelta(days=self.removed_days)
        while gone := await db.retrying(
            lambda: upstream.delete_removed(db, before, _DELETED_AT_ONCE)
        ):
            for project, version in gone:
                await self.note(f"deleted {version}, which was removed upstream", project)

    async def note(self, what: str, project: str = "") -> None:
        """Add to the event list."""
        log.info("%s%s", f"{project}: " if project else "", what)
        with contextlib.suppress(PiwheelsError):
            await self.db.retrying(lambda: events.record_event(self.db, "upstream", what, project))


def _named(versions: Sequence[str]) -> str:
    more = len(versions) - _NAMED
    return ", ".join(versions[:_NAMED]) + (f" and {more} more" if more > 0 else "")
