"""The metrics of the host and downloads screens: labels, values and shares."""

from typing import NamedTuple

from piwheels.alerts.rules import UPSTREAM_WARNS_S
from piwheels.formatting import (
    format_count,
    format_load,
    format_percent,
    format_rate,
    format_short_duration,
    format_size,
    format_temperature,
)
from piwheels.model import HostMetrics, LiveDownloads, NamedCount
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.glyphs import sparkline
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.builders import (
    DISK_CRITICAL,
    DISK_LOW,
    MEMORY_LOW,
    temperature_style,
)
from piwheels.tui.model.terminal_text import terminal_safe

NO_ACCESS_LOG = "no access log is connected"


class Metric(NamedTuple):
    """A labelled value; `share` (0 to 1) can be drawn as a gauge, `key` is its identity."""

    key: str
    label: str
    text: str
    style: str = ""
    glyph: str = ""
    share: float | None = None


def host_metrics(state: FarmState, now: float, *, ascii_only: bool = False) -> list[Metric]:
    """The master's machine and what it stores; empty without a snapshot."""
    status = state.status
    if status is None:
        return []
    host = status.host
    since = (
        max(0.0, now - state.last_heard_at)
        if state.last_heard_at is not None and state.connected
        else 0.0
    )
    metrics = [
        Metric("version", "piwheels", terminal_safe(status.version)),
        Metric("instance", "instance", terminal_safe(status.instance)),
        Metric("uptime", "uptime", format_short_duration(status.uptime_s + since)),
        Metric("load", "load", format_load(host.load)),
        *_memory_metrics(host),
        _disk_metric(host, ascii_only),
        _temperature_metric(host, ascii_only),
        Metric("database", "database", format_size(status.database_bytes)),
        _upstream_metric(status.upstream_lag_s, ascii_only),
        Metric("upstream", "upstream status", terminal_safe(status.upstream_status_text)),
        Metric("pages", "pages to write", format_count(status.stale_pages)),
        Metric("projects", "projects", format_count(status.projects)),
        Metric("releases", "releases", format_count(status.releases)),
        Metric("builds", "builds", format_count(status.builds)),
        Metric(
            "files", "wheels", f"{format_count(status.files)} ({format_size(status.files_bytes)})"
        ),
        Metric("hour", "last hour", outcome_summary(status.last_hour)),
    ]
    return [metric for metric in metrics if metric.text]


def outcome_summary(outcomes: dict[str, int]) -> str:
    """Builds by outcome in words: `12 built, 3 failed`."""
    ended = (
        f"{format_count(number)} {terminal_safe(word)}" for word, number in sorted(outcomes.items())
    )
    return ", ".join(ended) or "no builds"


def _memory_metrics(host: HostMetrics) -> list[Metric]:
    metrics = [_usage_metric("memory", "memory", host.memory_total, host.memory_free, MEMORY_LOW)]
    if host.swap_total:
        metrics.append(_usage_metric("swap", "swap", host.swap_total, host.swap_free, 0.0))
    return metrics


def _usage_metric(key: str, label: str, total: int, free: int, low: float) -> Metric:
    if total <= 0:
        return Metric(key, label, "unknown")
    used = total - free
    text = f"{format_size(used)} of {format_size(total)} ({format_percent(used, total)})"
    return Metric(key, label, text, "warning" if free / total < low else "", "", used / total)


def _disk_metric(host: HostMetrics, ascii_only: bool) -> Metric:
    metric = _usage_metric("disk", "web root disk", host.disk_total, host.disk_free, DISK_LOW)
    if not metric.style:
        return metric
    critical = host.disk_free / host.disk_total < DISK_CRITICAL
    mark = glyph_of("warning", ascii_only=ascii_only)
    text = f"{metric.text}, nearly full" if critical else f"{metric.text}, getting full"
    return metric._replace(style="error" if critical else "warning", glyph=mark, text=text)


def _temperature_metric(host: HostMetrics, ascii_only: bool) -> Metric:
    degrees = host.temperature
    if degrees is None:
        return Metric("temperature", "temperature", "no sensor", "muted")
    style = temperature_style(degrees)
    if not style:
        return Metric("temperature", "temperature", format_temperature(degrees))
    mark = glyph_of("warning", ascii_only=ascii_only)
    text = f"{format_temperature(degrees)}, {'too hot' if style == 'error' else 'warm'}"
    return Metric("temperature", "temperature", text, style, mark)


def _upstream_metric(lag_s: float | None, ascii_only: bool) -> Metric:
    if lag_s is None:
        return Metric("lag", "upstream read", "not yet", "muted")
    late = lag_s > UPSTREAM_WARNS_S
    mark = glyph_of("warning", ascii_only=ascii_only) if late else ""
    text = f"{format_short_duration(lag_s)} ago{', late' if late else ''}"
    return Metric("lag", "upstream read", text, "warning" if late else "", mark)


def download_metrics(state: FarmState, *, ascii_only: bool = False) -> list[Metric]:
    """Download metrics; a single one says so while no access log is connected."""
    downloads = state.status.downloads if state.status else LiveDownloads()
    if not downloads.connected:
        return [Metric("connected", "downloads", NO_ACCESS_LOG, "muted")]
    return [
        Metric("rate", "now", f"{format_rate(downloads.rate_per_s)} per second"),
        Metric("hour", "last hour", _last_hour_text(downloads.per_minute, ascii_only)),
        _today_metric(downloads, ascii_only),
        Metric("yesterday", "yesterday", format_count(downloads.yesterday)),
        Metric("month", "last 30 days", format_count(downloads.last_30_days)),
        Metric("total", "total", format_count(downloads.total)),
    ]


def _last_hour_text(counts: tuple[int, ...], ascii_only: bool) -> str:
    if not counts:
        return ""
    bars = sparkline(tuple(map(float, counts)), 60, float(max(counts)), ascii_only=ascii_only)
    return f"{format_count(sum(counts))}, peak {format_count(max(counts))} per minute {bars}"


def _today_metric(downloads: LiveDownloads, ascii_only: bool) -> Metric:
    today, record = downloads.today, downloads.record_day
    text = f"{format_count(today)}{_compared_with_yesterday(downloads)}"
    if not record:
        return Metric("today", "today", text)
    if today >= record:
        mark = glyph_of("good", ascii_only=ascii_only)
        return Metric("today", "today", f"{text}, a record", "success", mark, 1.0)
    on = f" ({terminal_safe(downloads.record_date)})" if downloads.record_date else ""
    percent = format_percent(today, record)
    text = f"{text}, {percent} of the record {format_count(record)}{on}"
    return Metric("today", "today", text, "", "", today / record)


def _compared_with_yesterday(downloads: LiveDownloads) -> str:
    before = downloads.yesterday_by_now
    if not before:
        return ""
    change = (downloads.today - before) / before
    return f", {change:+.0%} on {format_count(before)} yesterday by now"


def breakdowns(state: FarmState) -> dict[str, list[Metric]]:
    """Today's downloads by project, architecture, Python and installer; shares of the largest."""
    if state.status is None:
        return {}
    downloads = state.status.downloads
    return {
        "projects": _breakdown(downloads.top),
        "architectures": _breakdown(downloads.architectures),
        "pythons": _breakdown(downloads.pythons),
        "installers": _breakdown(downloads.installers),
    }


def _breakdown(counts: tuple[NamedCount, ...]) -> list[Metric]:
    most = max((entry.count for entry in counts), default=0)
    return [
        Metric(
            entry.name,
            terminal_safe(entry.name),
            format_count(entry.count),
            share=entry.count / (most or 1),
        )
        for entry in counts
    ]
