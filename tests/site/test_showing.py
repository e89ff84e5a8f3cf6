"""The pages that people read, written from a real database into a real tree."""

import asyncio
import errno
import gzip
import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from piwheels.db import catalog, jobs, pages
from piwheels.db import site as site_db
from piwheels.db.database import Database
from piwheels.db.pages import Part
from piwheels.model import Outcome
from piwheels.site import project, publish, showing, writing
from tests.db.world import RULES, TARGETS, a_build, a_release
from tests.site.farm import Farm
from tests.site.making import check_harmless

CP39 = TARGETS[0].name
SINGLE = [
    "index.html", "packages.html", "packages.json", "stats.html", "stats.json", "faq.html",
    "json.html", "404.html", "robots.txt", "sitemap.xml", "sitemap-1.xml", "failures.xml",
    "schema/project.json", "stats/years.json", "search/_.json",
]  # fmt: skip


async def stale(db: Database, part: Part = Part.PROJECT) -> list[str]:
    """The pages of a part that are to be written now."""
    await pages.gather(db, pages.SITE_PARTS)
    return sorted(page.name for page in await pages.stale(db, part, 1000))


def times(root: Path) -> dict[str, int]:
    """When each file of the tree was written."""
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


# --- what is written ---


async def test_an_empty_farm_has_every_page_but_those_of_projects(site: Farm) -> None:
    await site.write_all()
    for name in SINGLE:
        content = site.shown(name)
        if name.endswith(".html"):
            check_harmless(content.encode())
        if name.endswith(".xml"):
            ET.fromstring(content)
        if name.endswith("json"):
            json.loads(content)
    assert not (site.webroot.root / "project").exists()


async def test_a_farm_with_one_project_shows_it_everywhere(site: Farm) -> None:
    wheel = await site.publish("alpha")
    await site.write_all()
    page = site.shown("project/alpha/index.html")
    assert wheel.filename in check_harmless(page.encode()).text
    assert json.loads(site.shown("project/alpha/json"))["releases"][0]["files"]
    assert "alpha 1.0" in site.shown("project/alpha/feed.xml")
    assert "project/alpha/" in site.shown("index.html")
    assert "project/alpha/" in site.shown("packages.html")
    assert "/project/alpha/" in site.shown("sitemap-1.xml")
    assert json.loads(site.shown("packages.json"))["projects"] == [["alpha", 1, 0]]


async def test_only_what_says_something_else_is_written(site: Farm) -> None:
    await site.publish("alpha")
    await site.publish("beta")
    await site.write_all()
    before = times(site.webroot.root / "project")
    await pages.mark(site.db, None, None)
    await site.publisher.write_pending()
    assert await site.showing.write_pending() >= 2
    assert times(site.webroot.root / "project") == before
    await site.publish("beta", "2.0")
    await site.write_all()
    after = times(site.webroot.root / "project")
    assert {Path(path).parent.name for path in after if before[path] != after[path]} == {"beta"}


async def test_a_page_follows_a_job_from_the_queue_to_its_failure(site: Farm) -> None:
    async def shows(*words: str) -> None:
        await site.write_all()
        text = " ".join(
            check_harmless(site.shown("project/alpha/index.html").encode()).text.split()
        )
        for word in words:
            assert word in text

    await catalog.add_project(site.db, "alpha", "Alpha")
    await shows("None is known yet")
    await catalog.add_releases(site.db, [a_release("alpha")], RULES)
    await shows("queued", "place 1")
    job = await jobs.claim(site.db, "pi4-kitchen", [CP39])
    assert job is not None
    await shows("building", "It has been building on pi4-kitchen since")
    await jobs.settle(site.db, a_build(job, "pi4-kitchen", Outcome.FAILED), [], RULES, None)
    await shows("failed", "it broke", f"Build {job.build} ended as failed (it broke)")
    await jobs.retry(site.db, "alpha")
    await shows("queued")
    await catalog.skip_project(site.db, "alpha", "opted out")
    await shows("skipped", "Nothing of this project is built: opted out")
    await catalog.skip_project(site.db, "alpha", None)
    await catalog.set_yanked(site.db, "alpha", "1.0", "too slow")
    await shows("yanked", "too slow")


async def test_a_removed_project_leaves_the_site(site: Farm) -> None:
    await site.publish("alpha")
    await site.write_all()
    await catalog.remove_project(site.db, "alpha")
    await site.write_all()
    assert not site.webroot.project("alpha").exists()


async def test_pages_of_releases_that_are_no_longer_needed_go(site: Farm) -> None:
    await catalog.add_project(site.db, "alpha", "alpha")
    many = [a_release("alpha", f"{number}.0") for number in range(40)]
    await catalog.add_releases(site.db, many, RULES)
    await site.write_all()
    assert (site.webroot.project("alpha") / "releases-2.html").exists()
    await catalog.remove_project(site.db, "alpha")
    await catalog.add_project(site.db, "alpha", "alpha")
    await catalog.add_releases(site.db, many[:2], RULES)
    await site.write_all()
    there = {path.name for path in site.webroot.project("alpha").iterdir()}
    assert there == {
        name for page in ("index.html", "json", "feed.xml") for name in (page, f"{page}.gz")
    }


async def test_a_failure_of_what_was_built_before_is_in_the_feed(site: Farm) -> None:
    await catalog.add_project(site.db, "fresh", "fresh")
    await site.publish("alpha", "1.0")
    for name, version in (("alpha", "2.0"), ("fresh", "1.0")):
        await catalog.add_releases(site.db, [a_release(name, version)], RULES)
        job = await jobs.claim(site.db, "builder", [CP39])
        assert job is not None
        await jobs.settle(site.db, a_build(job, "builder", Outcome.FAILED), [], RULES, None)
    await site.write_all()
    feed = site.shown("failures.xml")
    assert f"alpha 2.0 for {CP39}: failed" in feed
    assert "fresh" not in feed


async def download(db: Database, day: date, counts: dict[str, int]) -> None:
    """Have projects be downloaded on a day, as the roll-ups tell it."""
    await db.execute(
        """
        INSERT INTO download_days (day, counted) VALUES (%(day)s, 1)
            ON CONFLICT (day) DO UPDATE SET counted = download_days.counted + 1
        """,
        {"day": day},
    )
    for name, count in counts.items():
        await db.execute(
            f"""
            INSERT INTO download_projects (month, project, downloads, days)
            VALUES (date_trunc('month', %(day)s::date), %(project)s, %(count)s,
                    '[{day.day}:{day.day}]={{{count}}}'::integer[])
                ON CONFLICT (month, project) DO UPDATE
               SET downloads = download_projects.downloads + excluded.downloads,
                   days[{day.day}] = excluded.days[{day.day}]
            """,
            {"day": day, "project": name, "count": count},
        )


async def test_a_few_downloads_show_on_the_pages_soon(site: Farm) -> None:
    await site.publish("alpha")
    await site.publish("beta")
    await site.write_all()
    today = datetime.now(UTC).date()
    await download(site.db, today, {"alpha": 7, "unknown": 3})
    await site.showing.heed_downloads()
    assert await stale(site.db) == ["alpha", "unknown"]
    await site.write_all()
    assert json.loads(site.shown("project/alpha/json"))["downloads_by_day"] == {f"{today}": 7}
    assert not site.webroot.project("unknown").exists()
    await site.showing.heed_downloads()
    assert await stale(site.db) == []


async def test_many_downloads_show_when_their_day_is_over(
    site: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_FEW", 1)
    for name in ("alpha", "beta", "gamma"):
        await site.publish(name)
    await site.write_all()
    today = datetime.now(UTC)
    await download(site.db, today.date(), {"alpha": 1, "beta": 2})
    await site.showing.heed_downloads(today)
    assert await stale(site.db) == []
    await site.showing.heed_downloads(today + timedelta(days=1))
    assert await stale(site.db) == ["alpha", "beta"]
    await site.write_all()
    await site.showing.heed_downloads(today + timedelta(days=1))
    assert await stale(site.db) == []


def restarted(site: Farm) -> showing.Showing:
    old = site.showing
    return showing.Showing(
        db=site.db, webroot=site.webroot, executor=old.executor, site=old.site, pause_s=0.0
    )


async def test_downloads_of_days_that_ended_while_nobody_looked_show_afterwards(
    site: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_FEW", 0)
    for name in ("alpha", "beta", "gamma", "delta"):
        await site.publish(name)
    await site.write_all()
    today = datetime.now(UTC)
    await site.showing.heed_downloads(today)
    for days, name in enumerate(("alpha", "beta", "gamma", "delta")):
        await download(site.db, (today + timedelta(days=days)).date(), {name: 1})
    later = today + timedelta(days=3)
    await restarted(site).heed_downloads(later)
    assert await stale(site.db) == ["alpha", "beta", "gamma"]
    await site.write_all()
    await restarted(site).heed_downloads(later)
    assert await stale(site.db) == []


async def test_downloads_of_a_log_that_is_read_the_day_after_show_a_day_later(
    site: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_FEW", 0)
    await site.publish("alpha")
    await site.write_all()
    today = datetime.now(UTC)
    tomorrow = today + timedelta(days=1)
    await site.showing.heed_downloads(tomorrow)
    await download(site.db, today.date(), {"alpha": 1})
    await site.showing.heed_downloads(tomorrow)
    assert await stale(site.db) == []
    await site.showing.heed_downloads(tomorrow + timedelta(days=1))
    assert await stale(site.db) == ["alpha"]


async def test_the_queue_is_sampled_and_shown(site: Farm) -> None:
    await catalog.add_project(site.db, "alpha", "alpha")
    await catalog.add_releases(site.db, [a_release("alpha")], RULES)
    await site.write_all()
    queue = json.loads(site.shown("stats/queue.json"))
    assert [series["values"] for series in queue["series"]] == [[1]]


async def test_samples_of_the_queue_are_thinned_with_age(site: Farm) -> None:
    await site.db.execute(
        """
        INSERT INTO queue_samples (at, target, pending, claimed)
        SELECT at, %(target)s, 1, 0
          FROM generate_series(date_trunc('day', now()) - interval '2 years', now(),
                               interval '10 minutes') AS at
        """,
        {"target": CP39},
    )
    await site_db.sample_queue(site.db)
    counts = await site.db.row(
        """
        SELECT count(*) FILTER (WHERE at < now() - interval '1 year 1 day') AS days,
               count(*) FILTER (WHERE at BETWEEN now() - interval '41 days'
                                             AND now() - interval '31 days') AS hours
          FROM queue_samples
        """
    )
    assert counts is not None
    assert 362 <= counts["days"] <= 366
    assert 239 <= counts["hours"] <= 241


# --- what is stale ---


async def test_many_changes_of_a_project_are_one_page(site: Farm) -> None:
    for version in ("1.0", "2.0", "3.0"):
        await site.publish("alpha", version)
    assert await stale(site.db) == ["alpha"]


async def test_a_look_at_the_upstream_changes_no_page(site: Farm) -> None:
    await site.publish("alpha")
    await site.write_all()
    await site.db.execute("UPDATE projects SET seen = 'later', next_poll = now()")
    await catalog.add_releases(site.db, [a_release("alpha")], RULES)
    assert await stale(site.db) == []


async def test_another_target_concerns_every_project(site: Farm) -> None:
    for name in ("alpha", "beta"):
        await catalog.add_project(site.db, name, name)
    await site.write_all()
    await catalog.add_target(site.db, TARGETS[1], RULES)
    await pages.gather(site.db, pages.SITE_PARTS)
    assert await pages.expand(site.db) == 2
    assert await stale(site.db) == ["alpha", "beta"]
    await site.write_all()
    assert TARGETS[1].name in site.shown("index.html") or await stale(site.db) == []


async def test_a_busy_project_is_written_at_once_and_then_at_most_once_in_a_pause(
    site: Farm,
) -> None:
    site.showing.pause_s = 3600.0
    await site.publish("alpha")
    await site.write_all()
    await site.publish("alpha", "2.0")
    await site.write_all()
    assert "2.0" not in site.shown("project/alpha/json")
    await site.db.execute("UPDATE stale_pages SET written_at = now() - interval '2 hours'")
    await site.write_all()
    assert "2.0" in site.shown("project/alpha/json")


async def test_an_operator_need_not_wait(site: Farm) -> None:
    site.showing.pause_s = 3600.0
    await site.publish("alpha")
    await site.write_all()
    await site.publish("alpha", "2.0")
    assert await pages.mark(site.db, None, "alpha") == 2
    await site.write_all()
    assert "2.0" in site.shown("project/alpha/json")


@pytest.mark.parametrize(
    ("part", "file"),
    [
        (Part.HOME, "index.html"),
        (Part.STATS, "stats.html"),
        (Part.SEARCH, "packages.json"),
        (Part.SITEMAPS, "sitemap.xml"),
        (Part.FAILURES, "failures.xml"),
        (Part.STATIC, "faq.html"),
        (Part.PROJECTS, "project/alpha/json"),
        (Part.SIMPLE, "simple/alpha/index.html"),
    ],
)
async def test_one_part_can_be_written_again(site: Farm, part: Part, file: str) -> None:
    await site.publish("alpha")
    await site.write_all()
    damaged = [site.webroot.root / name for name in ("index.html", "stats.html", file)]
    for path in damaged:
        path.write_bytes(b"damaged")
    await pages.mark(site.db, part, None)
    await site.write_all()
    assert (site.webroot.root / file).read_bytes() != b"damaged"
    others = [path for path in damaged if path.name != Path(file).name]
    assert all(path.read_bytes() == b"damaged" for path in others)


# --- order, faults, restarts ---


async def test_nothing_is_begun_while_an_index_page_waits(site: Farm) -> None:
    await site.publish("alpha")
    task = asyncio.create_task(site.showing.write_pending())
    page = site.webroot.root / "index.html"
    seen = await site.db.value("SELECT count(*) FROM page_changes WHERE part = 'simple'")
    for _ in range(5):
        await asyncio.sleep(0)
        assert not page.exists()
    assert seen
    await site.publisher.write_pending()
    simple = (site.webroot.simple("alpha") / "index.html").stat().st_mtime_ns
    async with asyncio.timeout(20):
        await task
    assert page.stat().st_mtime_ns >= simple
    assert (site.webroot.project("alpha") / "index.html").exists()


async def test_a_page_that_cannot_be_rendered_holds_no_other_up(
    site: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha", "beta", "gamma"):
        await site.publish(name)
    render = project.render_project

    def failing(*arguments: object) -> dict[str, bytes]:
        if arguments[1].facts.project == "beta":  # type: ignore[attr-defined]
            raise ValueError("a strange project")
        return render(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(writing, "render_project", failing)
        await site.write_all()
    shown = {path.name for path in (site.webroot.root / "project").iterdir()}
    assert shown == {"alpha", "gamma"}
    assert (site.webroot.simple("beta") / "index.html").exists()
    assert await pages.stale_count(site.db) == 1
    assert await stale(site.db) == []
    await site.db.execute("UPDATE stale_pages SET retry_at = now() WHERE retry_at IS NOT NULL")
    await site.write_all()
    assert (site.webroot.project("beta") / "index.html").exists()


async def test_a_project_of_which_the_database_holds_nonsense_holds_no_other_up(
    site: Farm,
) -> None:
    for name in ("alpha", "beta"):
        await site.publish(name)
    await site.db.execute(
        """
        INSERT INTO releases (project, version, released_at, requires_python)
        VALUES ('alpha', 'not a version', now(), '')
        """
    )
    await site.write_all()
    assert {path.name for path in (site.webroot.root / "project").iterdir()} == {"beta"}
    await catalog.remove_release(site.db, "alpha", "not a version")
    await pages.mark(site.db, None, "alpha")
    await site.write_all()
    assert (site.webroot.project("alpha") / "index.html").exists()


async def test_a_single_page_that_fails_holds_no_other_up(
    site: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise ValueError("no figures today")

    await site.publish("alpha")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_stats", failing)
        await site.write_all()
    assert not (site.webroot.root / "stats.html").exists()
    for name in ("index.html", "sitemap.xml", "project/alpha/index.html"):
        assert (site.webroot.root / name).exists()
    await pages.mark(site.db, Part.STATS, None)
    await site.write_all()
    assert (site.webroot.root / "stats.html").exists()


async def test_a_single_page_that_was_asked_for_and_fails_is_put_off(
    site: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def failing(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise ValueError("no figures today")

    await site.write_all()
    await pages.mark(site.db, Part.STATS, None)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_stats", failing)
        for _ in range(3):
            await site.write_all()
    assert tries == 1
    assert await pages.stale_count(site.db, [Part.STATS]) == 1
    await pages.mark(site.db, Part.STATS, None)
    await site.write_all()
    assert await pages.stale_count(site.db, [Part.STATS]) == 0


async def test_chores_are_done_while_many_pages_wait(
    site: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []

    async def chore() -> None:
        waiting.append(await pages.stale_count(site.db, [Part.PROJECT]))

    monkeypatch.setattr(showing, "_BATCH", 1)
    monkeypatch.setattr(showing, "_REST", 0.0)
    monkeypatch.setattr(site.showing, "_chores", [showing.Clock(0.0, chore)])
    for name in ("alpha", "beta", "gamma"):
        await site.publish(name)
    await site.write_all()
    assert len([count for count in waiting if count]) >= 2


async def test_a_full_disk_is_waited_out(site: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.publish("alpha")
    await site.publisher.write_pending()
    monkeypatch.setattr(publish, "_FULL_DISK_DELAY_S", 0.01)
    write = writing.write_projects
    tries = 0

    def full(*arguments: object) -> dict[str, str]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "write_projects", full)
    await publish.persist(site.showing.write_pending, site.webroot.root)
    assert tries == 3
    assert (site.webroot.project("alpha") / "index.html").exists()


WRITER = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from piwheels.db.database import Database
from piwheels.site.content import Site
from piwheels.site.showing import Showing
from piwheels.webroot import Webroot

async def main():
    async with await Database.connect(sys.argv[1], duty="show") as db:
        with ThreadPoolExecutor(1) as pool:
            site = Site(url="https://wheels.example.org/")
            await Showing(db=db, webroot=Webroot(Path(sys.argv[2])), executor=pool, site=site).run()

asyncio.run(main())
"""


async def test_what_waits_to_be_written_survives_a_kill(site: Farm, dsn: str) -> None:
    names = [f"project-{number}" for number in range(150)]
    for name in names:
        await catalog.add_project(site.db, name, name)
    root = site.webroot.root
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, dsn, str(root))
    try:
        async with asyncio.timeout(60):
            while not (root / "project").exists():  # noqa: ASYNC110 - nothing tells of a file
                await asyncio.sleep(0.01)
    finally:
        process.kill()
        await process.wait()
    for path in root.rglob("*.gz"):
        gzip.decompress(path.read_bytes())
    there = {path.name for path in (root / "project").iterdir()}
    assert await pages.stale_count(site.db) > 0
    assert len(there) < len(names)
    await site.showing.write_pending()
    for name in names:
        site.shown(f"project/{name}/index.html")
        site.shown(f"project/{name}/json")
    assert await pages.stale_count(site.db) == 0
    assert not list(root.rglob(".*"))


# --- other names ---


async def test_another_name_leads_to_its_project(site: Farm) -> None:
    await site.publish("alpha")
    assert await site_db.set_alias(site.db, "Old.Alpha", "alpha")
    assert not await site_db.set_alias(site.db, "Old.Alpha", "alpha")
    await site.write_all()
    page = (site.webroot.project("Old.Alpha") / "index.html").read_text()
    assert 'content="0; url=../alpha/"' in page
    assert "Old.Alpha" in site.shown("project/alpha/index.html")
    await site_db.set_alias(site.db, "Old.Alpha", None)
    await site.write_all()
    assert not site.webroot.project("Old.Alpha").exists()
    assert "Old.Alpha" not in site.shown("project/alpha/index.html")


async def test_a_display_name_leads_to_its_project(site: Farm) -> None:
    await catalog.add_project(site.db, "markupsafe", "MarkupSafe")
    await catalog.add_project(site.db, "evil", "../../evil")
    await site.write_all()
    page = (site.webroot.project("MarkupSafe") / "index.html").read_text()
    assert 'content="0; url=../markupsafe/"' in page
    assert {path.name for path in (site.webroot.root / "project").iterdir()} == {
        "MarkupSafe", "evil", "markupsafe",
    }  # fmt: skip
    await catalog.remove_project(site.db, "markupsafe")
    await site.write_all()
    assert {path.name for path in (site.webroot.root / "project").iterdir()} == {"evil"}


async def test_a_project_of_that_very_name_is_itself(site: Farm) -> None:
    await site.publish("alpha")
    await site.publish("old-alpha")
    await site_db.set_alias(site.db, "old-alpha", "alpha")
    await site.write_all()
    assert "refresh" not in site.shown("project/old-alpha/index.html")
    await catalog.remove_project(site.db, "old-alpha")
    await site.write_all()
    page = (site.webroot.project("old-alpha") / "index.html").read_text()
    assert 'content="0; url=../alpha/"' in page
    await site.publish("old-alpha")
    await site.write_all()
    assert "refresh" not in site.shown("project/old-alpha/index.html")
