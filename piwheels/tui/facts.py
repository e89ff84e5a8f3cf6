"""What the host and downloads screens say: labels, values and shares."""

from typing import NamedTuple

from piwheels.protocol.messages import DownloadCount, Downloads, HostState
from piwheels.tui.builderrows import (
    DISK_LOW,
    DISK_SHORT,
    MEMORY_LOW,
    temperature_style,
)
from piwheels.tui.glyphs import glyph as glyph_of
from piwheels.tui.glyphs import sparkline
from piwheels.tui.problems import UPSTREAM_LATE_S
from piwheels.tui.state import FarmState
from piwheels.tui.text import count, duration, harmless, percent, size

NO_ACCESS_LOG = "no access log is connected"


class Fact(NamedTuple):
    """A labelled value; `share` (0 to 1) can be drawn as a gauge, `key` is its identity."""

    key: str
    label: str
    text: str
    style: str = ""
    glyph: str = ""
    share: float | None = None


def host_facts(state: FarmState, now: float, *, ascii_only: bool = False) -> list[Fact]:
    """The master's machine and what it keeps; empty while nothing is known."""
    status = state.status
    if status is None:
        return []
    host = status.host
    since = max(0.0, now - state.heard) if state.heard is not None and state.connected else 0.0
    facts = [
        Fact("version", "piwheels", harmless(status.version)),
        Fact("instance", "instance", harmless(status.instance)),
        Fact("uptime", "up for", duration(status.uptime_s + since)),
        Fact("load", "load", f"{host.load:.2f}"),
        *_memory(host),
        _disk(host, ascii_only),
        _temperature(host, ascii_only),
        Fact("database", "database", size(status.database_bytes)),
        _upstream_lag(status.upstream_lag_s, ascii_only),
        Fact("upstream", "upstream says", harmless(status.upstream)),
        Fact("pages", "pages to write", count(status.stale_pages)),
        Fact("projects", "projects", count(status.projects)),
        Fact("releases", "releases", count(status.releases)),
        Fact("builds", "builds", count(status.builds)),
        Fact("files", "wheels", f"{count(status.files)} ({size(status.files_bytes)})"),
        Fact("hour", "last hour", last_hour(status.last_hour)),
    ]
    return [fact for fact in facts if fact.text]


def last_hour(outcomes: dict[str, int]) -> str:
    """Builds by outcome in words: `12 built, 3 failed`."""
    ended = (f"{count(number)} {harmless(word)}" for word, number in sorted(outcomes.items()))
    return ", ".join(ended) or "no builds"


def _memory(host: HostState) -> list[Fact]:
    facts = [_used("memory", "memory", host.memory_total, host.memory_free, MEMORY_LOW)]
    if host.swap_total:
        facts.append(_used("swap", "swap", host.swap_total, host.swap_free, 0.0))
    return facts


def _used(key: str, label: str, total: int, free: int, low: float) -> Fact:
    if total <= 0:
        return Fact(key, label, "not known")
    used = total - free
    text = f"{size(used)} of {size(total)} ({percent(used, total)})"
    return Fact(key, label, text, "warning" if free / total < low else "", "", used / total)


def _disk(host: HostState, ascii_only: bool) -> Fact:
    fact = _used("disk", "disk of the tree", host.disk_total, host.disk_free, DISK_LOW)
    if not fact.style:
        return fact
    short = host.disk_free / host.disk_total < DISK_SHORT
    mark = glyph_of("warning", ascii_only=ascii_only)
    text = f"{fact.text}, nearly full" if short else f"{fact.text}, getting full"
    return fact._replace(style="error" if short else "warning", glyph=mark, text=text)


def _temperature(host: HostState, ascii_only: bool) -> Fact:
    degrees = host.temperature
    if degrees is None:
        return Fact("temperature", "temperature", "no sensor", "muted")
    style = temperature_style(degrees)
    if not style:
        return Fact("temperature", "temperature", f"{degrees:.0f} C")
    mark = glyph_of("warning", ascii_only=ascii_only)
    text = f"{degrees:.0f} C, {'too hot' if style == 'error' else 'warm'}"
    return Fact("temperature", "temperature", text, style, mark)


def _upstream_lag(lag_s: float | None, ascii_only: bool) -> Fact:
    if lag_s is None:
        return Fact("lag", "upstream read", "not yet", "muted")
    late = lag_s > UPSTREAM_LATE_S
    mark = glyph_of("warning", ascii_only=ascii_only) if late else ""
    text = f"{duration(lag_s)} ago{', late' if late else ''}"
    return Fact("lag", "upstream read", text, "warning" if late else "", mark)


def download_facts(state: FarmState, now: float, *, ascii_only: bool = False) -> list[Fact]:  # noqa: ARG001
    """Downloads in figures; a single fact says so while no access log is read."""
    downloads = state.status.downloads if state.status else Downloads()
    if not downloads.connected:
        return [Fact("connected", "downloads", NO_ACCESS_LOG, "muted")]
    return [
        Fact("rate", "now", f"{downloads.rate_per_s:.1f} a second"),
        Fact("hour", "last hour", _per_minute(downloads.per_minute, ascii_only)),
        _today(downloads, ascii_only),
        Fact("month", "last 30 days", count(downloads.last_30_days)),
        Fact("total", "in all", count(downloads.total)),
    ]


def _per_minute(counts: tuple[int, ...], ascii_only: bool) -> str:
    if not counts:
        return ""
    bars = sparkline(tuple(map(float, counts)), 60, float(max(counts)), ascii_only=ascii_only)
    return f"{count(sum(counts))}, at most {count(max(counts))} a minute {bars}"


def _today(downloads: Downloads, ascii_only: bool) -> Fact:
    today, record = downloads.today, downloads.record_day
    if not record:
        return Fact("today", "today", count(today))
    if today >= record:
        mark = glyph_of("good", ascii_only=ascii_only)
        return Fact("today", "today", f"{count(today)}, a record", "success", mark, 1.0)
    on = f" ({harmless(downloads.record_date)})" if downloads.record_date else ""
    text = f"{count(today)}, {percent(today, record)} of the record of {count(record)}{on}"
    return Fact("today", "today", text, "", "", today / record)


def splits(state: FarmState) -> dict[str, list[Fact]]:
    """Today's downloads by project, architecture, Python and installer; shares of the largest."""
    if state.status is None:
        return {}
    downloads = state.status.downloads
    return {
        "projects": _split(downloads.top),
        "architectures": _split(downloads.architectures),
        "pythons": _split(downloads.pythons),
        "installers": _split(downloads.installers),
    }


def _split(counts: tuple[DownloadCount, ...]) -> list[Fact]:
    most = max((entry.count for entry in counts), default=0)
    return [
        Fact(entry.name, harmless(entry.name), count(entry.count), share=entry.count / (most or 1))
        for entry in counts
    ]
