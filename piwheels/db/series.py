"""Time series: one value a minute, kept for longer as means and maxima of longer intervals.

A series is named like `farm/built`, `target/cp311-bookworm-armv7l/waiting` or `builder/pi1/load`.
What was not measured has no row.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from piwheels.db.database import Database, transactional
from piwheels.model import (
    BUILD_HISTORY_HOURS,
    SERIES_STEPS,
    BarSum,
    BuildHistory,
    FarmSeries,
    SeriesBars,
    SeriesValue,
    SeriesWindow,
    series_bars,
)

_STEPS_S = [step.step_s for step in SERIES_STEPS]
#: A clock may be ahead so much; later rows were written before it was set back.
_TOLERANCE = timedelta(minutes=1)
#: Of a series and step at once; that many minutes pass in a week.
_MAX_PRUNED = 10_000


@transactional
async def record_series(db: Database, minute: datetime, values: Mapping[str, SeriesValue]) -> None:
    """Store what was measured in a minute, and add it to the longer intervals that it belongs to.

    A series that has a value of that minute keeps it.

    Args:
        db: The connection.
        minute: The time at which the minute began.
        values: The measured values by the name of their series.
    """
    names = list(values)
    await db.execute(
        """
        INSERT INTO series (name)
        SELECT name FROM unnest(%(names)s::text[]) AS name
         WHERE NOT EXISTS (SELECT FROM series known WHERE known.name = name.name)
            ON CONFLICT DO NOTHING
        """,
        {"names": names},
    )
    await db.execute(
        """
        WITH added AS (
            INSERT INTO series_values (series_id, step_s, at, mean, maximum, minutes)
            SELECT s.series_id, %(first_step_s)s, %(minute)s, v.mean, v.maximum, 1
              FROM unnest(%(names)s::text[], %(means)s::real[], %(maxima)s::real[])
                   AS v (name, mean, maximum)
              JOIN series s ON s.name = v.name
                ON CONFLICT DO NOTHING
         RETURNING series_id, mean, maximum
        )
        INSERT INTO series_values AS kept (series_id, step_s, at, mean, maximum, minutes)
        SELECT added.series_id, step_s,
               date_bin(make_interval(secs => step_s), %(minute)s, timestamptz 'epoch'),
               added.mean, added.maximum, 1
          FROM added CROSS JOIN unnest(%(longer_steps_s)s::int[]) AS step_s
            ON CONFLICT (series_id, step_s, at) DO UPDATE
           SET mean = (kept.mean::float8 * kept.minutes + excluded.mean) / (kept.minutes + 1),
               maximum = greatest(kept.maximum, excluded.maximum),
               minutes = kept.minutes + 1
        """,
        {
            "minute": minute.replace(second=0, microsecond=0),
            "names": names,
            "means": [float(value.mean) for value in values.values()],
            "maxima": [float(value.maximum) for value in values.values()],
            "first_step_s": _STEPS_S[0],
            "longer_steps_s": _STEPS_S[1:],
        },
    )


#: Index scans of each series and step, and not of the whole table: it has millions of rows.
PRUNE_SQL = """
    DELETE FROM series_values
     WHERE ctid = ANY (ARRAY(
         SELECT found.ctid
           FROM series s
          CROSS JOIN unnest(%(steps_s)s::int[], %(kept)s::interval[]) AS step (step_s, kept)
          CROSS JOIN LATERAL (
              (SELECT ctid FROM series_values v
                WHERE v.series_id = s.series_id AND v.step_s = step.step_s
                  AND v.at < %(now)s - step.kept
                LIMIT %(limit)s)
              UNION ALL
              (SELECT ctid FROM series_values v
                WHERE v.series_id = s.series_id AND v.step_s = step.step_s
                  AND v.at > %(now)s + %(tolerance)s
                LIMIT %(limit)s)
          ) found
     ))
"""


@transactional
async def prune_series(db: Database, now: datetime) -> int:
    """Delete what is too old, or ahead of the clock, and series without a value.

    Returns:
        How many values were deleted; the next call deletes what exceeds its limit.
    """
    deleted = await db.execute(PRUNE_SQL, prune_parameters(now))
    await db.execute(
        """
        DELETE FROM series s
         WHERE (SELECT v.at FROM series_values v
                 WHERE v.series_id = s.series_id LIMIT 1) IS NULL
        """
    )
    return deleted


def prune_parameters(now: datetime) -> dict[str, Any]:
    """The parameters of PRUNE_SQL."""
    return {
        "now": now,
        "tolerance": _TOLERANCE,
        "steps_s": _STEPS_S,
        "kept": [step.kept for step in SERIES_STEPS],
        "limit": _MAX_PRUNED,
    }


async def read_series(
    db: Database, names: Sequence[str], window: SeriesWindow, now: datetime
) -> list[SeriesBars]:
    """Series over a window that ends with the last whole interval, in the order of their names.

    One without a value in the window, or in the period before, has bars of None.
    """
    sums = await _sums_of_bars(db, names, window, now)
    return [series_bars(name, window, sums[name]) for name in names]


async def series_sum(db: Database, name: str, begin: datetime, end: datetime) -> BarSum | None:
    """What was measured of a series between two times of the last 48 hours; None of nothing.

    Both times are rounded down to five minutes.
    """
    row = await db.row(
        """
        SELECT sum(v.mean::float8 * v.minutes) AS total, sum(v.minutes)::int AS minutes,
               max(v.maximum)::float8 AS maximum
          FROM series s
          JOIN series_values v ON v.series_id = s.series_id AND v.step_s = %(step_s)s
         WHERE s.name = %(name)s AND v.at >= %(begin)s AND v.at < %(end)s
        HAVING count(*) > 0
        """,
        {
            "name": name,
            "begin": window_end(SeriesWindow.DAY, begin),
            "end": window_end(SeriesWindow.DAY, end),
            "step_s": SeriesWindow.DAY.step_s,
        },
    )
    return BarSum(**row) if row else None


async def build_history(db: Database, now: datetime) -> BuildHistory:
    """How many builds ended in each of the last BUILD_HISTORY_HOURS."""
    day, names = SeriesWindow.DAY, (FarmSeries.BUILT, FarmSeries.FAILED)
    sums = await _sums_of_bars(db, names, day, now)
    hours = range(day.bars - BUILD_HISTORY_HOURS, day.bars)
    built, failed = (
        tuple(round(sums[name][hour].total) if hour in sums[name] else 0 for hour in hours)
        for name in names
    )
    return BuildHistory(built=built, failed=failed)


async def _sums_of_bars(
    db: Database, names: Sequence[str], window: SeriesWindow, now: datetime
) -> dict[str, dict[int, BarSum]]:
    """What was measured, by series and number of the bar; bars below 0 are before the window."""
    end = window_end(window, now)
    begin = end - timedelta(seconds=window.bars * window.bar_s)
    rows = await db.rows(
        """
        SELECT s.name, floor(extract(epoch FROM v.at - %(begin)s) / %(bar_s)s)::int AS bar,
               sum(v.mean::float8 * v.minutes) AS total, sum(v.minutes)::int AS minutes,
               max(v.maximum)::float8 AS maximum
          FROM series s
          JOIN series_values v ON v.series_id = s.series_id AND v.step_s = %(step_s)s
         WHERE s.name = ANY (%(names)s)
           AND v.at >= %(begin)s - %(length)s AND v.at < %(end)s
         GROUP BY s.name, bar
        """,
        {
            "names": list(names),
            "begin": begin,
            "end": end,
            "length": end - begin,
            "bar_s": window.bar_s,
            "step_s": window.step_s,
        },
    )
    sums: dict[str, dict[int, BarSum]] = defaultdict(dict)
    for row in rows:
        sums[row["name"]][row["bar"]] = BarSum(row["total"], row["minutes"], row["maximum"])
    return sums


def window_end(window: SeriesWindow, now: datetime) -> datetime:
    """When a window ends: with its last whole interval."""
    seconds = int(now.timestamp())
    return datetime.fromtimestamp(seconds - seconds % window.step_s, UTC)
