"""Text as it may stand on a page, in a feed or in an address, whoever wrote it."""

import unicodedata
from datetime import UTC, date, datetime
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

import humanize

_REPLACEMENT = "\ufffd"


def mark_invisible(text: str) -> str:
    """A stranger's text in which everything is to be seen: no control or direction characters.

    What is taken away leaves a mark, so that two names which differ never look the same. XML 1.0
    can hold the rest.
    """
    if text.isprintable():
        return text
    return "".join(char if _is_visible(char) else _REPLACEMENT for char in text)


def _is_visible(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"


def truncate(text: str, length: int) -> str:
    """The text, cut where it is longer."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def url_segment(text: str) -> str:
    """A name as one segment of an address."""
    return quote(text, safe="")


def uv_options(url: str) -> str:
    """The options by which `uv pip install` takes wheels from this farm beside its usual index.

    uv takes a project from the first index that has it, and that index alone (first-index): a
    release, a Python or a platform that this farm lacks would fail to install. With
    unsafe-best-match it looks at both, as pip does, and takes the farm's wheel where it fits.
    """
    return f"--index-strategy unsafe-best-match --index {url}simple/"


def trusted_host(url: str) -> str:
    """The host that pip has to be told to trust before it uses an index; "" where it does.

    pip passes over an index without TLS, but for one of its own machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "" if parts.scheme == "https" or _is_loopback(host) else host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def log_path(build: int) -> str:
    """Where a build's log is asked for; it lies there packed (webroot.Webroot.log)."""
    digits = f"{build:08d}"
    return f"logs/{digits[:-4]}/{digits[-4:]}/{build}.txt"


def wheel_path(sha256: str, filename: str) -> str:
    """Where a wheel is asked for (webroot.Webroot.wheel)."""
    return f"packages/{url_segment(sha256[:2])}/{url_segment(sha256)}/{url_segment(filename)}"


def short_timestamp(value: datetime) -> str:
    """`2026-11-25 16:40`, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def iso_timestamp(value: datetime) -> str:
    """`2026-11-25T16:40:05Z` (RFC 3339)."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def long_date(value: date) -> str:
    """`25 November 2026`."""
    return f"{value.day} {value:%B %Y}"


def format_count(value: float) -> str:
    """`1,234,567`."""
    return f"{int(value):,}"


def pluralize(number: int, word: str) -> str:
    """What so many of it are called: `1` release, `2` releases."""
    return word if number == 1 else f"{word}s"


def format_size(value: float) -> str:
    """`1.2 MB`."""
    return humanize.naturalsize(value)


def format_duration(seconds: float) -> str:
    """`3 minutes`, in the largest two units that say something."""
    seconds = max(seconds, 0.0)
    for unit, length_s, smaller, smaller_s in _UNITS:
        if seconds >= length_s:
            whole = int(seconds // length_s)
            rest = int(seconds % length_s // smaller_s)
            said = _with_unit(whole, unit)
            return f"{said} {_with_unit(rest, smaller)}" if rest and whole < 10 else said
    return _with_unit(round(seconds), "second")


_UNITS = (
    ("year", 365 * 86400, "day", 86400),
    ("day", 86400, "hour", 3600),
    ("hour", 3600, "minute", 60),
    ("minute", 60, "second", 1),
)


def _with_unit(number: int, unit: str) -> str:
    return f"{number:,} {pluralize(number, unit)}"
