"""Updates the database to what a project's page proves, without losing what was built.

A release that a page lacks is hidden, and shown again when it is listed again. Releases are deleted
only after a removal that the changelog reported and a page confirmed, and after a retention.
"""

import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from piwheels.db import audit_log, catalog, mirrored_wheels, upstream, upstream_wheels
from piwheels.db.database import Database
from piwheels.errors import PiwheelsError
from piwheels.formatting import pluralize
from piwheels.index_client.page import ProjectPage
from piwheels.model import CompatibilityRules, ProjectStatus, Release, UpstreamWheelPolicy
from piwheels.upstream.last_check import record_page
from piwheels.upstream.selection import is_new, upload_times
from piwheels.upstream.wheels import counting_wheels, listed_wheels

log = logging.getLogger(__name__)

#: Every release of a project that nobody added is new.
EPOCH = datetime.fromtimestamp(0, UTC)
_MAX_NAMED = 5
_DELETE_BATCH_SIZE = 100


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Applies pages to the database.

    retention_days: how long removed releases are kept.
    wheel_policy: of the farm, for wheels of upstream.
    """

    db: Database
    rules: CompatibilityRules
    retention_days: int
    wheel_policy: UpstreamWheelPolicy = UpstreamWheelPolicy.BUILD

    async def reconcile(
        self, page: ProjectPage, releases: list[Release], now: datetime, *, follow: bool = False
    ) -> bool:
        """Apply a usable page.

        Args:
            page: the project's page.
            releases: of the page.
            now: the time by the upstream's clock.
            follow: add the project, with all its releases as new.

        Returns:
            Whether it lacks a release or a wheel that was listed before.
        """
        db, project = self.db, page.project
        if follow:
            display = page.display_name
            await catalog.add_project(
                db, project, display, follow_since=EPOCH, existing=(), named=False
            )
        there = await catalog.stored_releases(db, project)
        known = {item.version for item in there}
        fresh = await self._new_versions(page, releases, now)
        wanted = [item for item in releases if item.version in known | fresh]
        changed, lost = await self._store(page, wanted)
        if changed:
            await self.record_event(f"new or changed: {pluralize(changed, 'release')}", project)
        await record_page(db, page, releases)
        await catalog.set_project_status(db, project, page.status, page.status_reason)
        # The page of a quarantined project must not list files (PEP 792): its releases are hidden
        # by the status, and not one by one.
        if not releases and page.status is ProjectStatus.QUARANTINED:
            return False
        hid = await self._set_listed(project, {item.version for item in releases})
        return hid or lost

    async def _store(self, page: ProjectPage, wanted: Sequence[Release]) -> tuple[int, bool]:
        """Store releases with their wheels, so that no job exists that these make unnecessary."""
        return await self.db.in_transaction(lambda: self._store_now(page, wanted))

    async def _store_now(self, page: ProjectPage, wanted: Sequence[Release]) -> tuple[int, bool]:
        db, project = self.db, page.project
        await catalog.lock_projects(db, [project])
        changed = await catalog.add_releases(db, wanted, self.rules)
        wheels = counting_wheels(
            page, await upstream_wheels.policy_of(db, project, self.wheel_policy)
        )
        changes = await upstream_wheels.store_upstream_wheels(db, [project], wheels, self.rules)
        if (listed := listed_wheels(page)) is not None:
            await mirrored_wheels.update_from_page(db, project, listed)
        return changed, changes.removed > 0

    async def _new_versions(
        self, page: ProjectPage, releases: Sequence[Release], now: datetime
    ) -> set[str]:
        """The new versions; the others are recorded as known if that was not done yet."""
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
        """Hide all releases of a project that the index no longer has."""
        await self._set_listed(project, set())

    async def _set_listed(self, project: str, listed: Collection[str]) -> bool:
        """Hide releases that are not listed, and show the others; whether any was hidden."""
        db = self.db
        known = await catalog.stored_releases(db, project)
        if all(item.hidden != (item.version in listed) for item in known if item.has_sdist):
            return False
        listing = await catalog.update_listed_releases(db, project, list(listed))
        if listing.hidden:
            text = "no longer listed upstream"
            await self.record_event(
                f"{text}, hidden: {_name_versions(listing.hidden)}; files are kept", project
            )
        if listing.shown:
            await self.record_event(f"listed again: {_name_versions(listing.shown)}", project)
        return bool(listing.hidden)

    async def confirm_removed(self, project: str, removed: Sequence[str], now: datetime) -> None:
        """Record removals that the changelog reported and a page confirmed.

        Args:
            project: its normalized name.
            removed: versions, "" for the project as a whole.
            now: the time by the upstream's clock.
        """
        db, is_whole = self.db, "" in removed
        versions = None if is_whole else removed
        removed_releases = await upstream.confirm_removal(db, project, versions, now)
        if removed_releases:
            what = "was removed" if is_whole else "removed releases"
            kept = f"hidden, and deleted in {self.retention_days} days"
            await self.record_event(
                f"{what} upstream ({_name_versions(removed_releases)} {kept})", project
            )

    async def forget_known_versions(self, project: str) -> None:
        """Count all releases of a removed project as new if it returns: it stays followed."""
        await upstream.set_existing_versions(self.db, project, ())

    async def delete_removed(self, now: datetime) -> None:
        """Delete releases whose removal was confirmed longer ago than the retention."""
        db, before = self.db, now - timedelta(days=self.retention_days)
        while removed_releases := await upstream.delete_removed(db, before, _DELETE_BATCH_SIZE):
            for project, version in removed_releases:
                await self.record_event(
                    f"deleted {version}, which had been removed upstream", project
                )

    async def record_event(self, text: str, project: str = "") -> None:
        """Record an event."""
        log.info("%s%s", f"{project}: " if project else "", text)
        with contextlib.suppress(PiwheelsError):
            await audit_log.record_event(self.db, "upstream", text, project)


def _name_versions(versions: Sequence[str]) -> str:
    more = len(versions) - _MAX_NAMED
    return ", ".join(versions[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
