"""The bucket follows the web root: in the order of the publishers, and after any outage."""

import asyncio
import contextlib

import obstore
import pytest

from piwheels.bucket.copier import Copier
from piwheels.bucket.site_objects import LocalFile
from piwheels.bucket.store import Store, StoredObject
from piwheels.db import bucket_changes
from piwheels.object_storage.errors import BucketError
from piwheels.webroot import TreeTakenError, Webroot
from tests.bucket.harness import BucketFarm
from tests.bucket.seaweed import keys
from tests.timeouts import WAIT_S
from tests.website.harness import SiteHarness

JSON = "application/vnd.pypi.simple.v1+json"


@pytest.mark.slow
async def test_what_was_published_before_is_copied_first(farm: BucketFarm) -> None:
    for number in range(25):
        await farm.install(f"project{number}")
    await farm.site.write_all()
    await farm.follow()
    assert await farm.differences() == set()
    progress = await bucket_changes.bucket_progress(farm.site.db)
    assert progress is not None
    assert (progress.first_copy, progress.waiting) == ("done", 0)


@pytest.mark.slow
async def test_later_changes_are_copied_and_removals_follow(farm: BucketFarm) -> None:
    await farm.publish("first")
    await farm.follow()
    wheel = await farm.publish("second")
    await farm.publish("first", "2.0")
    await farm.follow()
    assert await farm.differences() == set()
    assert any(wheel.filename in key for key in await keys(farm.store, "packages"))
    await farm.remove("second")
    await farm.follow()
    await farm.follow()  # the wheel itself, after the delay
    assert await farm.differences() == set()
    assert not any(wheel.filename in key for key in await keys(farm.store))
    assert "simple/second/index.html" not in await keys(farm.store)


@pytest.mark.slow
async def test_objects_have_the_headers_that_web_servers_send(farm: BucketFarm) -> None:
    wheel = await farm.publish("demo")
    await farm.follow()
    page = await farm.store.head("simple/demo/index.v1_json")
    assert page is not None
    assert page.headers.content_type == JSON
    assert page.headers.content_encoding == "gzip"
    assert page.headers.cache_control == "public, max-age=60"
    path = f"packages/{wheel.sha256[:2]}/{wheel.sha256}/{wheel.filename}"
    stored = await farm.store.head(path)
    assert stored is not None
    assert stored.headers.content_type == "application/octet-stream"
    assert stored.headers.content_encoding == ""
    assert stored.headers.cache_control == "public, max-age=31536000, immutable"
    assert stored.sha256 == wheel.sha256
    metadata = await farm.store.head(f"{path}.metadata")
    assert metadata is not None
    assert metadata.headers.content_type == "text/plain; charset=utf-8"


class RecordingStore(Store):
    """A bucket that notes what is done to it, and can refuse."""

    def __init__(self, store: Store) -> None:
        super().__init__(store._store)
        self.done: list[str] = []
        self.refuses = False

    async def put(self, key: str, local: LocalFile, before: StoredObject | None) -> None:
        if self.refuses:
            raise BucketError("refused")
        await super().put(key, local, before)
        self.done.append(key)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        self.done.append(f"-{key}")


def recording(farm: BucketFarm) -> RecordingStore:
    store = RecordingStore(farm.store)
    farm.follower.copier = Copier(store, farm.site.webroot)
    return store


@pytest.mark.slow
async def test_wheels_come_before_the_page_and_go_after_it(farm: BucketFarm) -> None:
    store = recording(farm)
    wheel = await farm.publish_index("demo")
    await farm.follow()
    path = f"packages/{wheel.sha256[:2]}/{wheel.sha256}/{wheel.filename}"
    order = [path, f"{path}.metadata", "simple/demo/index.v1_json", "simple/demo/index.html"]
    assert [key for key in store.done if key in order] == order
    await farm.remove("demo")
    store.done.clear()
    await farm.follow()
    await farm.follow()
    gone = [f"-{key}" for key in reversed(order)]
    assert [key for key in store.done if key in gone] == gone


@pytest.mark.slow
async def test_a_removed_wheel_stays_for_those_who_read_the_page_before(farm: BucketFarm) -> None:
    wheel = await farm.publish("demo")
    await farm.follow()
    farm.follower.deletion_delay_s = 3600.0
    await farm.remove("demo")
    await farm.follow()
    names = await keys(farm.store)
    assert "simple/demo/index.html" not in names
    assert any(wheel.filename in key for key in names)
    await farm.site.db.execute("UPDATE bucket_changes SET due_at = now()")
    await farm.follow()
    assert await farm.differences() == set()


@pytest.mark.slow
async def test_a_page_never_lists_a_wheel_that_the_bucket_lacks(farm: BucketFarm) -> None:
    """Whatever is published while the follower is between a wheel and its page."""
    store = recording(farm)
    await farm.publish("demo")
    await bucket_changes.follow(farm.site.db, farm.follower.target)
    assert await bucket_changes.record_first_copy(farm.site.db)
    changes = await bucket_changes.next_index_changes(farm.site.db)
    newer = await farm.publish("demo", "2.0")  # after the changes were read
    await farm.follower._copy_index_changes(changes)
    page = store.done.index("simple/demo/index.html")
    assert any(newer.filename in key for key in store.done[:page])


@pytest.mark.slow
async def test_nothing_is_lost_while_the_bucket_refuses(farm: BucketFarm) -> None:
    store = recording(farm)
    await farm.publish("first")
    await farm.follow()
    store.refuses = True
    for number in range(10):
        await farm.publish(f"later{number}")
    with pytest.raises(BucketError):
        await farm.follow()
    store.refuses = False
    await farm.follow()
    assert await farm.differences() == set()


@pytest.mark.slow
async def test_the_service_reports_a_problem_and_recovers(farm: BucketFarm) -> None:
    store = recording(farm)
    await farm.publish("demo")
    store.refuses = True
    running = asyncio.create_task(farm.follower.run())
    async with asyncio.timeout(WAIT_S):
        while not farm.follower.problem:  # noqa: ASYNC110 - as an operator sees it
            await asyncio.sleep(0.01)
    assert farm.follower.problem == "refused"
    store.refuses = False
    async with asyncio.timeout(WAIT_S):
        while farm.follower.problem or await farm.differences():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.mark.slow
async def test_another_bucket_gets_everything(farm: BucketFarm, site: SiteHarness) -> None:
    await farm.publish("demo")
    await farm.follow()
    farm.follower.target = "s3://another"
    await bucket_changes.follow(site.db, "s3://another")
    progress = await bucket_changes.bucket_progress(site.db)
    assert progress is not None
    assert (progress.target, progress.first_copy) == ("s3://another", "index")


@pytest.mark.slow
async def test_without_a_bucket_nothing_is_recorded(farm: BucketFarm) -> None:
    await farm.publish("demo")
    assert await farm.site.db.value("SELECT count(*) FROM bucket_changes") == 0


# --- conditional writes ---


async def test_an_older_page_is_never_put_over_a_newer_one(farm: BucketFarm) -> None:
    """Two followers: one read the page, then the other copied a newer one."""
    slow, root = farm.follower.copier, farm.site.webroot.root
    page = root / "index.html"
    farm.site.webroot.write_page(page, b"older")
    prepared = await slow.prepare_page("index.html")
    farm.site.webroot.write_page(page, b"newer")
    await Copier(farm.store, farm.site.webroot).sync("index.html")
    with pytest.raises(Exception, match="changed meanwhile"):
        await slow.write_page(prepared)
    assert "index.html" not in await farm.differences()


async def test_a_wheel_is_never_overwritten_with_other_bytes(
    farm: BucketFarm, caplog: pytest.LogCaptureFixture
) -> None:
    wheel = await farm.publish_index("demo")
    key = f"packages/{wheel.sha256[:2]}/{wheel.sha256}/{wheel.filename}"
    await obstore.put_async(farm.store._store, key, b"of somebody else")
    await farm.follow()
    assert await farm.content(key) == b"of somebody else"
    assert "is not overwritten" in caplog.text


@pytest.mark.slow
async def test_a_damaged_wheel_does_not_reach_the_bucket(
    farm: BucketFarm, caplog: pytest.LogCaptureFixture
) -> None:
    wheel = await farm.publish("demo")
    path = farm.site.webroot.wheel_path(wheel.sha256, wheel.filename)
    path.write_bytes(b"damaged")
    await farm.follow()
    assert str(path.relative_to(farm.site.webroot.root)) not in await keys(farm.store)
    assert "is damaged" in caplog.text


@pytest.mark.slow
async def test_what_others_put_into_the_bucket_is_not_deleted(farm: BucketFarm) -> None:
    await farm.publish("demo")
    await farm.follow()
    await obstore.put_async(farm.store._store, "simple/demo/index.html", b"by hand")
    await farm.remove("demo")
    await farm.follow()
    assert await farm.content("simple/demo/index.html") == b"by hand"


@pytest.mark.slow
async def test_a_large_wheel_is_sent_in_parts(
    farm: BucketFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.bucket.copier.MAX_HELD_BYTES", 5)
    wheel = await farm.publish("demo")
    await farm.follow()
    assert await farm.differences() == set()
    stored = await farm.store.head(f"packages/{wheel.sha256[:2]}/{wheel.sha256}/{wheel.filename}")
    assert stored is not None
    assert stored.sha256 == wheel.sha256


@pytest.mark.slow
async def test_a_log_that_arrives_late_is_copied(farm: BucketFarm) -> None:
    await farm.publish("demo")
    await farm.follow()
    await farm.install("late")
    build = await farm.site.db.value("SELECT max(build_id) FROM builds")
    path = farm.site.webroot.log_path(build)
    content = path.read_bytes()
    path.unlink()
    await farm.site.write_all()
    await farm.follow()
    farm.site.webroot.write(path, content)
    await farm.site.db.execute("UPDATE bucket_changes SET due_at = now()")
    await farm.follow()
    assert await farm.differences() == set()


@pytest.mark.slow
async def test_the_index_does_not_wait_for_many_files_of_the_site(
    farm: BucketFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.bucket.follower._SITE_FILES", 2)
    store = recording(farm)
    await farm.publish("demo")
    await bucket_changes.follow(farm.site.db, farm.follower.target)
    await bucket_changes.record_first_copy(farm.site.db)
    assert not await farm.follower._copy_site_files()
    assert len(store.done) == 2
    await farm.follow()
    assert await farm.differences() == set()


@pytest.mark.slow
async def test_a_former_master_copies_nothing(farm: BucketFarm) -> None:
    """Two masters share a web root: the one with the lower epoch leaves the bucket alone."""
    await farm.publish("demo")
    webroot = farm.site.webroot
    webroot.tree_epoch.claim(1, 0.0)
    await farm.follow()
    Webroot(webroot.root).tree_epoch.claim(2, 0.0)
    webroot.write_page(webroot.root / "index.html", b"of the former master")
    with pytest.raises(TreeTakenError):
        await farm.follow()
    webroot.tree_epoch.release()
