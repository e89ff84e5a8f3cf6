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
from piwheels.model import CompatibilityRules, ProjectStatus, Release
from piwheels.simple_index.page import ProjectPage
from piwheels.upstream.last_check import record_page
from piwheels.upstream.selection import is_new, upload_times

log = logging.getLogger(__name__)

_EPOCH = datetime.fromtimestamp(0, UTC)
_MAX_NAMED = 5
_DELETE_BATCH_SIZE = 100


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Writes what pages prove; `removed_days` is how long removed releases are kept."""

    db: Database
    rules: CompatibilityRules
    retention_days: int

    async def reconcile(
        self, page: ProjectPage, releases: list[Release], now: datetime, *, follow: bool = False
    ) -> bool:
        """Take in a page that counts.

        Args:
            page: what the index says.
            releases: those of the page.
            now: the time by the upstream's clock.
            follow: follow the project from its beginning, which nobody added.

        Returns:
            Whether it lacks a release that was listed before, which is hidden now.
        """
        db, project = self.db, page.project
        if follow:
            display = page.display_name
            await catalog.add_project(db, project, display, follow_since=_EPOCH, existing=())
        there = await catalog.stored_releases(db, project)
        known = {item.version for item in there}
        fresh = await self._new_versions(page, releases, now)
        wanted = [item for item in releases if item.version in known | fresh]
        changed = await catalog.add_releases(db, wanted, self.rules)
        if changed:
            await self.record_event(f"{changed} releases are new or changed", project)
        await record_page(db, page, releases)
        await catalog.set_project_status(db, project, page.status, page.status_reason)
        # The page of a quarantined project must not list files (PEP 792): that says nothing of
        # its releases, which are hidden by the status as a whole.
        if not releases and page.status is ProjectStatus.QUARANTINED:
            return False
        return await self._set_listed(project, {item.version for item in releases})

    async def _new_versions(
        self, page: ProjectPage, releases: Sequence[Release], now: datetime
    ) -> set[str]:
        """The versions that are new; the others are remembered where that was not done yet."""
        db = self.db
        rule = await upstream.followed_releases(db, page.project)
        times = upload_times(page)
        fresh = {
            item.version
            for item in releases
            if is_new(
                item.version,
                times.get(item.version),
                since=rule.follow_since,
                known_versions=rule.existing_versions,
                now=now,
            )
        }
        if rule.follow_since is not None and rule.existing_versions is None and releases:
            old = [item.version for item in releases if item.version not in fresh]
            await upstream.set_existing_versions(db, page.project, old)
        return fresh

    async def hide_all(self, project: str) -> None:
        """Hide all releases of a project that the index does not know any more."""
        await self._set_listed(project, set())

    async def _set_listed(self, project: str, listed: Collection[str]) -> bool:
        """Hide what is not listed, and show what is; returns whether anything was hidden."""
        db = self.db
        known = await catalog.stored_releases(db, project)
        if all(item.hidden != (item.version in listed) for item in known if item.has_sdist):
            return False
        listing = await catalog.update_listed_releases(db, project, list(listed))
        if listing.hidden:
            text = "the upstream lists no more"
            await self.record_event(
                f"hid what {text}: {_name_versions(listing.hidden)}; all is kept", project
            )
        if listing.shown:
            await self.record_event(f"listed again: {_name_versions(listing.shown)}", project)
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
        gone = await upstream.confirm_removal(db, project, versions, now)
        if gone:
            what = "was removed" if whole else "removed releases"
            kept = f"hidden, and deleted in {self.retention_days} days"
            await self.record_event(f"{what} upstream ({_name_versions(gone)} {kept})", project)

    async def forget_known_versions(self, project: str) -> None:
        """Have whatever a removed project has from now on built: it stays followed."""
        await upstream.set_existing_versions(self.db, project, ())

    async def delete_removed(self, now: datetime) -> None:
        """Delete releases whose removal was confirmed longer ago than the retention."""
        db, before = self.db, now - timedelta(days=self.retention_days)
        while gone := await upstream.delete_removed(db, before, _DELETE_BATCH_SIZE):
            for project, version in gone:
                await self.record_event(f"deleted {version}, which was removed upstream", project)

    async def record_event(self, text: str, project: str = "") -> None:
        """Add to the event list."""
        log.info("%s%s", f"{project}: " if project else "", text)
        with contextlib.suppress(PiwheelsError):
            await events.record_event(self.db, "upstream", text, project)


def _name_versions(versions: Sequence[str]) -> str:
    more = len(versions) - _MAX_NAMED
    return ", ".join(versions[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
