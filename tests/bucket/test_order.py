"""What is copied when, also when the web root lacks or refuses what the database names."""

import asyncio
import contextlib
import gzip
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from piwheels.bucket.copier import Copier
from piwheels.bucket.follower import BucketFollower
from piwheels.cli.remote.status import _bucket_text
from piwheels.db import bucket_changes, catalog, row_counts
from piwheels.db.database import Database
from piwheels.webroot import TreeMissingError
from piwheels.webroot.tree_epoch import EPOCH_FILE
from tests.bucket.fake_bucket import FakeBucket
from tests.bucket.harness import BucketFarm, expected_objects
from tests.db.executed_plans import executed_plans, rows_read
from tests.db.scenario import RULES, make_release
from tests.timeouts import WAIT_S
from tests.website.harness import SiteHarness


@pytest.fixture
def bucket() -> FakeBucket:
    """An empty bucket."""
    return FakeBucket()


@pytest.fixture
def farm(site: SiteHarness, bucket: FakeBucket) -> BucketFarm:
    """A farm and its follower."""
    copier = Copier(bucket, site.webroot)
    follower = BucketFollower(site.db, site.webroot, copier, "s3://fake", 0.0, poll_s=0.01)
    return BucketFarm(site, bucket, follower)


def write_page(farm: BucketFarm, project: str) -> None:
    """The index pages of a project, as the publisher writes them."""
    folder = farm.site.webroot.simple_dir(project)
    for name in ("index.html", "index.v1_json"):
        farm.site.webroot.write_page(folder / name, b"page")


async def record(farm: BucketFarm, kind: str, project: str, subject: str = "") -> None:
    await farm.site.db.execute(
        """
        INSERT INTO bucket_changes (is_index, kind, project, subject)
        VALUES (%(kind)s IN ('wheel', 'simple'), %(kind)s, %(project)s, %(subject)s)
        """,
        {"kind": kind, "project": project, "subject": subject},
    )


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_service_goes_on_when_the_web_root_cannot_be_read(
    farm: BucketFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("piwheels.bucket.site_files.SiteFiles.changed", lambda _: refuse())
        running = asyncio.create_task(farm.follower.run())
        async with asyncio.timeout(WAIT_S):
            while not (farm.follower.problem or running.done()):  # noqa: ASYNC110 - as it shows
                await asyncio.sleep(0.01)
    assert "Input/output error" in farm.follower.problem
    async with asyncio.timeout(WAIT_S):
        while farm.follower.problem:  # noqa: ASYNC110 - as it shows
            await asyncio.sleep(0.01)
    await ended(running)


async def test_a_web_root_that_vanishes_removes_nothing(
    farm: BucketFarm, bucket: FakeBucket, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = farm.site.webroot.root
    farm.site.webroot.tree_epoch.claim(1, 0.0)
    wheel = await farm.install("demo")
    write_page(farm, "demo")
    farm.site.webroot.write_page(root / "index.html", b"page")
    await farm.follow()
    before = dict(bucket.objects)
    assert any(wheel.filename in key for key in before)
    await record(farm, "wheel", "demo", f"{wheel.sha256}/{wheel.filename}")
    await record(farm, "simple", "demo")
    elsewhere = tmp_path_factory.mktemp("unmounted") / "root"
    root.rename(elsewhere)
    root.mkdir()
    with pytest.raises(TreeMissingError):
        await farm.follow()
    with pytest.raises(TreeMissingError):  # and when it vanishes after the follower looked
        await farm.follower._copy_index_changes(
            await bucket_changes.next_index_changes(farm.site.db)
        )
    with pytest.raises(TreeMissingError):
        await farm.follower._copy_site_files()
    assert bucket.objects == before
    assert len(await bucket_changes.next_index_changes(farm.site.db)) == 2, "they still wait"
    root.rmdir()
    elsewhere.rename(root)
    assert (root / EPOCH_FILE).exists()
    await farm.follow()
    assert bucket.objects == before
    farm.site.webroot.tree_epoch.release()


async def test_a_published_wheel_is_not_removed_because_the_disk_lacks_it(
    farm: BucketFarm, bucket: FakeBucket, caplog: pytest.LogCaptureFixture
) -> None:
    wheel = await farm.install("demo")
    await farm.follow()
    before = dict(bucket.objects)
    webroot = farm.site.webroot
    webroot.wheel_path(wheel.sha256, wheel.filename).unlink()
    webroot.metadata_path(wheel.sha256, wheel.filename).unlink()
    await record(farm, "wheel", "demo", f"{wheel.sha256}/{wheel.filename}")
    await farm.follow()
    assert bucket.objects == before
    assert "1 wheel of demo in the database and not in the web root" in caplog.text
    await farm.site.db.execute("DELETE FROM files")
    await farm.site.db.execute("UPDATE bucket_changes SET due_at = now()")
    await farm.follow()
    assert not any(wheel.filename in key for key in bucket.objects)


async def test_a_page_waits_for_a_wheel_that_was_postponed(
    farm: BucketFarm, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bucket_changes.follow(farm.site.db, farm.follower.target)
    wheel = await farm.install("demo")
    path = farm.site.webroot.wheel_path(wheel.sha256, wheel.filename)
    opened = Path.open

    def refuse(file: Path, mode: str = "r") -> object:
        if file == path:
            raise OSError(5, "Input/output error")
        return opened(file, mode)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        await farm.copy_all()
        write_page(farm, "demo")
        await record(farm, "simple", "demo")
        await farm.copy_all()
        assert not any("demo" in key for key in bucket.done if not key.startswith("logs/"))
    await record(farm, "simple", "demo")
    await farm.copy_all()
    wheel_key = str(path.relative_to(farm.site.webroot.root))
    assert bucket.done.index(wheel_key) < bucket.done.index("simple/demo/index.v1_json")


async def test_a_removal_that_was_postponed_stays_so_when_the_page_is_written_again(
    farm: BucketFarm, bucket: FakeBucket
) -> None:
    wheel = await farm.install("demo")
    write_page(farm, "demo")
    await farm.follow()
    await farm.site.db.execute("DELETE FROM files")
    farm.site.webroot.wheel_path(wheel.sha256, wheel.filename).unlink()
    farm.follower.deletion_delay_s = 3600.0
    await record(farm, "wheel", "demo", f"{wheel.sha256}/{wheel.filename}")
    due_at = "SELECT max(due_at) FROM bucket_changes WHERE kind = 'wheel'"
    await record(farm, "simple", "demo")
    await farm.copy_all()
    first = await farm.site.db.value(due_at)
    await record(farm, "simple", "demo")
    await farm.copy_all()
    assert await farm.site.db.value(due_at) == first
    assert any(wheel.filename in key for key in bucket.objects)


async def test_a_wheel_that_is_committed_during_the_start_is_copied(
    farm: BucketFarm, bucket: FakeBucket
) -> None:
    """Its transaction began before there was a bucket."""
    db = farm.site.db
    async with await Database.connect(db.dsn, role="bucket") as follower_db:
        farm.follower.db = follower_db

        async def publish() -> "tuple[str, asyncio.Task[bool]]":
            wheel = await farm.install("demo")
            started = asyncio.create_task(bucket_changes.follow(follower_db, "s3://fake"))
            waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
            async with asyncio.timeout(WAIT_S):
                while not (started.done() or await db.value(waits)):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            if started.done():
                await farm.copy_all()
            return wheel.filename, started

        await catalog.add_project(db, "demo", "demo")
        filename, started = await db.in_transaction(publish)
        assert await started
        await farm.copy_all()
    assert any(key.endswith(filename) for key in bucket.objects)


async def test_many_removed_logs_do_not_delay_the_index(
    farm: BucketFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = farm.site.db
    await bucket_changes.follow(db, farm.follower.target)
    await farm.copy_all()
    await bucket_changes.record_logs(db, range(1, 250))
    most = max(1, bucket_changes._SITE_CHANGES)
    changes = await bucket_changes.next_site_changes(db)
    assert [int(it.subject) for it in changes] == list(range(1, most + 1))
    monkeypatch.setattr("piwheels.bucket.follower._PROJECTS", 1)
    for number in range(3):
        await record(farm, "project", f"project{number}")
    await db.execute("DELETE FROM bucket_changes WHERE kind = 'log'")
    await record(farm, "simple", "urgent")
    await farm.follower._copy_site_changes(await bucket_changes.next_site_changes(db))
    left = await bucket_changes.next_site_changes(db)
    assert [it.project for it in left] == ["project1", "project2"]


async def test_too_many_changes_that_wait_are_compared_instead(
    farm: BucketFarm, bucket: FakeBucket
) -> None:
    """And nothing is lost of what happened meanwhile: it was added, changed or removed."""
    db = farm.site.db
    wheels = [await farm.install("gone"), await farm.install("demo")]
    await farm.site.write_all()
    await farm.follow()
    for number in range(3):
        await farm.publish("demo", f"2.{number}")
    await farm.remove("gone")
    await bucket_changes.record_key(db, "stray.txt")
    await bucket_changes.record_key(db, "stray.txt")
    waiting = await db.value("SELECT count(*) FROM bucket_changes")
    assert await bucket_changes.limit_waiting(db, waiting) is None
    farm.follower.max_waiting = waiting - 1
    await farm.follower._limit_waiting()
    left = await db.rows(
        "SELECT kind, project, subject FROM bucket_changes ORDER BY kind, project, subject"
    )
    assert len(left) < waiting
    assert ("wheel", "gone", f"{wheels[0].sha256}/{wheels[0].filename}") in [
        tuple(row.values()) for row in left
    ]
    assert ("simple", "gone", "") in [tuple(row.values()) for row in left], "before the wheel"
    assert [row["subject"] for row in left if row["kind"] == "object"] == ["stray.txt"]
    assert not [row for row in left if row["project"] == "demo"]
    progress = await bucket_changes.bucket_progress(db)
    assert progress is not None
    assert (progress.first_copy, progress.is_comparison) == ("index", True)
    assert "comparing all of the index because too many changes waited" in _bucket_text(
        progress, "", datetime.now(UTC)
    )
    await farm.follow()
    await farm.follow()  # the removed wheel, after the delay
    assert set(bucket.objects) == set(expected_objects(farm.site.webroot.root))


async def test_whether_an_object_is_about_to_be_copied_is_looked_up(farm: BucketFarm) -> None:
    db = farm.site.db
    await bucket_changes.follow(db, "s3://fake")
    while await bucket_changes.record_first_copy(db):
        pass
    await db.execute(
        """
        INSERT INTO bucket_changes (is_index, kind, project, subject)
        SELECT true, 'wheel', 'project' || number, sha256(number::text::bytea)::text || '/a.whl'
          FROM generate_series(1, 5000) AS number
         UNION ALL
        SELECT false, 'log', '', number::text FROM generate_series(1, 5000) AS number
        """
    )
    await db.execute("ANALYZE bucket_changes")
    sha256 = "ab" * 32
    await record(farm, "wheel", "demo", f"{sha256}/demo.whl")
    for key, expected in {
        f"packages/ab/{sha256}/demo.whl": True,
        f"packages/ab/{'ac' * 32}/demo.whl": False,
        "logs/0000/0042/42.txt": True,
        "logs/0000/9999/9999.txt": False,
        "simple/demo/index.html": False,
        "stray.txt": False,
    }.items():
        assert await bucket_changes.is_key_pending(db, key) is expected
        plans = await executed_plans(db, partial(bucket_changes.is_key_pending, db, key))
        assert rows_read(plans, "bucket_changes") <= 2, key


async def test_the_progress_of_a_first_copy(farm: BucketFarm) -> None:
    db = farm.site.db
    for number in range(30):
        await catalog.add_project(db, f"project{number}", f"project{number}")
        await catalog.add_releases(db, [make_release(f"project{number}")], RULES)
    await row_counts.fold_row_counts(db)
    await bucket_changes.follow(db, farm.follower.target)
    seen = []
    while await bucket_changes.record_first_copy(db):
        progress = await bucket_changes.bucket_progress(db)
        assert progress is not None
        seen.append((progress.first_copy, round(progress.fraction, 3)))
    index = [("index", 0.667), ("index", 1.0)]
    site = [("site", 0.0), ("site", 0.667), ("site", 1.0)]
    assert seen == [*index, *site, ("done", 1.0)]


async def test_logs_are_copied_before_the_page_of_their_project(
    farm: BucketFarm, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when they are too many to be read at once."""
    monkeypatch.setattr("piwheels.db.bucket_changes._SITE_CHANGES", 2)
    await bucket_changes.follow(farm.site.db, farm.follower.target)
    root = farm.site.webroot.root
    for build in range(1, 6):
        farm.site.webroot.write(farm.site.webroot.log_path(build), gzip.compress(b"a log"))
    farm.site.webroot.write_page(root / "project/demo/index.html", b"page")
    for build in range(1, 6):
        await record(farm, "log", "demo", str(build))
    await record(farm, "project", "demo")
    await farm.copy_all()
    done = [key for key in bucket.done if key.startswith(("logs/", "project/"))]
    assert len(done) == 6
    assert done[-1] == "project/demo/index.html"
