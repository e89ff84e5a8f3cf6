"""Loads the data of pages from the database."""

import asyncio
import heapq
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from piwheels.db import (
    catalog,
    downloads,
    recipe_store,
    reproductions,
    status_queries,
    target_queries,
)
from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.db.downloads import (
    RECENT_DAYS,
    YEAR_DAYS,
    DayTotals,
    Dimension,
    PeriodTotals,
    first_day,
)
from piwheels.db.project_metadata import load_metadata, load_summaries
from piwheels.model import (
    NamedCount,
    Outcome,
    ProjectListing,
    ProjectMetadata,
    QueueOutline,
    machine_words,
    target_words,
)
from piwheels.release_status import StatusContext
from piwheels.website.charts import Chart, Series, Unit
from piwheels.website.page_data import FeedsData, HomeData, PackagesData, ProjectData, StatsData
from piwheels.website.word_index import MAX_PROJECTS, DescribedProject

_RECENT_BUILDS = 12
_FEED_BUILDS = 50
_MAX_FAILURES = 100
_MAX_WHEELS = 100
_TOP_PROJECTS = 20
_MAX_SHARES = 12
_CODE_NAME = re.compile(r" \([a-z]+\)")


async def load_projects(
    db: Database,
    names: Sequence[str],
    status_context: StatusContext,
    outlines: Mapping[str, QueueOutline],
) -> dict[str, ProjectData]:
    """The data of the pages of projects, by name, without unknown ones.

    The number of queries is the same for any number of projects.
    """
    facts = await status_queries.project_statuses(db, names, outlines=outlines)
    metadata = await load_metadata(db, names)
    files = await site_db.project_files(db, names)
    compared = await reproductions.ended_of_projects(db, names)
    builds = await site_db.last_builds(db, names, _FEED_BUILDS)
    aliases = await site_db.aliases_of(db, names)
    recipes = await recipe_store.recipes_of(db, names)
    history = await downloads.project_downloads(db, names)
    now = datetime.now(UTC)
    return {
        name: ProjectData(
            facts=row,
            metadata=metadata.get(name, ProjectMetadata()),
            files=files.get(name, ()),
            reproductions={
                file.filename: compared[file.filename]
                for file in files.get(name, ())
                if file.filename in compared
            },
            builds=builds.get(name, ()),
            aliases=tuple(aliases.get(name, ())),
            recipes=recipes.get(name, ()),
            status_context=status_context,
            written_at=now,
            downloads=history[name].total if name in history else downloads.no_downloads(name),
            days=history[name].days if name in history else (),
            wheel_downloads=history[name].wheels if name in history else {},
        )
        for name, row in facts.items()
    }


async def load_home(db: Database, root: Path) -> HomeData:
    """The data of the home page."""
    queues = await status_queries.queue_statuses(db)
    disk = await asyncio.to_thread(shutil.disk_usage, root)
    return HomeData(
        farm=await status_queries.farm_totals(db),
        queued=sum(queue.pending + queue.deferred for queue in queues),
        building=sum(queue.claimed for queue in queues),
        disk_free_bytes=disk.free,
        downloads=await downloads.download_totals(db),
        targets=tuple(target.name for target in await target_queries.targets(db)),
        recent=await site_db.latest_builds(db, _RECENT_BUILDS),
    )


async def load_packages(db: Database, listed: Sequence[ProjectListing]) -> PackagesData:
    """The data of the page of all projects."""
    top = await downloads.top_projects(db, first_day(RECENT_DAYS), limit=_TOP_PROJECTS)
    known = await catalog.existing_projects(db, [share.name for share in top])
    builds = await site_db.latest_builds(db, _TOP_PROJECTS * 3)
    return PackagesData(
        projects=len(listed),
        with_wheels=sum(item.files > 0 for item in listed),
        top=tuple(share for share in top if share.name in known),
        newest=tuple(build for build in builds if build.outcome is Outcome.BUILT)[:_TOP_PROJECTS],
    )


async def load_described(db: Database, listed: Sequence[ProjectListing]) -> list[DescribedProject]:
    """The most downloaded projects with their summaries, for the index of words."""
    chosen = heapq.nsmallest(
        MAX_PROJECTS, listed, key=lambda item: (-item.recent_downloads, item.name)
    )
    summaries = await load_summaries(db, [item.name for item in chosen])
    return [
        DescribedProject(
            name=item.name,
            summary=summaries.get(item.name, ""),
            downloads=item.recent_downloads,
        )
        for item in chosen
    ]


async def load_feeds(db: Database) -> FeedsData:
    """The builds of the feeds of the whole farm."""
    return FeedsData(
        wheels=await site_db.latest_builds(db, _MAX_WHEELS, outcome=Outcome.BUILT),
        failures=await site_db.regressions(db, _MAX_FAILURES),
    )


# --- statistics --------------------------------------------------------------------------


async def load_stats(db: Database) -> StatsData:
    """The data of the statistics page."""
    return StatsData(
        downloads=await downloads.download_totals(db),
        time_charts=tuple(await _time_charts(db)),
        line_charts=(await _queue_chart(db),),
        share_charts=tuple(await _share_charts(db)),
    )


async def _time_charts(db: Database) -> list[Chart]:
    today = datetime.now(UTC).date()
    years = await downloads.per_year(db)
    months = _fill_months(await downloads.per_month(db), today)
    days = _fill_days(await downloads.per_day(db, first_day(YEAR_DAYS, today), today), today)
    by_year = [year.period for year in years]
    by_month = [month.period for month in months]
    record = [f"{year.record_date or year.period}" for year in years]
    return [
        _chart("years", "Downloads per year", "Year", by_year, [y.downloads for y in years]),
        _chart("records", "Record day of each year", "Day", record, [y.record_day for y in years]),
        _chart("months", "Downloads per month", "Month", by_month, [m.downloads for m in months]),
        _chart(
            "days",
            "Downloads per day, last year",
            "Day",
            [day.isoformat() for day in days],
            list(days.values()),
        ),
        _chart(
            "saved",
            "Hours of build time saved per month",
            "Month",
            by_month,
            [round(month.saved_s / 3600) for month in months],
        ),
        _chart(
            "bytes",
            "Data served per month",
            "Month",
            by_month,
            [month.bytes for month in months],
            unit=Unit.BYTES,
        ),
    ]


def _fill_months(months: Sequence[PeriodTotals], today: date) -> list[PeriodTotals]:
    """Every month from the first with downloads to the current one."""
    found = {month.period: month for month in months}
    every, month = [], f"{today:%Y-%m}"
    while found and month >= min(found):
        every.append(
            found.get(month)
            or PeriodTotals(
                period=month, downloads=0, bytes=0, saved_s=0.0, record_day=0, record_date=None
            )
        )
        month = f"{date.fromisoformat(f'{month}-01') - timedelta(days=1):%Y-%m}"
    return every[::-1]


def _fill_days(days: Sequence[DayTotals], today: date) -> dict[date, int]:
    """The downloads of every day from the first with downloads to today."""
    found = {day.day: day.downloads for day in days}
    first = min(found, default=today)
    every = (first + timedelta(days=number) for number in range((today - first).days + 1))
    return {day: found.get(day, 0) for day in every} if found else {}


def _chart(
    key: str,
    title: str,
    heading: str,
    labels: Sequence[str],
    values: Sequence[float],
    *,
    unit: Unit = Unit.COUNT,
    name: str = "",
) -> Chart:
    return Chart(
        key=key,
        title=title,
        label_heading=heading,
        labels=tuple(labels),
        series=(Series(name=name or title, values=tuple(values)),),
        unit=unit,
    )


async def _share_charts(db: Database) -> list[Chart]:
    since = first_day(RECENT_DAYS)
    titles = {
        Dimension.ARCH: "By architecture",
        Dimension.OS: "By OS release",
        Dimension.PYTHON: "By Python",
        Dimension.INSTALLER: "By installer",
    }
    charts = [
        _share_chart(
            str(dimension),
            f"{title}, last 30 days",
            title.removeprefix("By "),
            _described(dimension, await downloads.breakdown(db, dimension, since)),
        )
        for dimension, title in titles.items()
    ]
    lately = await downloads.top_projects(db, since, limit=_TOP_PROJECTS)
    ever = await downloads.top_projects(db, limit=_TOP_PROJECTS)
    return [
        *charts,
        _share_chart(
            "top", "Top projects, last 30 days", "Project", lately, max_shares=_TOP_PROJECTS
        ),
        _share_chart(
            "top-ever", "Top projects, all time", "Project", ever, max_shares=_TOP_PROJECTS
        ),
        await _success_chart(db),
    ]


def _described(dimension: Dimension, shares: Sequence[NamedCount]) -> Sequence[NamedCount]:
    """Shares by architecture, each with what it is."""
    if dimension is not Dimension.ARCH:
        return shares
    words = {share.name: machine_words(share.name) for share in shares}
    return [
        NamedCount(
            name=f"{share.name} ({words[share.name]})" if words[share.name] else share.name,
            count=share.count,
        )
        for share in shares
    ]


def _share_chart(
    key: str,
    title: str,
    heading: str,
    shares: Sequence[NamedCount],
    *,
    max_shares: int = _MAX_SHARES,
) -> Chart:
    shown, rest = shares[:max_shares], sum(share.count for share in shares[max_shares:])
    labels = [share.name or "unknown" for share in shown]
    values = [share.count for share in shown]
    if rest:
        labels.append("other")
        values.append(rest)
    return _chart(key, title, heading, labels, values, name="Downloads")


async def _success_chart(db: Database) -> Chart:
    rates = [rate for rate in await site_db.success_rates(db) if rate.built + rate.failed]
    return _chart(
        "success",
        "Build success rate, last 30 days",
        "Target",
        [target_label(rate.target) for rate in rates],
        [round(100 * rate.built / (rate.built + rate.failed), 1) for rate in rates],
        unit=Unit.PERCENT,
        name="Success",
    )


def target_label(target: str) -> str:
    """A target in words that fit beside a bar on a phone: `Pi OS 13, 64-bit, 3.13`."""
    words = target_words(target)
    system = _CODE_NAME.sub("", words.platform).replace("Raspberry Pi OS", "Pi OS")
    return f"{system}, {words.python.removeprefix('Python ')}"


async def _queue_chart(db: Database) -> Chart:
    samples = await site_db.queue_history(db)
    times = sorted({sample.at for sample in samples})
    found = {(sample.target, sample.at): sample.pending for sample in samples}
    targets = list(dict.fromkeys(sample.target for sample in samples))
    return Chart(
        key="queue",
        title="Queue length, last 30 days",
        label_heading="Hour (UTC)",
        labels=tuple(f"{at.astimezone(UTC):%Y-%m-%d %H:00}" for at in times),
        series=tuple(
            Series(
                name=target_label(target),
                values=tuple(found.get((target, at)) for at in times),
            )
            for target in targets
        ),
    )
