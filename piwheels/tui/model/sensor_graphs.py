"""The sensors of a builder over a window: a line each, with value, bars and comparison."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from piwheels.formatting import (
    format_percent,
    format_short_duration,
    format_temperature,
)
from piwheels.model import BuilderSeries, HostMetrics, SeriesBars, SeriesWindow
from piwheels.tui.model.bar_chart import bar_chart
from piwheels.tui.model.builder_lines import BuilderFacts
from piwheels.tui.model.detail_lines import DetailLine, paragraph
from piwheels.tui.model.tables.builders import DISK_CRITICAL, MEMORY_LOW, TEMPERATURE_CRITICAL

#: From this width on a line has a comparison; below the other one it has the newest bars alone.
_WIDE, _NARROW = 72, 46
_NARROW_BARS = 14
_SOON_S = 366 * 86400.0
_LABELS = {
    BuilderSeries.LOAD: ("Load", "Load"),
    BuilderSeries.TEMPERATURE: ("Temperature", "Temp"),
    BuilderSeries.MEMORY: ("Memory", "Memory"),
    BuilderSeries.DISK: ("Disk", "Disk"),
    BuilderSeries.THROTTLED: ("Throttled", "Throttle"),
}
_ALWAYS = (
    BuilderSeries.LOAD,
    BuilderSeries.TEMPERATURE,
    BuilderSeries.MEMORY,
    BuilderSeries.DISK,
)


class _Reading(NamedTuple):
    """A sensor now: its text, the value of a full bar (0: the largest), and whether it is bad."""

    text: str
    top: float = 0.0
    is_bad: bool = False


def graph_lines(facts: BuilderFacts, width: int, *, throttled: bool = True) -> list[DetailLine]:
    """A heading and a line for each sensor; `throttled`: also for that, where it is known."""
    host = facts.builder.view.host
    kinds = [*_ALWAYS]
    if throttled and host.throttled is not None:
        kinds.append(BuilderSeries.THROTTLED)
    lines = [_heading(facts.window, width), *(_line(facts, kind, width) for kind in kinds)]
    if facts.series_note:
        lines += paragraph(facts.series_note, width, "muted")
    return lines


def _heading(window: SeriesWindow, width: int) -> DetailLine:
    bar = format_short_duration(window.bar_s)
    if width < _NARROW:
        return DetailLine(f"{window}, {bar} a bar", "muted")
    if width < _WIDE:
        what = f"newest right, bars of {bar}"
        return DetailLine(f"{window:<8}{'now':>4} {what:<30} {'top':>4}", "muted")
    left = f"{window}, {bar} a bar"
    return DetailLine(f"{left:<14}{'now':>6}  {'newest right':<30}  {'top':>5}  {window}", "muted")


def _line(facts: BuilderFacts, kind: BuilderSeries, width: int) -> DetailLine:
    host, bars = facts.builder.view.host, facts.series.get(kind)
    reading = _reading(kind, host, bars)
    count = facts.window.bars if width >= _NARROW else min(facts.window.bars, _NARROW_BARS)
    means = bars.means[-count:] if bars else (None,) * count
    chart, top = bar_chart(means, top=reading.top, ascii_only=facts.ascii_only)
    full = _figure(kind, top) if any(mean is not None for mean in means) else "-"
    label, short = _LABELS[kind]
    style = "warning" if reading.is_bad else ""
    if width < _WIDE:
        room = 30 if width >= _NARROW else _NARROW_BARS
        return DetailLine(f"{short:<8}{reading.text:>4} {chart:<{room}} {full:>4}", style)
    note = _note(kind, host, bars, facts.window)
    text = f"{label:<14}{reading.text:>6}  {chart:<30}  {full:>5}  {note}"
    return DetailLine(text.rstrip(), style)


def _reading(kind: BuilderSeries, host: HostMetrics, bars: SeriesBars | None) -> _Reading:
    match kind:
        case BuilderSeries.LOAD:
            largest = max(_known(bars.means if bars else ()), default=0.0)
            return _Reading(f"{host.load:.1f}", max(largest, float(host.cores or 0)))
        case BuilderSeries.TEMPERATURE if host.temperature is not None:
            bad = host.temperature >= TEMPERATURE_CRITICAL
            return _Reading(format_temperature(host.temperature), 0.0, bad)
        case BuilderSeries.MEMORY:
            return _share(host.memory_total, host.memory_free, MEMORY_LOW)
        case BuilderSeries.DISK:
            return _share(host.disk_total, host.disk_free, DISK_CRITICAL)
        case BuilderSeries.THROTTLED:
            return _Reading("yes" if host.throttled else "no", 1.0, bool(host.throttled))
        case _:
            return _Reading("-")


def _share(total: int, free: int, low: float) -> _Reading:
    if total <= 0:
        return _Reading("-", 1.0)
    return _Reading(format_percent(total - free, total), 1.0, free / total < low)


def _figure(kind: BuilderSeries, value: float) -> str:
    if kind is BuilderSeries.LOAD:
        return f"{value:.1f}"
    if kind is BuilderSeries.TEMPERATURE:
        return format_temperature(value)
    return format_percent(value, 1.0)


def _note(
    kind: BuilderSeries, host: HostMetrics, bars: SeriesBars | None, window: SeriesWindow
) -> str:
    """What a sensor did in the whole window."""
    if kind is BuilderSeries.THROTTLED:
        minutes = -(-(host.throttled_s or 0.0) // 60)
        return f"{min(60, int(minutes))} of 60 min"
    if bars is None or bars.mean is None:
        return ""
    largest = max(_known(bars.maxima), default=bars.mean)
    if kind is BuilderSeries.LOAD:
        return f"{bars.mean:.1f} mean"
    if kind is BuilderSeries.TEMPERATURE:
        return f"{min(_known(bars.means)):.0f}-{format_temperature(largest)}"
    if kind is BuilderSeries.MEMORY:
        return f"{format_percent(largest, 1.0)} peak"
    return _full_in(bars, window)


def _full_in(bars: SeriesBars, window: SeriesWindow) -> str:
    """When a disk that fills as it did in the window is full; "" if that is not soon.

    Within an hour, it is the files of a build that fill it.
    """
    if window is SeriesWindow.HOUR:
        return ""
    known = [(place, mean) for place, mean in enumerate(bars.means) if mean is not None]
    if len(known) < 2:
        return ""
    (first, before), (last, now) = known[0], known[-1]
    growth_per_s = (now - before) / ((last - first) * window.bar_s)
    if growth_per_s <= 0 or (left_s := (1 - now) / growth_per_s) > _SOON_S:
        return ""
    return f"full in {format_short_duration(left_s)}"


def _known(values: Sequence[float | None]) -> Iterator[float]:
    return (value for value in values if value is not None)
