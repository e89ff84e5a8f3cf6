"""Sizes, counts, durations and times as people read and write them: console, shell and pages.

Pure functions. Durations are in seconds, sizes in bytes; a time zone of None is this machine's.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

import humanize


def format_count(number: float) -> str:
    """A whole number with separators: `1,234,567`."""
    return f"{int(number):,}"


def format_percent(part: float, whole: float) -> str:
    """A share: `42%`; "-" of nothing."""
    return f"{100 * part / whole:.0f}%" if whole > 0 else "-"


@lru_cache(4096)
def format_size(size_bytes: float) -> str:
    """A size in binary units, as of memory and disks: `1.5 GiB`."""
    return humanize.naturalsize(size_bytes, binary=True)


@lru_cache(4096)
def format_decimal_size(size_bytes: float) -> str:
    """A size in decimal units, as of downloads: `1.2 MB`."""
    return humanize.naturalsize(size_bytes)


def format_short_count(number: float) -> str:
    """A number for the axis of a chart: `2.5M`."""
    for power, suffix in ((12, "T"), (9, "B"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.4g}{suffix}"
    return f"{number:.4g}"


@lru_cache(4096)
def format_short_size(size_bytes: float) -> str:
    """A size in decimal units for the axis of a chart: `250 MB`."""
    return humanize.naturalsize(size_bytes, format="%.3g")


def format_duration(seconds: float) -> str:
    """A duration in at most two units, never longer than seven characters: `5m`, `1h 20m`."""
    if not math.isfinite(seconds):
        return "-"
    return _format_duration(max(0, int(seconds)))


@lru_cache(8192)
def _format_duration(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days >= 1000:
        return f"{days}d"
    if days:
        return _join_units((days, "d"), (hours, "h"))
    if hours:
        return _join_units((hours, "h"), (minutes, "m"))
    return _join_units((minutes, "m"), (seconds, "s")) or "0s"


def _join_units(*parts: tuple[int, str]) -> str:
    return " ".join(f"{number}{unit}" for number, unit in parts if number)


def approximate_duration(seconds: float) -> str:
    """A duration in words, in its largest unit: `3 hours`, `a minute`."""
    return humanize.naturaldelta(timedelta(seconds=max(0.0, seconds)))


#: A shorter duration is shown with its seconds by `format_short_duration`.
SECONDS_SHOWN_S = 600.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def format_short_duration(seconds: float) -> str:
    """A duration in five characters: `45s`, `4m26`, `16m`, `3h15`, `15h33`, `2d05`, `40d`.

    Hours have their minutes, and up to ten days have their hours, unless there are none.
    """
    if not math.isfinite(seconds):
        return "-"
    return _format_short_duration(max(0, int(seconds)))


@lru_cache(8192)
def _format_short_duration(seconds: int) -> str:
    minutes, hours, days = seconds // _MINUTE, seconds // _HOUR, seconds // _DAY
    if minutes < 1:
        return f"{seconds}s"
    if seconds < SECONDS_SHOWN_S:
        return f"{minutes}m{_part(seconds % _MINUTE)}"
    if hours < 1:
        return f"{minutes}m"
    if days < 1:
        return f"{hours}h{_part(minutes % 60)}"
    return f"{days}d{_part(hours % 24)}" if days < 10 else f"{days}d"


def _part(number: int) -> str:
    """The smaller unit, in two digits; nothing for none of it."""
    return f"{number:02}" if number else ""


def format_coarse_duration(seconds: float) -> str:
    """A duration whose text changes each ten seconds, and each minute beyond the first."""
    if seconds < _MINUTE:
        return f"{int(seconds // 10) * 10}s" if seconds >= 10 else "a few seconds"
    return format_short_duration(seconds - seconds % _MINUTE)


def format_wait_range(soonest_s: float, latest_s: float) -> str:
    """How long something will take at least and at most, in whole units: `3h-5h`, `under 2h`."""
    soonest, latest = max(0.0, soonest_s), max(0.0, latest_s)
    low = _whole_units(soonest, math.floor)
    high = _whole_units(latest, math.ceil)
    if soonest < _MINUTE:
        return f"under {high}"
    return high if low == high else f"{low}-{high}"


def _whole_units(seconds: float, rounded: Callable[[float], int]) -> str:
    if seconds < _HOUR:
        return f"{rounded(seconds / _MINUTE) or 1}m"
    if seconds < 2 * _DAY:
        return f"{rounded(seconds / _HOUR)}h"
    return f"{rounded(seconds / _DAY)}d"


def format_needs(memory_bytes: int, disk_bytes: int, duration_s: float) -> str:
    """What a build needs: `about 1.2 GiB of memory, 3.0 GiB of disk, 45m`; 0 is unknown."""
    parts = [
        f"{format_size(memory_bytes)} of memory" if memory_bytes else "",
        f"{format_size(disk_bytes)} of disk" if disk_bytes else "",
        format_duration(_rounded_duration_s(duration_s)) if duration_s else "",
    ]
    text = ", ".join(filter(None, parts))
    return f"about {text}" if text else ""


def _rounded_duration_s(seconds: float) -> float:
    """Of a minute and more without the seconds."""
    return round(seconds / _MINUTE) * _MINUTE if seconds >= _MINUTE else max(seconds, 1.0)


def format_queue_position(least_ahead: int, most_ahead: int) -> str:
    """A place in a queue by the jobs ahead, rounded where it is far or not exactly known."""
    if most_ahead < 100:
        return f"position {most_ahead + 1}"
    low, high = (f"{_two_digits(number):,}" for number in (least_ahead, most_ahead))
    return f"about {high} jobs ahead" if low == high else f"{low} to {high} jobs ahead"


def _two_digits(number: int) -> int:
    return round(number, 2 - len(str(number)))


def format_load(load: float) -> str:
    """A load average: `2.31`."""
    return f"{load:.2f}"


def format_temperature(degrees: float) -> str:
    """Degrees Celsius: `83C`."""
    return f"{degrees:.0f}C"


def format_rate(per_unit: float) -> str:
    """A rate: `14.2`; a whole number from 100 up."""
    return f"{per_unit:.1f}" if per_unit < 99.95 else format_count(round(per_unit))


_UNITS = (
    ("year", 365 * 86400, "day", 86400),
    ("day", 86400, "hour", 3600),
    ("hour", 3600, "minute", 60),
    ("minute", 60, "second", 1),
)


def spell_duration(seconds: float) -> str:
    """A duration in words, in its largest two units: `3 minutes 20 seconds`."""
    seconds = max(seconds, 0.0)
    for unit, length_s, smaller, smaller_s in _UNITS:
        if seconds >= length_s:
            whole = int(seconds // length_s)
            rest = int(seconds % length_s // smaller_s)
            text = pluralize(whole, unit)
            return f"{text} {pluralize(rest, smaller)}" if rest and whole < 10 else text
    return pluralize(round(seconds), "second")


_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([smhd])")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float | None:
    """The seconds of `90s`, `15m`, `1.5h` or `2d`; None for anything else."""
    found = _DURATION.fullmatch(text.strip())
    return float(found[1]) * _UNITS_S[found[2]] if found else None


def noun(number: int, word: str) -> str:
    """A noun in the number's form: `release` for 1, else `releases`."""
    return word if number == 1 else f"{word}s"


def pluralize(number: int, word: str) -> str:
    """A number with its noun: `1 release`, `2,000 releases`."""
    return f"{number:,} {noun(number, word)}"


def join_words(words: Sequence[str]) -> str:
    """A list in a sentence: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def exit_status_text(status: int) -> str:
    """How a program ended that printed nothing."""
    return f"it ended with status {status}"


def format_time(when: datetime, zone: tzinfo | None = None) -> str:
    """The time of day, `16:40:05`; "-" for a time that cannot be shown."""
    try:
        return when.astimezone(zone).strftime("%H:%M:%S")
    except (OverflowError, ValueError):
        return "-"


def format_unix_time(unix_s: float, zone: tzinfo | None = None) -> str:
    """The time of day of UNIX seconds."""
    return format_time(datetime.fromtimestamp(unix_s, UTC), zone)


def format_datetime(when: datetime, now: float, zone: tzinfo | None = None) -> str:
    """The time of day if it is on the same day as `now` (UNIX seconds), else day and time."""
    try:
        there = when.astimezone(zone)
        today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    except (OSError, OverflowError, ValueError):
        return "-"
    return there.strftime("%H:%M:%S" if there.date() == today else "%b %d %H:%M")


def format_utc_minute(when: datetime) -> str:
    """`2026-11-25 16:40`, in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def format_rfc3339(when: datetime) -> str:
    """`2026-11-25T16:40:05Z` (RFC 3339)."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def format_date(day: date) -> str:
    """`25 November 2026`."""
    return f"{day.day} {day:%B %Y}"
