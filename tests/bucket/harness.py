"""A farm without builders whose web root is copied into a bucket."""

import asyncio
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import obstore
from msgspec.structs import replace

from piwheels.bucket.follower import BucketFollower
from piwheels.bucket.site_objects import key_of
from piwheels.bucket.store import Store
from piwheels.db import bucket_changes, catalog, job_queue
from piwheels.model import WheelFile
from tests.bucket.seaweed import keys
from tests.db.scenario import RULES, TARGETS, complete_as_built, make_release, make_wheel
from tests.timeouts import WAIT_S
from tests.website.harness import SiteHarness


@dataclass(slots=True)
class BucketFarm:
    """The publishers, the follower, and the bucket."""

    site: SiteHarness
    store: Store
    follower: BucketFollower

    async def publish(self, project: str, version: str = "1.0") -> WheelFile:
        """Install a wheel, record its build, and write all pages."""
        file = await self.install(project, version)
        await self.site.write_all()
        return file

    async def publish_index(self, project: str, version: str = "1.0") -> WheelFile:
        """Install a wheel, record its build, and write the index pages alone."""
        file = await self.install(project, version)
        await self.site.publisher.write_pending()
        return file

    async def install(self, project: str, version: str = "1.0") -> WheelFile:
        """Install a wheel and record its build; its pages are queued."""
        db, webroot = self.site.db, self.site.webroot
        await catalog.add_project(db, project, project)
        await catalog.add_releases(db, [make_release(project, version)], RULES)
        job = await job_queue.claim(db, "builder", [TARGETS[0].name])
        assert job is not None
        content = f"wheel of {project} {version}".encode()
        wheel = replace(make_wheel(job, "py3-none-any"), sha256=hashlib.sha256(content).hexdigest())
        webroot.write(webroot.wheel_path(wheel.sha256, wheel.filename), content)
        webroot.write(webroot.metadata_path(wheel.sha256, wheel.filename), b"metadata")
        webroot.write(webroot.log_path(job.build_id), gzip.compress(b"a log", mtime=0))
        assert await complete_as_built(db, job, "builder", wheel)
        return wheel

    async def remove(self, project: str, version: str = "1.0") -> None:
        """Remove a release and write all pages."""
        await catalog.remove_release(self.site.db, project, version)
        await self.site.write_all()
        await self.site.publisher.write_pending()

    async def follow(self) -> None:
        """Copy everything that waits."""
        await bucket_changes.follow(self.site.db, self.follower.target)
        self.follower._site_files_due = float("-inf")
        await self.copy_all()

    async def copy_all(self) -> None:
        """Copy until nothing that is due waits."""
        async with asyncio.timeout(WAIT_S):
            while await self.follower.copy_next():
                pass

    async def differences(self) -> set[str]:
        """Keys that the bucket lacks or has in excess, or whose bytes differ from the web root."""
        root = self.site.webroot.root
        wanted = expected_objects(root)
        there = {key: await self.content(key) for key in await keys(self.store)}
        return {key for key in wanted.keys() | there.keys() if wanted.get(key) != there.get(key)}

    async def content(self, key: str) -> bytes:
        """The bytes of an object, as they are stored."""
        found = await obstore.get_async(self.store._store, key)
        return bytes(await found.bytes_async())


def expected_objects(root: Path) -> dict[str, bytes]:
    """What a bucket has of a web root."""
    wanted: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):  # a.html comes before a.html.gz, which replaces it
        relative = str(path.relative_to(root))
        hidden = any(part.startswith(".") for part in Path(relative).parts)
        if path.is_file() and not hidden:
            wanted[key_of(relative)] = path.read_bytes()
    return wanted
