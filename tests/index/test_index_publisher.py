"""The index publisher with a real database and web root."""

import asyncio
import errno
from collections.abc import Iterable
from pathlib import Path

import pytest

from piwheels.db import catalog, page_queue
from piwheels.db.page_queue import PageKind
from piwheels.index import index_publisher
from piwheels.webroot import Webroot
from tests.db.scenario import mark_yanked
from tests.timeouts import WAIT_S
from tests.website.harness import SiteHarness


async def test_a_new_wheel_is_on_its_page_and_its_project_in_the_list(site: SiteHarness) -> None:
    wheel = await site.publish("alpha")
    assert await site.publisher.write_pending() == 2
    assert [file["filename"] for file in site.page("alpha")["files"]] == [wheel.filename]
    assert site.page()["projects"] == [{"name": "alpha"}]
    assert await site.publisher.write_pending() == 0


async def test_only_changed_pages_are_written(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.publish("beta")
    await site.publisher.write_pending()
    before = site.written_at()
    await page_queue.request_rewrite(site.db, page_queue.PageKind.SIMPLE, None)
    assert await site.publisher.write_pending() > 0
    assert site.written_at() == before
    await site.publish("beta", "2.0")
    await site.publisher.write_pending()
    changed = {path for path, when in site.written_at().items() if before[path] != when}
    assert {Path(path).parent.name for path in changed} == {"beta"}


async def test_a_yank_and_a_quarantine_appear_on_the_page(site: SiteHarness) -> None:
    await site.publish("alpha")
    await mark_yanked(site.db, "alpha", "1.0", "broken")
    await site.publisher.write_pending()
    assert site.page("alpha")["files"][0]["yanked"] == "broken"
    await site.db.execute("UPDATE projects SET status = 'quarantined'")
    await site.publisher.write_pending()
    assert site.page("alpha")["files"] == []


async def test_a_removed_release_is_removed_from_its_page_and_then_deleted(
    site: SiteHarness,
) -> None:
    kept = await site.publish("alpha", "1.0")
    gone = await site.publish("alpha", "2.0")
    await site.publisher.write_pending()
    await catalog.remove_release(site.db, "alpha", "2.0")
    await site.publisher.write_pending()
    assert [file["filename"] for file in site.page("alpha")["files"]] == [kept.filename]
    assert site.webroot.wheel_path(kept.sha256, kept.filename).exists()
    assert not site.webroot.wheel_path(gone.sha256, gone.filename).parent.exists()


async def test_files_are_deleted_in_reverse_order(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await site.publish("alpha")
    await site.publisher.write_pending()
    remove = Webroot.remove
    order: list[str] = []

    def watched(webroot: Webroot, paths: Iterable[Path]) -> None:
        listed = list(paths)
        order.extend(path.name for path in listed)
        remove(webroot, listed)

    monkeypatch.setattr(Webroot, "remove", watched)
    await catalog.remove_project(site.db, "alpha")
    await site.publisher.write_pending()
    assert order == [
        *("index.html", "index.html.gz", "index.v1_json", "index.v1_json.gz"),
        *(f"{gone.filename}.provenance.json", f"{gone.filename}.metadata", gone.filename),
    ]


async def test_a_page_that_was_not_written_stays_queued(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> dict[str, str]:
        raise OSError(errno.ENOSPC, "No space left on device")

    await site.publish("alpha")
    with monkeypatch.context() as patch:
        patch.setattr(index_publisher, "write_pages", full)
        with pytest.raises(OSError, match="No space"):
            await site.publisher.write_pending()
    assert [page.key for page in await page_queue.pages_to_write(site.db, PageKind.SIMPLE, 10)] == [
        "alpha"
    ]
    await site.publisher.write_pending()
    assert len(site.page("alpha")["files"]) == 1


async def test_a_file_is_kept_while_its_page_cannot_be_rewritten(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.publish("alpha", "1.0")
    gone = await site.publish("alpha", "2.0")
    await site.publisher.write_pending()
    await catalog.remove_release(site.db, "alpha", "2.0")
    monkeypatch.setattr(index_publisher, "write_pages", lambda *_: {"alpha": "is a folder"})
    await site.publisher.write_pending()
    assert len(site.page("alpha")["files"]) == 2
    assert site.webroot.wheel_path(gone.sha256, gone.filename).exists()


async def test_the_project_list_is_not_written_for_each_project(site: SiteHarness) -> None:
    site.publisher.project_list_interval_s = 3600.0
    await site.publish("alpha")
    await site.publisher.write_pending()
    await site.publish("beta")
    await site.publisher.write_pending()
    assert [project["name"] for project in site.page()["projects"]] == ["alpha"]
    site.publisher.project_list_interval_s = 0.0
    await site.publisher.write_pending()
    assert [project["name"] for project in site.page()["projects"]] == ["alpha", "beta"]


async def test_a_removed_file_is_kept_for_readers_of_an_older_page(site: SiteHarness) -> None:
    site.publisher.deletion_delay_s = 3600
    gone = await site.publish("alpha")
    await site.publisher.write_pending()
    await catalog.remove_project(site.db, "alpha")
    await site.publisher.write_pending()
    assert not site.webroot.simple_dir("alpha").exists()
    assert site.page()["projects"] == []
    assert site.webroot.wheel_path(gone.sha256, gone.filename).exists()


async def test_a_page_that_changes_while_it_is_written_is_written_again(
    site: SiteHarness,
) -> None:
    await site.publish("alpha")
    await page_queue.collect_changes(site.db, page_queue.INDEX_PAGE_KINDS)
    stale = await page_queue.pages_to_write(site.db, PageKind.SIMPLE, 10)
    await site.publish("alpha", "2.0")
    await page_queue.collect_changes(site.db, page_queue.INDEX_PAGE_KINDS)
    await page_queue.mark_written(site.db, PageKind.SIMPLE, stale)
    assert [page.key for page in await page_queue.pages_to_write(site.db, PageKind.SIMPLE, 10)] == [
        "alpha"
    ]


async def test_the_publisher_wakes_when_something_is_published(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_publisher, "_POLL_S", 3600.0)
    site.publisher.project_list_interval_s = 3600.0
    task = asyncio.create_task(site.publisher.run())
    try:
        for project in ("alpha", "beta", "gamma"):
            await site.publish(project)
            page = site.webroot.simple_dir(project) / "index.html"
            async with asyncio.timeout(WAIT_S):
                while not page.exists():  # noqa: ASYNC110 - nothing tells of a file
                    await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
