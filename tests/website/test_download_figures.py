"""Downloads and the queue on the pages: updates and retention."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from piwheels.db import catalog
from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.model import NamedCount
from piwheels.website import loaders, site_publisher
from tests.db.scenario import RULES, TARGETS, make_release
from tests.website.harness import SiteHarness

CP39 = TARGETS[0].name


async def download(db: Database, day: date, counts: dict[str, int]) -> None:
    """Add downloads of projects on a day to the totals."""
    await db.execute(
        """
        INSERT INTO downloads_daily (day, counted) VALUES (%(day)s, 1)
            ON CONFLICT (day) DO UPDATE SET counted = downloads_daily.counted + 1
        """,
        {"day": day},
    )
    for name, count in counts.items():
        await db.execute(
            f"""
            INSERT INTO downloads_monthly_by_project (month, project, downloads, days)
            VALUES (date_trunc('month', %(day)s::date), %(project)s, %(count)s,
                    '[{day.day}:{day.day}]={{{count}}}'::integer[])
                ON CONFLICT (month, project) DO UPDATE
               SET downloads = downloads_monthly_by_project.downloads + excluded.downloads,
                   days[{day.day}] = excluded.days[{day.day}]
            """,
            {"day": day, "project": name, "count": count},
        )
        await db.execute(
            """
            INSERT INTO downloads_by_project AS t (project, downloads, saved_s)
            VALUES (%(project)s, %(count)s, 0)
                ON CONFLICT (project) DO UPDATE SET downloads = t.downloads + excluded.downloads
            """,
            {"project": name, "count": count},
        )


async def test_few_downloads_appear_on_the_pages_soon(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.publish("beta")
    await site.write_all()
    today = datetime.now(UTC).date()
    await download(site.db, today, {"alpha": 7, "unknown": 3})
    await site.showing.invalidate_downloaded()
    assert await site.queued_pages() == ["alpha", "unknown"]
    await site.write_all()
    assert json.loads(site.shown("project/alpha/v1.json"))["downloads_by_day"] == {f"{today}": 7}
    assert not site.webroot.project_dir("unknown").exists()
    await site.showing.invalidate_downloaded()
    assert await site.queued_pages() == []


async def test_the_last_30_days_are_the_same_days_on_every_page(site: SiteHarness) -> None:
    """Today and the 29 days before it; the day before those counts nowhere."""
    today = datetime.now(UTC).date()
    await site.publish("alpha")
    await download(site.db, today - timedelta(days=29), {"alpha": 3})
    await download(site.db, today - timedelta(days=30), {"alpha": 50})
    for days, count in ((29, 3), (30, 50)):
        await site.db.execute(
            "INSERT INTO downloads_daily_by_dimension "
            "VALUES (%(day)s, 'arch', 'aarch64', %(count)s)",
            {"day": today - timedelta(days=days), "count": count},
        )
    await site.db.execute(
        "UPDATE downloads_daily SET counted = 3 WHERE day = %(day)s",
        {"day": today - timedelta(days=29)},
    )
    await site.db.execute(
        "UPDATE downloads_daily SET counted = 50 WHERE day = %(day)s",
        {"day": today - timedelta(days=30)},
    )
    stats = await loaders.load_stats(site.db)
    shown = {chart.key: chart for chart in stats.share_charts}
    assert stats.downloads.last_30_days == 3
    assert [sum(v for v in shown[key].series[0].values if v) for key in ("top", "arch")] == [3, 3]
    assert (await loaders.load_packages(site.db, [])).top == (NamedCount(name="alpha", count=3),)


async def test_months_and_days_without_downloads_stay_on_the_axis(site: SiteHarness) -> None:
    today = datetime.now(UTC).date()
    await download(site.db, today - timedelta(days=364), {"alpha": 3})
    charts = {chart.key: chart for chart in (await loaders.load_stats(site.db)).time_charts}
    assert len(charts["days"].labels) == 365
    assert charts["days"].labels[-1] == today.isoformat()
    months = charts["months"].labels
    assert months[-1] == f"{today:%Y-%m}"
    assert len(months) in {12, 13}
    assert list(months) == sorted(set(months))
    assert [value for value in charts["months"].series[0].values if value] == [1]
    assert charts["saved"].labels == charts["bytes"].labels == months


async def test_many_downloads_appear_after_the_end_of_the_day(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_publisher, "_MAX_LIVE_PROJECTS", 1)
    for name in ("alpha", "beta", "gamma"):
        await site.publish(name)
    await site.write_all()
    today = datetime.now(UTC)
    await download(site.db, today.date(), {"alpha": 1, "beta": 2})
    await site.showing.invalidate_downloaded(today)
    assert await site.queued_pages() == []
    await site.showing.invalidate_downloaded(today + timedelta(days=1))
    assert await site.queued_pages() == ["alpha", "beta"]
    await site.write_all()
    await site.showing.invalidate_downloaded(today + timedelta(days=1))
    assert await site.queued_pages() == []


def restarted(site: SiteHarness) -> site_publisher.SitePublisher:
    old = site.showing
    return site_publisher.SitePublisher(
        db=site.db,
        webroot=site.webroot,
        executor=old.executor,
        site=old.site,
        min_project_interval_s=0.0,
    )


async def test_downloads_during_an_outage_appear_afterwards(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_publisher, "_MAX_LIVE_PROJECTS", 0)
    for name in ("alpha", "beta", "gamma", "delta"):
        await site.publish(name)
    await site.write_all()
    today = datetime.now(UTC)
    await site.showing.invalidate_downloaded(today)
    for days, name in enumerate(("alpha", "beta", "gamma", "delta")):
        await download(site.db, (today + timedelta(days=days)).date(), {name: 1})
    later = today + timedelta(days=3)
    await restarted(site).invalidate_downloaded(later)
    assert await site.queued_pages() == ["alpha", "beta", "gamma"]
    await site.write_all()
    await restarted(site).invalidate_downloaded(later)
    assert await site.queued_pages() == []


async def test_downloads_of_a_log_read_a_day_late_appear_a_day_later(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_publisher, "_MAX_LIVE_PROJECTS", 0)
    await site.publish("alpha")
    await site.write_all()
    today = datetime.now(UTC)
    tomorrow = today + timedelta(days=1)
    await site.showing.invalidate_downloaded(tomorrow)
    await download(site.db, today.date(), {"alpha": 1})
    await site.showing.invalidate_downloaded(tomorrow)
    assert await site.queued_pages() == []
    await site.showing.invalidate_downloaded(tomorrow + timedelta(days=1))
    assert await site.queued_pages() == ["alpha"]


async def test_the_queue_is_sampled_and_charted(site: SiteHarness) -> None:
    await catalog.add_project(site.db, "alpha", "alpha")
    await catalog.add_releases(site.db, [make_release("alpha")], RULES)
    await site.write_all()
    queue = json.loads(site.shown("stats/queue.json"))
    assert [series["values"] for series in queue["series"]] == [[1]]


async def test_old_queue_samples_are_thinned(site: SiteHarness) -> None:
    await site.db.execute(
        """
        INSERT INTO queue_length_samples (at, target, pending, claimed)
        SELECT at, %(target)s, 1, 0
          FROM generate_series(date_trunc('day', now()) - interval '2 years', now(),
                               interval '10 minutes') AS at
        """,
        {"target": CP39},
    )
    await site_db.record_queue_lengths(site.db)
    counts = await site.db.row(
        """
        SELECT count(*) FILTER (WHERE at < now() - interval '1 year 1 day') AS days,
               count(*) FILTER (WHERE at BETWEEN now() - interval '41 days'
                                             AND now() - interval '31 days') AS hours
          FROM queue_length_samples
        """
    )
    assert counts is not None
    assert 362 <= counts["days"] <= 366
    assert 239 <= counts["hours"] <= 241
