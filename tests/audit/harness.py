"""A farm with real wheels, and audits of it."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from piwheels.audit.finding import ReportedFinding
from piwheels.audit.position import Counts
from piwheels.audit.run import run_audit
from piwheels.audit.session import AuditOptions
from piwheels.audit.statements import StatementCheck
from piwheels.db import catalog, job_queue
from piwheels.db.database import Database
from piwheels.model import WheelFile
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.writer import StatementWriter
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.wheel.inspect import inspect_wheel
from tests.db.scenario import RULES, TARGETS, complete_as_built, make_release
from tests.provenance.factories import FACTS
from tests.website.harness import SiteHarness
from tests.wheel.factories import make_wheel

#: A time at which nothing that goes on now was written.
LONG_AGO_S = 1_700_000_000


class AuditedFarm:
    """A farm whose builds are completed by the test; its files are in `root`."""

    def __init__(self, db: Database, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.db = db
        self.root = folder / "www"
        self.state_dir = folder / "spool"
        self._uploads = folder / "uploads"
        self._uploads.mkdir()
        self.site = SiteHarness(db, self.root, pool)
        self.webroot = self.site.webroot
        self.keys = SigningKeys(folder / "keys")
        writer = self.writer = StatementWriter(self.keys, self.webroot, "https://w.example/")
        self._wheels = WheelPublisher(db, self.webroot, writer)
        self._logs = LogSpool(self.state_dir / "logs", self.webroot)
        self.counts = Counts()
        self.verifies_statements = False  # as where the package cryptography is not installed

    async def publish_wheel(self, project: str, version: str = "1.0") -> WheelFile:
        """Build a release and publish its wheel, as the master does; its pages are queued."""
        await catalog.add_project(self.db, project, project)
        await catalog.add_releases(self.db, [make_release(project, version)], RULES)
        job = await job_queue.claim(self.db, "builder", [TARGETS[0].name])
        assert job is not None
        folder = self._uploads / str(job.build_id)
        folder.mkdir()
        path = await asyncio.to_thread(make_wheel, folder, name=job.project, version=job.version)
        # Not in a process with limits, as the master does: that takes most of a second.
        facts = await asyncio.to_thread(inspect_wheel, path)
        wheel = await self._wheels.install(facts, path, (), TARGETS[0], FACTS)
        assert await complete_as_built(self.db, job, "builder", wheel)
        self._logs.append(job.build_id, 0, b"building\n")
        self._logs.archive(job.build_id)
        return wheel

    async def audit(self, *projects: str, **options: Any) -> list[ReportedFinding]:
        """What an audit finds; files that were written just now count as old."""
        found: list[ReportedFinding] = []
        asked = AuditOptions(projects=projects, **{"grace_s": 0.0, **options})
        self.counts = await run_audit(
            self.db,
            self.webroot,
            self.state_dir,
            asked,
            on_finding=found.append,
            statements=StatementCheck.of(self.writer) if self.verifies_statements else None,
        )
        return found

    def files(self) -> dict[str, bytes]:
        """The content of every file of the web root, by path."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file()
        }

    def wheel(self, project: str, version: str = "1.0") -> Path:
        """The path of a published wheel."""
        (found,) = self.root.glob(f"packages/*/*/{project}-{version}-*.whl")
        return found

    def old_file(self, name: str, content: bytes = b"?") -> Path:
        """Write a file of the web root that has been there for long."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
        return path
