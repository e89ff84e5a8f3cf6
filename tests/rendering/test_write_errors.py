"""Pages that cannot be written: reported, retried, and without delaying others."""

from pathlib import Path

import pytest

from piwheels.db import history, page_queue
from piwheels.db.page_queue import PageKind
from piwheels.webroot import replace_file
from tests.website.harness import SiteHarness


async def events(site: SiteHarness) -> list[str]:
    found = await history.recent_events(site.db, limit=10, before=None)
    return [event.text for event in found]


async def retry_delay_s(site: SiteHarness) -> float:
    """The delay of the only failed page."""
    return float(
        await site.db.value(
            "SELECT extract(epoch FROM retry_at - now()) FROM page_queue WHERE retry_at > now()"
        )
    )


async def make_due(site: SiteHarness) -> None:
    await site.db.execute("UPDATE page_queue SET retry_at = now() WHERE retry_at IS NOT NULL")
    await site.write_all()


@pytest.mark.parametrize("folder", ["simple", "project"])
async def test_a_file_at_the_path_of_a_project_directory_does_not_delay_others(
    site: SiteHarness, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = site.webroot.root / folder / "beta"
    replace_file(in_the_way, b"in the way")
    for name in ("alpha", "beta", "gamma"):
        await site.publish(name)
    await site.write_all()
    for name in ("alpha", "gamma"):
        assert (site.webroot.root / folder / name / "index.html").exists()
    assert {item["name"] for item in site.page()["projects"]} == {"alpha", "beta", "gamma"}
    assert str(in_the_way) in caplog.text
    (event,) = await events(site)
    assert str(in_the_way) in event
    assert "retried" in event

    assert 0 < (first := await retry_delay_s(site)) <= 30
    await make_due(site)
    assert first < await retry_delay_s(site) <= 60
    assert len(await events(site)) == 1, "what goes on failing is no news"

    in_the_way.unlink()
    await make_due(site)
    assert (in_the_way / "index.html").exists()
    assert await page_queue.pending_page_count(site.db) == 0


async def test_a_directory_at_the_path_of_the_project_list_does_not_delay_pages(
    site: SiteHarness,
) -> None:
    in_the_way = site.webroot.simple_dir() / "index.html"
    in_the_way.mkdir(parents=True)
    await site.publish("alpha")
    await site.publisher.write_pending()
    assert site.page("alpha")["files"]
    assert [str(in_the_way) in event for event in await events(site)] == [True]
    in_the_way.rmdir()
    await make_due(site)
    assert site.page()["projects"] == [{"name": "alpha"}]


async def test_a_project_that_cannot_be_removed_does_not_delay_others(
    site: SiteHarness,
) -> None:
    for name in ("alpha", "beta"):
        await site.publish(name)
    await site.write_all()
    page = site.webroot.simple_dir("alpha") / "index.html"
    page.unlink()
    page.mkdir()
    for name in ("alpha", "beta"):
        await site.db.execute("DELETE FROM projects WHERE project = %(name)s", {"name": name})
    await site.write_all()
    assert not site.webroot.simple_dir("beta").exists()
    assert [str(page) in event for event in await events(site)] == [True]


@pytest.mark.parametrize(
    ("part", "in_the_way"),
    [
        (PageKind.STATS, "stats"),
        (PageKind.STATIC, "static"),
        (PageKind.SEARCH, "search"),
        (PageKind.SITEMAPS, "sitemap.xml/folder"),
    ],
)
async def test_a_single_page_that_cannot_be_written_does_not_delay_others(
    site: SiteHarness, part: PageKind, in_the_way: str
) -> None:
    await site.publish("alpha")
    replace_file(site.webroot.root / in_the_way, b"in the way")
    await page_queue.request_rewrite(site.db, part, None)
    await site.write_all()
    assert (site.webroot.root / "index.html").exists()
    assert site.shown("project/alpha/index.html")
    (event,) = await events(site)
    assert str(Path(site.webroot.root) / in_the_way.partition("/")[0]) in event
