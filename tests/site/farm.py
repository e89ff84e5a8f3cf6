"""A farm whose builds are settled by hand, with the duties that write its tree."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from piwheels.db import catalog, jobs, pages
from piwheels.db.database import Database
from piwheels.db.pages import Part
from piwheels.model import WheelFile
from piwheels.site.publish import Publisher
from piwheels.site.showing import Showing
from piwheels.webroot import Webroot
from tests.db.world import RULES, TARGETS, a_file, a_release, build
from tests.site.making import SITE


class Farm:
    """A farm whose builds are settled by hand."""

    def __init__(self, db: Database, root: Path, pool: ThreadPoolExecutor) -> None:
        self.db = db
        self.webroot = Webroot(root)
        self.publisher = Publisher(
            db=db, webroot=self.webroot, executor=pool, removal_grace_s=0.0, root_listing_s=0.0
        )
        self.showing = Showing(
            db=db, webroot=self.webroot, executor=pool, site=SITE, served=self.served, pause_s=0.0
        )

    def served(self) -> frozenset[str]:
        """The targets that builders serve."""
        return frozenset({TARGETS[0].name})

    async def publish(self, project: str, version: str = "1.0") -> WheelFile:
        """Have a release built, and its wheel in the tree; the pages are stale then."""
        await catalog.add_project(self.db, project, project)
        await catalog.add_releases(self.db, [a_release(project, version)], RULES)
        job = await jobs.claim(self.db, "builder", [TARGETS[0].name])
        assert job is not None
        wheel = a_file(job, "py3-none-any")
        self.webroot.write(self.webroot.wheel(wheel.sha256, wheel.filename), b"wheel")
        self.webroot.write(self.webroot.metadata(wheel.sha256, wheel.filename), b"metadata")
        assert await build(self.db, job, "builder", wheel)
        return wheel

    def page(self, project: str = "") -> dict[str, list[dict[str, str]]]:
        path = self.webroot.simple(project) / "index.v1_json"
        content = path.read_bytes()
        assert gzip.decompress(path.with_name("index.v1_json.gz").read_bytes()) == content
        found: dict[str, list[dict[str, str]]] = json.loads(content)
        return found

    def written(self) -> dict[str, int]:
        """When each page was written."""
        pages = (self.webroot.root / "simple").rglob("index.*")
        return {str(path): path.stat().st_mtime_ns for path in pages}

    async def write_all(self) -> None:
        """Write the index, and then all the rest."""
        await self.publisher.write_pending()
        await self.showing.write_pending()

    def shown(self, name: str) -> str:
        """A page of the tree, whose twin holds the same."""
        path = self.webroot.root / name
        content = path.read_bytes()
        assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == content
        return content.decode()

    async def stale(self, part: Part = Part.PROJECT) -> list[str]:
        """The pages of a part of the site that are to be written now."""
        await pages.gather(self.db, pages.SITE_PARTS)
        return sorted(page.name for page in await pages.stale(self.db, part, 1000))
