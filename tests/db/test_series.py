"""Time series in the database: downsampling, gaps, windows, and what is deleted."""

import math
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from piwheels.db.database import Database
from piwheels.db.series import (
    PRUNE_SQL,
    build_history,
    prune_parameters,
    prune_series,
    read_series,
    record_series,
)
from piwheels.model import SERIES_STEPS, FarmSeries, SeriesBars, SeriesValue, SeriesWindow
from tests.db.test_retention import rows_scanned

_NOW = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
LOAD, BUILT = "builder/pi1/load", "farm/built"


async def record(db: Database, ago: timedelta, value: float, name: str = LOAD) -> None:
    """Record a value that was measured so long ago."""
    await record_series(db, _NOW - ago, {name: SeriesValue.single(value)})


async def read(db: Database, window: SeriesWindow = SeriesWindow.DAY) -> SeriesBars:
    """The series of the load over a window."""
    (found,) = await read_series(db, [LOAD], window, _NOW)
    return found


def by_place(bars: tuple[float | None, ...]) -> dict[int, float]:
    """The bars with a value, by their place."""
    return {place: value for place, value in enumerate(bars) if value is not None}


async def test_values_of_minutes_are_kept_as_means_and_maxima_of_longer_intervals(
    database: Database,
) -> None:
    chance = random.Random(7)
    minutes = [minute for minute in range(3 * 60) if chance.random() < 0.8]  # the rest are gaps
    values = {minute: (chance.random(), 1 + chance.random()) for minute in minutes}
    expected: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    start = datetime(2026, 11, 30, 9, 7, tzinfo=UTC)
    for minute, (mean, maximum) in values.items():
        at = start + minute * _MINUTE
        await record_series(database, at, {LOAD: SeriesValue(mean, maximum)})
        for step in SERIES_STEPS:
            begin = int(at.timestamp()) // step.step_s * step.step_s
            expected[step.step_s, begin].append((mean, maximum))
    rows = await database.rows(
        "SELECT step_s, extract(epoch FROM at)::bigint AS at, mean, maximum, minutes FROM series_values"
    )
    assert len(rows) == len(expected)
    for row in rows:
        measured = expected[row["step_s"], row["at"]]
        assert row["minutes"] == len(measured)
        assert math.isclose(row["mean"], sum(m for m, _ in measured) / len(measured), rel_tol=1e-5)
        assert math.isclose(row["maximum"], max(maximum for _, maximum in measured), rel_tol=1e-6)


async def test_a_minute_is_counted_once(database: Database) -> None:
    await record(database, timedelta(minutes=5, seconds=20), 1.0)
    await record(database, timedelta(minutes=5), 9.0)  # of a master that started in that minute
    rows = await database.rows("SELECT step_s, mean, minutes FROM series_values ORDER BY step_s")
    assert [(row["mean"], row["minutes"]) for row in rows] == [(1.0, 1)] * len(SERIES_STEPS)


async def test_a_window_has_bars_and_the_period_before(database: Database) -> None:
    await record(database, timedelta(minutes=10), 4.0)  # in the last hour
    await record(database, timedelta(minutes=50), 2.0)
    await record(database, timedelta(hours=23, minutes=30), 6.0)  # in the first
    await record(database, timedelta(hours=30), 8.0)  # the day before
    await record(database, timedelta(hours=47), 10.0)
    found = await read(database)
    assert by_place(found.means) == {0: 6.0, 23: 3.0}
    assert by_place(found.maxima) == {0: 6.0, 23: 4.0}
    assert (found.mean, found.mean_before, found.maximum_before) == (4.0, 9.0, 10.0)


async def test_a_gap_is_unknown_and_zero_is_zero(database: Database) -> None:
    await record(database, timedelta(minutes=70), 0.0)
    found = await read(database)
    assert by_place(found.means) == {22: 0.0}
    assert found.mean_before is None
    assert found.maximum_before is None


@pytest.mark.parametrize("window", SeriesWindow)
async def test_each_window_shows_what_was_measured_in_it_and_before(
    database: Database, window: SeriesWindow
) -> None:
    length = timedelta(seconds=window.bars * window.bar_s)
    await record(database, length / 2, 3.0)
    await record(database, length * 1.5, 5.0)
    found = await read(database, window)
    assert len(found.means) == window.bars
    assert by_place(found.means) == {window.bars // 2: 3.0} or by_place(found.means) == {
        window.bars // 2 - 1: 3.0
    }
    assert (found.mean, found.mean_before) == (3.0, 5.0)


async def test_the_minute_that_has_not_ended_is_not_shown(database: Database) -> None:
    await record(database, timedelta(0), 3.0)
    assert by_place((await read(database, SeriesWindow.HOUR)).means) == {}


async def test_several_series_are_read_in_the_order_of_their_names(database: Database) -> None:
    values = {BUILT: SeriesValue.single(1), LOAD: SeriesValue.single(2.0)}  # counts are int
    await record_series(database, _NOW - 10 * _MINUTE, values)
    found = await read_series(database, [LOAD, "farm/unknown", BUILT], SeriesWindow.DAY, _NOW)
    assert [(series.name, series.mean) for series in found] == [
        (LOAD, 2.0),
        ("farm/unknown", None),
        (BUILT, 1.0),
    ]


async def test_each_step_is_kept_for_its_time(database: Database) -> None:
    for ago in (timedelta(minutes=3), timedelta(hours=13), timedelta(days=3), timedelta(days=61)):
        await record(database, ago, 1.0)
    await prune_series(database, _NOW)
    rows = await database.rows("SELECT step_s, count(*) FROM series_values GROUP BY 1 ORDER BY 1")
    assert {row["step_s"]: row["count"] for row in rows} == {60: 1, 300: 2, 3600: 3, 86400: 4}


async def test_what_is_deleted_is_found_without_reading_the_whole_table(
    database: Database,
) -> None:
    await database.execute(
        "INSERT INTO series (name) SELECT 'farm/' || n FROM generate_series(1, 9) n"
    )
    await database.execute(
        """
        INSERT INTO series_values
        SELECT series_id, 3600, %(now)s - n * interval '1 hour', 1, 1, 60
          FROM series CROSS JOIN generate_series(1, 1450) n
        """,
        {"now": _NOW},
    )
    await database.execute("ANALYZE series_values")
    parameters = prune_parameters(_NOW)
    (row,) = await database.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {PRUNE_SQL}", parameters)
    assert sum(rows_scanned(row["QUERY PLAN"][0]["Plan"])) < 1000
    assert await database.value("SELECT count(*) FROM series_values") == 9 * 1440


async def test_series_without_a_value_are_deleted(database: Database) -> None:
    await record(database, timedelta(days=6 * 365), 1.0)
    await record(database, timedelta(0), 1.0, BUILT)
    await prune_series(database, _NOW)
    assert [row["name"] for row in await database.rows("SELECT name FROM series")] == [BUILT]


async def test_values_that_were_stored_ahead_of_the_clock_are_deleted(database: Database) -> None:
    await record(database, -timedelta(days=30), 7.0)
    assert await prune_series(database, _NOW) == len(SERIES_STEPS)


async def test_builds_of_minutes_are_summed_by_hour(database: Database) -> None:
    for minutes, built in ((1, 3), (59, 4), (61, 5), (48 * 60, 6), (48 * 60 + 5, 7)):
        await record(database, timedelta(minutes=minutes), built, FarmSeries.BUILT)
    history = await build_history(database, _NOW)
    assert {place: number for place, number in enumerate(history.built) if number} == {
        47: 7, 46: 5, 0: 6,
    }  # fmt: skip
    assert history.failed == (0,) * 48
