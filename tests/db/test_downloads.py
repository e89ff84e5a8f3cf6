"""Figures from the roll-ups: totals, series, breakdowns, the most downloaded."""

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest

from piwheels.db import downloads
from piwheels.db.database import Database
from piwheels.db.downloads import Dimension
from piwheels.db.series import record_series
from piwheels.model import FarmSeries, NamedCount, SeriesValue

TODAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 12, 30, 30, tzinfo=UTC)


async def add_day(db: Database, day: date, count: int, **more: float) -> None:
    columns = ", ".join(["day", "counted", *more])
    values = ", ".join(f"%({name})s" for name in ["day", "counted", *more])
    await db.execute(
        f"INSERT INTO downloads_daily ({columns}) VALUES ({values})",
        {"day": day, "counted": count, **more},
    )


async def add_project_day(db: Database, project: str, day: date, count: int) -> None:
    await db.execute(
        """
        INSERT INTO downloads_monthly_by_project AS p (month, project, downloads, days)
        VALUES (date_trunc('month', %(day)s), %(project)s, %(count)s,
                array_fill(%(count)s, ARRAY[1], ARRAY[%(place)s]))
            ON CONFLICT (month, project) DO UPDATE
           SET downloads = p.downloads + excluded.downloads,
               days[%(place)s] = coalesce(p.days[%(place)s], 0) + %(count)s
        """,
        {"project": project, "day": day, "place": day.day, "count": count},
    )


async def test_a_farm_without_downloads_has_zeros(database: Database) -> None:
    figures = await downloads.download_totals(database, TODAY)
    assert (figures.downloads, figures.record_day, figures.record_date) == (0, 0, None)
    assert await downloads.per_year(database) == []
    assert await downloads.top_projects(database, TODAY, TODAY) == []
    assert (await downloads.project_total(database, "numpy", TODAY)).downloads == 0
    now = await downloads.live_downloads(database, NOW)
    assert (now.connected, now.total, now.rate_per_s, now.top) == (False, 0, 0.0, ())
    assert now.per_minute == (0,) * 60


async def test_totals_include_today_thirty_days_and_the_record_day(database: Database) -> None:
    await add_day(database, TODAY, 5, counted_bytes=50, counted_saved_s=1.5)
    await add_day(database, TODAY - timedelta(days=29), 70)
    await add_day(database, TODAY - timedelta(days=30), 900, counted_saved_s=2.0)
    figures = await downloads.download_totals(database, TODAY)
    assert (figures.today, figures.last_30_days, figures.downloads) == (5, 75, 975)
    assert (figures.record_day, figures.record_date) == (900, TODAY - timedelta(days=30))
    assert (figures.bytes, figures.saved_s, figures.saved_today_s) == (50, 3.5, 1.5)
    assert figures.since == TODAY - timedelta(days=30)


async def test_the_larger_figure_of_a_counted_and_imported_day_is_used(database: Database) -> None:
    await add_day(database, TODAY, 5, imported=8)
    await add_day(database, TODAY - timedelta(days=1), 9, imported=2)
    assert (await downloads.download_totals(database, TODAY)).downloads == 17


async def test_years_and_months_have_their_record_day(database: Database) -> None:
    for day, count in ((date(2025, 12, 30), 3), (date(2025, 12, 31), 7), (date(2026, 1, 1), 4)):
        await add_day(database, day, count)
    first, second = await downloads.per_year(database)
    assert (first.period, first.downloads, first.record_day) == ("2025", 10, 7)
    assert first.record_date == date(2025, 12, 31)
    assert (second.period, second.downloads) == ("2026", 4)
    months = await downloads.per_month(database, since=date(2026, 1, 1))
    assert [(month.period, month.downloads) for month in months] == [("2026-01", 4)]
    days = await downloads.per_day(database, until=date(2025, 12, 31))
    assert [day.downloads for day in days] == [3, 7]


async def test_only_days_with_downloads_are_returned_for_a_project(database: Database) -> None:
    wanted = [(date(2026, 1, 31), 2), (date(2026, 2, 3), 5), (date(2026, 3, 10), 1)]
    for day, count in wanted:
        await add_day(database, day, count)
        await add_project_day(database, "numpy", day, count)
    found = (await downloads.project_days(database, ["numpy"]))["numpy"]
    assert [(day.day, day.downloads) for day in found] == wanted
    february = date(2026, 2, 1), date(2026, 2, 28)
    found = (await downloads.project_days(database, ["numpy"], *february))["numpy"]
    assert [day.downloads for day in found] == [5]


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (date(2026, 1, 15), date(2026, 3, 2)),
        (date(2026, 1, 1), date(2026, 1, 31)),
        (date(2026, 2, 28), date(2026, 3, 1)),
        (date(2026, 2, 28), date(2026, 2, 28)),
        (None, date(2026, 2, 10)),
        (date(2026, 3, 1), None),
    ],
)
async def test_the_most_downloaded_projects_are_exact_though_few_rows_are_read(
    database: Database, monkeypatch: pytest.MonkeyPatch, since: date | None, until: date | None
) -> None:
    monkeypatch.setattr(downloads, "_MIN_CANDIDATES", 1)
    counts: dict[str, int] = {}
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(75)]
    for number, (project, day) in enumerate(itertools.product("abcdef", days)):
        count = number * number * 7919 % 101
        if count % 3:
            await add_project_day(database, project, day, count)
            inside = (since or days[0]) <= day <= (until or days[-1])
            counts[project] = counts.get(project, 0) + count * inside
    expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
    found = await downloads.top_projects(database, since, until, limit=3)
    assert found == [NamedCount(name=name, count=count) for name, count in expected]


async def test_a_breakdown_covers_a_period(database: Database) -> None:
    await database.execute(
        """
        INSERT INTO downloads_daily_by_dimension (day, dimension, value, downloads)
        VALUES ('2026-03-10', 'arch', 'aarch64', 3), ('2026-03-09', 'arch', 'aarch64', 4),
               ('2026-03-09', 'arch', 'armv7l', 9), ('2026-03-10', 'python', '3.13', 3)
        """
    )
    shares = await downloads.breakdown(database, Dimension.ARCH)
    assert [(share.name, share.count) for share in shares] == [("armv7l", 9), ("aarch64", 7)]
    shares = await downloads.breakdown(database, Dimension.ARCH, since=TODAY)
    assert [(share.name, share.count) for share in shares] == [("aarch64", 3)]


async def test_live_downloads_have_rates_by_second_and_minute(database: Database) -> None:
    await database.execute(
        """
        INSERT INTO downloads_recent_seconds (second, downloads)
        VALUES ('2026-03-10 12:30:25+00', 30), ('2026-03-10 12:29:59+00', 4),
               ('2026-03-10 11:30:00+00', 5), ('2026-03-10 11:29:59+00', 6)
        """
    )
    await database.execute("INSERT INTO active_log_readers (reader) VALUES ('a log')")
    now = await downloads.live_downloads(database, NOW)
    assert now.connected
    assert now.rate_per_s == 3.0
    assert (now.per_minute[0], now.per_minute[-1], sum(now.per_minute)) == (5, 4, 9)


@pytest.mark.parametrize(
    ("measured_minutes", "by_now"),
    [
        (750, 1501),  # from midnight until half past noon, and half a minute
        (700, 1501),  # its share of the minutes is assumed for the rest
        (600, None),  # too much is unknown
    ],
)
async def test_today_is_compared_with_yesterday_until_the_same_time(
    database: Database, measured_minutes: int, by_now: int | None
) -> None:
    await database.execute(
        "INSERT INTO downloads_daily (day, counted) VALUES ('2026-03-09', 4000), ('2026-03-08', 1)"
    )
    midnight = datetime.combine(TODAY - timedelta(days=1), datetime.min.time(), UTC)
    for minute in range(-5, measured_minutes):
        await record_series(
            database,
            midnight + timedelta(minutes=minute),
            {FarmSeries.DOWNLOADS: SeriesValue.single(2 if minute >= 0 else 1000)},
        )
    now = await downloads.live_downloads(database, NOW)
    assert (now.yesterday, now.yesterday_by_now) == (4000, by_now)
    after_midnight = NOW.replace(hour=0, minute=10)
    assert (await downloads.live_downloads(database, after_midnight)).yesterday_by_now is None
