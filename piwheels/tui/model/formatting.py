"""Text from outside made harmless for a terminal, and figures as people read them.

Cells of the console are plain text: a widget that draws them must not read markup in them.
"""

import math
import unicodedata
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

import humanize

#: What stands for a character that is not shown.
REPLACEMENT = "?"

# Of Unicode's general categories: controls, format characters (bidi overrides and isolates,
# zero-width joiners, tags), surrogates, private use, unassigned, and line and paragraph ends.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMBINING_CATEGORIES = frozenset({"Mn", "Me"})
_MAX_COMBINING = 2  # on one character; more than that is drawn over the lines above
_LINE_BREAKS = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029")


def terminal_safe(text: str) -> str:
    """The text on one line, without anything that a terminal would act upon.

    Controls, escape sequences, bidirectional overrides, invisible and unassigned characters
    become REPLACEMENT; line ends and tabs become spaces; piled-up accents are thinned out.
    It holds for its own result: `harmless(harmless(text)) == harmless(text)`.
    """
    if text.isascii() and text.isprintable():
        return text
    return _terminal_safe(text)


def _terminal_safe(text: str) -> str:
    kept: list[str] = []
    marks = _MAX_COMBINING  # none at the beginning: there is nothing to put them on
    for char in unicodedata.normalize("NFC", text):
        if char in _LINE_BREAKS:
            kept.append(" ")
            marks = 0
            continue
        category = unicodedata.category(char)
        if category in _COMBINING_CATEGORIES:
            marks += 1
            if marks <= _MAX_COMBINING:
                kept.append(char)
            continue
        marks = 0
        if category in _HIDDEN_CATEGORIES:
            kept.append(REPLACEMENT)
        else:
            kept.append(" " if category == "Zs" else char)
    return unicodedata.normalize("NFC", "".join(kept))


@lru_cache(4096)
def format_size(size_bytes: int) -> str:
    """A size in binary units: `1.5 GiB`."""
    return humanize.naturalsize(size_bytes, binary=True)


def format_duration(seconds: float) -> str:
    """A span of time in at most two units, never longer than seven characters: `2h 05m`."""
    if not math.isfinite(seconds):
        return "-"
    return _format_duration(max(0, int(seconds)))


@lru_cache(8192)
def _format_duration(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02}h" if days < 1000 else f"{days}d"


@lru_cache(4096)
def format_count(number: int) -> str:
    """A number with separators: `1,234,567`."""
    return humanize.intcomma(number)


def format_percent(part: float, whole: float) -> str:
    """A share: `42%`; "-" of nothing."""
    return f"{100 * part / whole:.0f}%" if whole > 0 else "-"


def format_unix_time(unix_s: float, zone: tzinfo | None = None) -> str:
    """The time of day of UNIX seconds, in the zone of the reader."""
    return format_time(datetime.fromtimestamp(unix_s, UTC), zone)


def format_time(when: datetime, zone: tzinfo | None = None) -> str:
    """The time of day, in the zone of the reader (None is this machine's); "-" beyond all days."""
    try:
        return when.astimezone(zone).strftime("%H:%M:%S")
    except (OverflowError, ValueError):
        return "-"


def format_datetime(when: datetime, now: float, zone: tzinfo | None = None) -> str:
    """The time of day, or day and time where it was another day than now is (UNIX seconds)."""
    try:
        there = when.astimezone(zone)
        today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    except (OSError, OverflowError, ValueError):
        return "-"
    return there.strftime("%H:%M:%S" if there.date() == today else "%b %d %H:%M")
