"""Stores the result of reading a project's page: its newest release and malformed entries."""

import contextlib
import logging

from msgspec import structs

from piwheels.db import audit_log
from piwheels.db.database import Database
from piwheels.db.upstream_pages import last_upstream_page, store_upstream_page
from piwheels.errors import PiwheelsError
from piwheels.index_client.page import ProjectPage
from piwheels.index_client.page_parser import MAX_PROBLEMS
from piwheels.model import Release, UpstreamPage
from piwheels.sanitize import truncate_line
from piwheels.upstream.selection import newest_release
from piwheels.upstream.wheels import unusable_names

log = logging.getLogger(__name__)


async def record_page(db: Database, page: ProjectPage, releases: list[Release]) -> None:
    """Store the newest release and the problems of a page; an event records new problems.

    A page without releases (of a quarantined project) keeps the newest release that was stored.
    """
    seen = upstream_page_of(page, releases)
    if not releases and (known := await last_upstream_page(db, page.project)):
        seen = structs.replace(known, problem_count=seen.problem_count, problems=seen.problems)
    if await store_upstream_page(db, page.project, seen):
        entries = "entry" if seen.problem_count == 1 else "entries"
        text = f"{seen.problem_count} malformed {entries} on its index page: {seen.problems[0]}"
        log.warning("%s: %s", page.project, text)
        with contextlib.suppress(PiwheelsError):
            await audit_log.record_event(db, "upstream", text, page.project)


def upstream_page_of(page: ProjectPage, releases: list[Release]) -> UpstreamPage:
    """The newest release and the problems of a page."""
    best = newest_release(releases)
    uploads = [file.uploaded_at for file in page.files if best and file.version == best.version]
    unusable = [
        f"{truncate_line(name)} is not the name of a wheel" for name in unusable_names(page)
    ]
    return UpstreamPage(
        newest_version=best.version if best else None,
        newest_at=min((moment for moment in uploads if moment is not None), default=None),
        newest_has_sdist=best is not None and best.sdist is not None,
        problem_count=page.problem_count + len(unusable),
        problems=(*page.problems, *unusable)[:MAX_PROBLEMS],
    )
