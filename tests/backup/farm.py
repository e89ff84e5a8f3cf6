"""A farm with files, keys and a configuration, whose builds are completed by the test."""

import gzip
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from piwheels.backup.backup import BackupResult, write_backup
from piwheels.backup.restore import RestoreOptions, RestoreResult, restore_backup
from piwheels.config import LoadedConfig, load
from piwheels.config.sources import to_toml
from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.index.index_publisher import IndexPublisher
from piwheels.model import Job, Target, WheelFile
from piwheels.protocol.keys import MASTER, KeyStore, Role
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.writer import StatementWriter
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.webroot import Webroot
from piwheels.wheel.tags import make_target
from tests.db.scenario import RULES, complete_job_with_retry_after, make_build, make_release
from tests.provenance.factories import FACTS
from tests.timeouts import WAIT_S
from tests.wheel.factories import make_wheel

HERE = make_target(
    python_full=".".join(map(str, sys.version_info[:3])),
    implementation="cp",
    abi=f"cp{sys.version_info.major}{sys.version_info.minor}",
    arch="x86_64",
    os="bookworm",
    glibc="2.36",
)


def quiet(_: str) -> None:
    """No progress."""


@dataclass
class Machine:
    """A machine with a farm, or an empty one: its folder and its database."""

    folder: Path
    dsn: str

    @property
    def config_file(self) -> Path:
        return self.folder / "etc" / "piwheels.toml"

    @property
    def webroot(self) -> Webroot:
        return Webroot(self.folder / "www")

    def configure(self) -> LoadedConfig:
        """Write a configuration with paths relative to it, and keys."""
        self.config_file.parent.mkdir(parents=True)
        settings = {
            "database.dsn": self.dsn,
            "webroot.root": "../www",
            "master.key_dir": "keys",
            "master.spool_dir": "../spool",
        }
        self.config_file.write_text(to_toml(settings))
        keys = KeyStore(self.config_file.parent / "keys")
        keys.generate(MASTER)
        keys.authorize(Role.BUILDER, "pi4-kitchen", "ab" * 32)
        return load(self.config_file)

    async def backup(self, file: Path) -> BackupResult:
        return await write_backup(load(self.config_file), file, quiet)

    async def restore(self, file: Path, **options: bool) -> RestoreResult:
        overrides: Mapping[str, str] = {"database.dsn": self.dsn}
        config_file = None if options.get("keep_config") else self.config_file
        return await restore_backup(file, config_file, overrides, RestoreOptions(**options), quiet)


@dataclass
class Builds:
    """Completes builds of a farm with real wheels, logs and index pages."""

    db: Database
    webroot: Webroot
    folder: Path  # for wheels that arrive

    async def add(self, project: str, version: str = "1.0") -> None:
        await target_queries.add_target(self.db, HERE, RULES)
        await catalog.add_project(self.db, project, project)
        await catalog.add_releases(self.db, [make_release(project, version)], RULES)
        await target_queries.recompute_jobs(self.db)

    async def claim(self, target: Target = HERE) -> Job:
        job = await job_queue.claim(self.db, "builder", [target.name])
        assert job is not None
        return job

    async def build(self, content: str = "") -> WheelFile:
        """Build the next job; the wheel's bytes depend on the content."""
        job = await self.claim()
        arrived = self.folder / f"arrived-{job.build_id}"
        arrived.mkdir(parents=True)
        made = make_wheel(
            arrived,
            name=job.project,
            version=job.version,
            files={f"{job.project}.py": f"content = {content!r}\n".encode()},
        )
        writer = StatementWriter(
            SigningKeys(self.folder / "etc" / "keys"), self.webroot, "https://wheels.example/"
        )
        publisher = WheelPublisher(self.db, self.webroot, writer)
        wheel = await publisher.publish(made, job, HERE, build=FACTS)
        self.webroot.write(self.webroot.log_path(job.build_id), gzip.compress(b"log", mtime=0))
        assert await complete_job_with_retry_after(
            self.db, make_build(job, "builder"), [wheel], RULES, None
        )
        return wheel

    async def write_pages(self) -> None:
        """Write what is queued, as a master does."""
        with ThreadPoolExecutor() as pool:
            publisher = IndexPublisher(
                self.db, self.webroot, pool, deletion_delay_s=0.0, project_list_interval_s=0.0
            )
            await publisher.recover()
            await publisher.write_pending()

    async def queued(self) -> list[tuple[str, str]]:
        rows = await self.db.rows("SELECT project, version FROM jobs ORDER BY project, version")
        return [(row["project"], row["version"]) for row in rows]


def download(webroot: Webroot, project: str, folder: Path) -> list[str]:
    """What pip downloads from the index, whose hashes it checks."""
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "download",
                project,
                "-q",
                "--no-deps",
                "--no-cache-dir",
            ),
            *(f"--index-url={(webroot.root / 'simple').as_uri()}", "--only-binary=:all:"),
            *("--dest", str(folder)),
        ],
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
        check=True,
        timeout=WAIT_S,
    )
    return sorted(path.name for path in folder.iterdir())
