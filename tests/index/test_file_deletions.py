"""Removed files that return: what is published again is not deleted."""

import asyncio
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from piwheels.db import catalog, file_deletions, job_queue
from piwheels.model import Job, WheelFile
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.writer import StatementWriter
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.webroot.tree_epoch import TreeEpoch
from piwheels.wheel.inspect import inspect_wheel
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_job_with_retry_after,
    make_build,
    make_release,
)
from tests.provenance.factories import FACTS
from tests.timeouts import WAIT_S
from tests.website.harness import SiteHarness
from tests.wheel.factories import make_wheel


class WheelUpload:
    """A wheel that is rebuilt with the same content."""

    def __init__(self, site: SiteHarness, folder: Path) -> None:
        self.site, self.made = site, make_wheel(folder)
        keys = SigningKeys(folder / "keys")
        writer = StatementWriter(keys, site.webroot, "https://wheels.example/")
        self.publisher = WheelPublisher(site.db, site.webroot, writer)

    async def install(self) -> WheelFile:
        """Install it; no page lists it yet."""
        arrived = self.made.with_name(f"arrived-{self.made.name}")
        shutil.copy(self.made, arrived)
        return await self.publisher.install(inspect_wheel(self.made), arrived, build=FACTS)

    async def publish(self) -> WheelFile:
        """Complete the build of its release, so that the index lists it."""
        job = await self.claimed()
        file = await self.install()
        assert await complete_job_with_retry_after(
            self.site.db, make_build(job, "builder"), [file], RULES, None
        )
        return file

    async def claimed(self) -> Job:
        await catalog.add_project(self.site.db, "demo", "demo")
        await catalog.add_releases(self.site.db, [make_release("demo")], RULES)
        job = await job_queue.claim(self.site.db, "builder", [TARGETS[0].name])
        assert job is not None
        return job

    def is_installed(self, file: WheelFile) -> bool:
        webroot = self.site.webroot
        places = (webroot.wheel_path, webroot.metadata_path, webroot.provenance_path)
        return all(place(file.sha256, file.filename).exists() for place in places)


@pytest.fixture
def wheel(site: SiteHarness, tmp_path_factory: pytest.TempPathFactory) -> WheelUpload:
    return WheelUpload(site, tmp_path_factory.mktemp("made"))


async def test_the_web_root_is_not_read_by_the_thread_that_answers_builders(
    site: SiteHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system can hang."""
    await WheelUpload(site, tmp_path).publish()
    threads = []
    monkeypatch.setattr(TreeEpoch, "check", lambda _: threads.append(threading.current_thread()))
    await site.write_all()
    await catalog.remove_project(site.db, "demo")
    await site.write_all()
    assert threads
    assert threading.main_thread() not in threads


async def test_a_file_that_returns_before_its_deletion_is_kept(
    site: SiteHarness, wheel: WheelUpload
) -> None:
    site.publisher.deletion_delay_s = 3600.0
    await wheel.publish()
    await catalog.remove_release(site.db, "demo", "1.0")
    await site.publisher.write_pending()
    site.publisher.deletion_delay_s = 0.0
    job = await wheel.claimed()
    file = await wheel.install()
    await site.publisher.write_pending()
    assert wheel.is_installed(file), "it is due to be deleted, and about to be published"
    assert await complete_job_with_retry_after(
        site.db, make_build(job, "builder"), [file], RULES, None
    )
    await site.publisher.write_pending()
    assert [item["filename"] for item in site.page("demo")["files"]] == [file.filename]
    assert wheel.is_installed(file)


async def test_a_file_that_is_removed_while_it_returns_is_kept(
    site: SiteHarness, wheel: WheelUpload
) -> None:
    await wheel.publish()
    file = await wheel.install()
    await catalog.remove_release(site.db, "demo", "1.0")
    await site.publisher.write_pending()
    assert wheel.is_installed(file)


async def test_a_file_of_an_abandoned_installation_is_deleted_at_the_next_start(
    site: SiteHarness, wheel: WheelUpload
) -> None:
    file = await wheel.install()
    await site.publisher.write_pending()
    assert wheel.is_installed(file)
    await site.publisher.recover()
    await site.publisher.write_pending()
    assert not site.webroot.wheel_path(file.sha256, file.filename).parent.exists()


async def test_an_installation_waits_for_a_running_deletion(
    site: SiteHarness, wheel: WheelUpload
) -> None:
    with site.webroot.packages_lock():
        laying = asyncio.create_task(wheel.install())
        # It has noted what it is about to do, and now waits.
        async with asyncio.timeout(WAIT_S):
            while not await site.db.value("SELECT count(*) FROM file_deletions"):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        assert not (site.webroot.root / "packages").exists()
    assert wheel.is_installed(await laying)


async def test_nothing_is_deleted_during_an_installation(
    site: SiteHarness, wheel: WheelUpload
) -> None:
    file = await wheel.publish()
    await catalog.remove_release(site.db, "demo", "1.0")
    with site.webroot.packages_lock():
        await site.publisher.write_pending()
        assert wheel.is_installed(file)
    await site.publisher.write_pending()
    assert not wheel.is_installed(file)


async def test_a_file_that_cannot_be_deleted_does_not_delay_others(
    site: SiteHarness, wheel: WheelUpload
) -> None:
    file = await wheel.publish()
    other = await site.publish("other")
    place = site.webroot.wheel_path(file.sha256, file.filename)
    place.unlink()
    place.mkdir()
    for project in ("demo", "other"):
        await catalog.remove_project(site.db, project)
    await site.publisher.write_pending()
    assert not site.webroot.wheel_path(other.sha256, other.filename).exists()
    place.rmdir()
    place.write_bytes(b"wheel")
    await site.publisher.write_pending()
    assert not place.exists()
    assert await file_deletions.files_to_delete(site.db, timedelta(0), 10) == []
