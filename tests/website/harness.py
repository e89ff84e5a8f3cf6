"""A farm without builders: the index and website publishers on a database."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from piwheels.db import catalog, job_queue, page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind
from piwheels.index.index_publisher import IndexPublisher
from piwheels.model import WheelFile
from piwheels.webroot import Webroot
from piwheels.website.single_page_publisher import SinglePagePublisher
from piwheels.website.site_publisher import SitePublisher
from tests.db.scenario import RULES, TARGETS, complete_as_built, make_release, make_wheel
from tests.website.factories import SITE


class SiteHarness:
    """The publishers of a farm whose builds are completed by the test."""

    def __init__(self, db: Database, root: Path, pool: ThreadPoolExecutor) -> None:
        self.db = db
        self.webroot = Webroot(root)
        self.publisher = IndexPublisher(
            db=db,
            webroot=self.webroot,
            executor=pool,
            deletion_delay_s=0.0,
            project_list_interval_s=0.0,
        )
        self.showing = SitePublisher(
            db=db,
            webroot=self.webroot,
            executor=pool,
            site=SITE,
            served_targets=self.served,
            min_project_interval_s=0.0,
        )
        self.single_pages = SinglePagePublisher(
            db=db, webroot=self.webroot, executor=pool, site=SITE
        )

    def served(self) -> frozenset[str]:
        """The targets that builders serve."""
        return frozenset({TARGETS[0].name})

    async def publish(self, project: str, version: str = "1.0") -> WheelFile:
        """Complete a build and install its wheel; the pages are queued then."""
        await catalog.add_project(self.db, project, project)
        await catalog.add_releases(self.db, [make_release(project, version)], RULES)
        job = await job_queue.claim(self.db, "builder", [TARGETS[0].name])
        assert job is not None
        wheel = make_wheel(job, "py3-none-any")
        self.webroot.write(self.webroot.wheel_path(wheel.sha256, wheel.filename), b"wheel")
        self.webroot.write(self.webroot.metadata_path(wheel.sha256, wheel.filename), b"metadata")
        assert await complete_as_built(self.db, job, "builder", wheel)
        return wheel

    def page(self, project: str = "") -> dict[str, list[dict[str, str]]]:
        path = self.webroot.simple_dir(project) / "index.v1_json"
        content = path.read_bytes()
        assert gzip.decompress(path.with_name("index.v1_json.gz").read_bytes()) == content
        found: dict[str, list[dict[str, str]]] = json.loads(content)
        return found

    def written_at(self) -> dict[str, int]:
        """When each page was written."""
        pages = (self.webroot.root / "simple").rglob("index.*")
        return {str(path): path.stat().st_mtime_ns for path in pages}

    async def write_all(self) -> None:
        """Write the index, and then the website."""
        await self.publisher.write_pending()
        await self.write_website()

    async def write_website(self) -> int:
        """Write the single pages, then those of projects and aliases; returns how many of these.

        One after the other: they share a connection here.
        """
        await self.single_pages.write_pending()
        return await self.showing.write_pending()

    def shown(self, name: str) -> str:
        """A page, whose .gz file has the same content."""
        path = self.webroot.root / name
        content = path.read_bytes()
        assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == content
        return content.decode()

    async def queued_pages(self, part: PageKind = PageKind.PROJECT) -> list[str]:
        """The queued pages of a kind."""
        await page_queue.collect_changes(self.db, page_queue.PROJECT_PAGE_KINDS)
        return sorted(page.key for page in await page_queue.pages_to_write(self.db, part, 1000))
