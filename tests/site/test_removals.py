"""Removed files that come back: what is published again is never unlinked."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from piwheels.db import catalog, jobs, pages
from piwheels.farm.publishing import Publisher
from piwheels.model import Job, WheelFile
from piwheels.wheel.file import inspect
from tests.db.world import RULES, TARGETS, a_build, a_release
from tests.patience import WAIT_S
from tests.site.farm import Farm
from tests.wheel.making import make_wheel


class Wheel:
    """A wheel that the farm builds anew each time with the same bytes."""

    def __init__(self, site: Farm, folder: Path) -> None:
        self.site, self.made = site, make_wheel(folder)
        self.publisher = Publisher(site.db, site.webroot)

    async def lay_down(self) -> WheelFile:
        """Have it in the tree; nothing names it yet."""
        arrived = self.made.with_name(f"arrived-{self.made.name}")
        shutil.copy(self.made, arrived)
        return await self.publisher.lay_down(inspect(self.made), arrived)

    async def publish(self) -> WheelFile:
        """Have its release built, and the index name it."""
        job = await self.claimed()
        file = await self.lay_down()
        assert await jobs.settle(self.site.db, a_build(job, "builder"), [file], RULES, None)
        return file

    async def claimed(self) -> Job:
        await catalog.add_project(self.site.db, "demo", "demo")
        await catalog.add_releases(self.site.db, [a_release("demo")], RULES)
        job = await jobs.claim(self.site.db, "builder", [TARGETS[0].name])
        assert job is not None
        return job

    def lies_there(self, file: WheelFile) -> bool:
        webroot = self.site.webroot
        places = (webroot.wheel, webroot.metadata)
        return all(place(file.sha256, file.filename).exists() for place in places)


@pytest.fixture
def wheel(site: Farm, tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return Wheel(site, tmp_path_factory.mktemp("made"))


async def test_a_file_that_comes_back_before_it_is_unlinked_stays(site: Farm, wheel: Wheel) -> None:
    site.publisher.removal_grace_s = 3600.0
    await wheel.publish()
    await catalog.remove_release(site.db, "demo", "1.0")
    await site.publisher.write_pending()
    site.publisher.removal_grace_s = 0.0
    job = await wheel.claimed()
    file = await wheel.lay_down()
    await site.publisher.write_pending()
    assert wheel.lies_there(file), "it is due to be unlinked, and about to be published"
    assert await jobs.settle(site.db, a_build(job, "builder"), [file], RULES, None)
    await site.publisher.write_pending()
    assert [item["filename"] for item in site.page("demo")["files"]] == [file.filename]
    assert wheel.lies_there(file)


async def test_a_file_that_is_removed_while_it_comes_back_stays(site: Farm, wheel: Wheel) -> None:
    await wheel.publish()
    file = await wheel.lay_down()
    await catalog.remove_release(site.db, "demo", "1.0")
    await site.publisher.write_pending()
    assert wheel.lies_there(file)


async def test_a_file_that_was_laid_down_in_vain_goes_when_the_master_starts_anew(
    site: Farm, wheel: Wheel
) -> None:
    file = await wheel.lay_down()
    await site.publisher.write_pending()
    assert wheel.lies_there(file)
    await site.publisher.prepare()
    await site.publisher.write_pending()
    assert not site.webroot.wheel(file.sha256, file.filename).parent.exists()


async def test_a_file_is_laid_down_after_a_removal_that_is_under_way(
    site: Farm, wheel: Wheel
) -> None:
    with site.webroot.packages_turn():
        laying = asyncio.create_task(wheel.lay_down())
        # It has noted what it is about to do, and now waits.
        async with asyncio.timeout(WAIT_S):
            while not await site.db.value("SELECT count(*) FROM removals"):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        assert not (site.webroot.root / "packages").exists()
    assert wheel.lies_there(await laying)


async def test_nothing_is_unlinked_while_a_file_is_laid_down(site: Farm, wheel: Wheel) -> None:
    file = await wheel.publish()
    await catalog.remove_release(site.db, "demo", "1.0")
    with site.webroot.packages_turn():
        await site.publisher.write_pending()
        assert wheel.lies_there(file)
    await site.publisher.write_pending()
    assert not wheel.lies_there(file)


async def test_a_file_that_cannot_be_unlinked_holds_no_other_up(site: Farm, wheel: Wheel) -> None:
    file = await wheel.publish()
    other = await site.publish("other")
    place = site.webroot.wheel(file.sha256, file.filename)
    place.unlink()
    place.mkdir()
    for project in ("demo", "other"):
        await catalog.remove_project(site.db, project)
    await site.publisher.write_pending()
    assert not site.webroot.wheel(other.sha256, other.filename).exists()
    place.rmdir()
    place.write_bytes(b"wheel")
    await site.publisher.write_pending()
    assert not place.exists()
    assert await pages.removals(site.db, timedelta(0), 10) == []
