"""Charts as HTML: an SVG, a table and a link to JSON.

Pure functions with deterministic output. Style attributes are not used, because the
Content-Security-Policy forbids them: colors are classes of style.css, which support light and dark
mode. Horizontal positions are percentages and vertical ones are pixels, so that text keeps its
size at any width from 320 px. Labels and names may be untrusted text.
"""

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from html import escape
from itertools import pairwise

import msgspec
from markupsafe import Markup

from piwheels.formatting import format_decimal_size, format_short_count, format_short_size
from piwheels.model import Struct
from piwheels.website.chart_labels import CHART_HEIGHT_PX, x_labels
from piwheels.website.filters import mark_invisible, truncate

Value = int | float | None  # None is a gap: unknown

_COLORS = 6
_PLOT_TOP, _PLOT_BOTTOM = 22, 222
_MAX_COLUMNS = 240  # more would be narrower than a pixel on a phone
_MAX_TOOLTIPS = 120
_MIN_SLOTS = 12  # the only column of a chart is not as wide as the chart
_MAX_TABLE_ROWS = 400
_MAX_LABEL_LENGTH = 28
_TOO_LARGE = 1e300
_NEARLY_ZERO = 1e-9


class Unit(StrEnum):
    """What values measure, which decides how they are formatted."""

    COUNT = "count"
    BYTES = "bytes"
    PERCENT = "percent"


class Series(Struct, frozen=True, kw_only=True):
    """One row of values, one for each label of its chart."""

    name: str
    values: tuple[Value, ...]


class Chart(Struct, frozen=True, kw_only=True):
    """The data of a chart.

    key: unique on its page; letters, digits and hyphens.
    label_heading: what the labels are: "Month".
    """

    key: str
    title: str
    label_heading: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    unit: Unit = Unit.COUNT

    def __post_init__(self) -> None:
        """Raise ValueError for a series whose length differs from that of the labels."""
        for series in self.series:
            if len(series.values) != len(self.labels):
                raise ValueError(f"{series.name}: the series needs one value for each label")


def column_chart(chart: Chart, *, json_url: str = "") -> Markup:
    """Columns over time; several series are stacked.

    Args:
        chart: what to show; values below 0 are shown as 0.
        json_url: the URL of the chart's data, which is linked.
    """
    binned, step = _binned(chart)
    totals = [
        sum(_plotted(s.values[at]) for s in binned.series) for at in range(len(binned.labels))
    ]
    top, ticks = _axis_scale(totals, integers=_has_only_integers(chart))
    body = "".join(_stacked_column(binned, at, top) for at in range(len(binned.labels)))
    note = f" Each column shows the maximum of {step} values." if step > 1 else ""
    centers = [100 * (at + 0.5) / _slot_count(chart.labels) for at in range(len(chart.labels))]
    picture = _grid_lines(ticks, top) + body + x_labels(chart.labels, centers)
    return _figure_html(
        chart, picture, _y_labels(ticks, top, chart.unit), note=note, json_url=json_url
    )


def line_chart(chart: Chart, *, json_url: str = "") -> Markup:
    """A line for each series over time, with gaps where values are unknown; see `column_chart`."""
    known = [_plotted(value) for series in chart.series for value in series.values]
    top, ticks = _axis_scale(known, integers=_has_only_integers(chart))
    body = "".join(_line_svg(series, at, top) for at, series in enumerate(chart.series))
    picture = (
        _grid_lines(ticks, top) + body + x_labels(chart.labels, _point_positions(chart.labels))
    )
    return _figure_html(chart, picture, _y_labels(ticks, top, chart.unit), json_url=json_url)


def bar_chart(chart: Chart, *, json_url: str = "") -> Markup:
    """Horizontal bars of the first series, one for each label; see `column_chart`."""
    values = chart.series[0].values if chart.series else ()
    top = max((_plotted(value) for value in values), default=0) or 1
    top = 100.0 if chart.unit is Unit.PERCENT and top <= 100 else top
    rows = "".join(
        _bar_svg(label, value, at, top, chart.unit)
        for at, (label, value) in enumerate(zip(chart.labels, values, strict=True))
    )
    return _figure_html(chart, rows, height=max(len(values), 1) * 40, json_url=json_url)


def to_json(chart: Chart) -> bytes:
    """The chart's data as JSON."""
    return msgspec.json.encode(
        {
            "title": chart.title,
            "unit": chart.unit,
            "labels": chart.labels,
            "series": [
                {"name": series.name, "values": [_finite(value) for value in series.values]}
                for series in chart.series
            ],
        }
    )


def format_value(value: Value, unit: Unit = Unit.COUNT) -> str:
    """A value in full, `1,234,567`; an unknown value is a dash."""
    value = _finite(value)
    if value is None:
        return "–"  # noqa: RUF001 - the sign for unknown
    if unit is Unit.BYTES:
        return format_decimal_size(value)
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{number} %" if unit is Unit.PERCENT else number


# --- the figure element ------------------------------------------------------------------------


def _figure_html(
    chart: Chart,
    picture: str,
    numbers: str = "",
    *,
    height: int = CHART_HEIGHT_PX,
    note: str = "",
    json_url: str = "",
) -> Markup:
    key = escape(chart.key)
    empty = not any(_finite(v) is not None for s in chart.series for v in s.values)
    if empty:
        height, numbers = 64, ""
        picture = '<text class="empty" x="50%" y="36" text-anchor="middle">No data yet</text>'
    return Markup(  # noqa: S704 - its parts are escaped
        f'<figure class="chart">\n<figcaption>{_escaped(chart.title)}</figcaption>\n'
        f"{_legend(chart)}"
        f'<div class="picture">{numbers}<svg role="img" width="100%" height="{height}" '
        f'aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{_escaped(chart.title)}</title>'
        f'<desc id="{key}-desc">{_description(chart)}{note}</desc>\n{picture}</svg></div>\n'
        f"{'' if empty else _data_table(chart, json_url)}</figure>\n"
    )


def _data_table(chart: Chart, json_url: str) -> str:
    """The values as a table, and a link to the JSON."""
    title = _escaped(chart.title)
    link = f'<p><a href="{escape(json_url)}">Data as JSON</a></p>\n' if json_url else ""
    summary = f'<summary>Table<span class="hidden-text">: {title}</span></summary>'
    return f'<details class="fold">{summary}\n{_table_html(chart)}{link}</details>\n'


def _description(chart: Chart) -> str:
    if not chart.labels:
        return "No data yet."
    sentences = [
        f"{len(chart.labels)} values, {_escaped(chart.labels[0])} to {_escaped(chart.labels[-1])}."
    ]
    for series in chart.series[:_COLORS]:
        known = [(_plotted(v), at) for at, v in enumerate(series.values) if _finite(v) is not None]
        if known:
            most, at = max(known, key=lambda pair: (pair[0], -pair[1]))
            sentences.append(
                f"{_escaped(series.name)}: maximum {format_value(most, chart.unit)} "
                f"({_escaped(chart.labels[at])}), "
                f"last {format_value(series.values[-1], chart.unit)}."
            )
    return " ".join(sentences)


def _legend(chart: Chart) -> str:
    if len(chart.series) < 2:
        return ""
    items = "".join(
        '<li><svg aria-hidden="true" width="10" height="10">'
        f'<rect class="{_color_class(at)}" width="100%" height="100%"/></svg>'
        f"{_escaped(series.name)}</li>"
        for at, series in enumerate(chart.series)
    )
    return f'<ul class="legend">{items}</ul>\n'


def _table_html(chart: Chart) -> str:
    heads = "".join(f'<th scope="col" class="num">{_escaped(s.name)}</th>' for s in chart.series)
    first = max(0, len(chart.labels) - _MAX_TABLE_ROWS)
    rows = "".join(_table_row(chart, at) for at in range(first, len(chart.labels)))
    older = f"<p>The {first:,} earlier rows are in the JSON.</p>\n" if first else ""
    title = _escaped(chart.title)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}: table">\n'
        f'<table class="data"><caption>{title}</caption>\n<thead><tr>'
        f'<th scope="col">{_escaped(chart.label_heading)}</th>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table></div>\n{older}"
    )


def _table_row(chart: Chart, row: int) -> str:
    cells = "".join(
        f'<td class="num">{format_value(series.values[row], chart.unit)}</td>'
        for series in chart.series
    )
    return f'<tr><th scope="row"><bdi>{_escaped(chart.labels[row])}</bdi></th>{cells}</tr>\n'


# --- columns, lines and bars -------------------------------------------------------------------


def _stacked_column(chart: Chart, column: int, top: float) -> str:
    width = 100 / _slot_count(chart.labels)
    left, wide = column * width + width * 0.08, width * 0.84
    floor, rects = 0.0, []
    for index, series in enumerate(chart.series):
        value = _plotted(series.values[column])
        if value:
            low, high = _y_px(floor, top), _y_px(floor + value, top)
            rects.append(
                f'<rect class="{_color_class(index)}" x="{left:.2f}%" width="{wide:.2f}%" '
                f'y="{high:.1f}" height="{max(low - high, 0.5):.1f}"/>'
            )
        floor += value
    if not rects:
        return ""
    tooltip = _tooltip(chart, column) if len(chart.labels) <= _MAX_TOOLTIPS else ""
    return f"<g>{tooltip}{''.join(rects)}</g>\n"


def _tooltip(chart: Chart, column: int) -> str:
    several = len(chart.series) > 1
    values = (
        f"{_escaped(s.name)} {format_value(s.values[column], chart.unit)}"
        if several
        else format_value(s.values[column], chart.unit)
        for s in chart.series
    )
    return f"<title>{_escaped(chart.labels[column])}: {', '.join(values)}</title>"


def _line_svg(series: Series, index: int, top: float) -> str:
    """A path in an SVG of its own that is stretched to the width: a path has no percentages."""
    runs = list(_segments(series.values))
    path = "".join(_path_data(run, top) for run in runs if len(run) > 1)
    dots = "".join(
        f'<circle class="{_color_class(index)}" cx="{x / 10:.2f}%" cy="{_y_px(value, top):.1f}" '
        'r="3"/>'
        for (x, value), *more in runs
        if not more
    )
    height = _PLOT_BOTTOM - _PLOT_TOP
    return (
        f'<svg x="0" y="{_PLOT_TOP}" width="100%" height="{height}" overflow="visible" '
        f'viewBox="0 0 1000 {height}" preserveAspectRatio="none">'
        f'<path class="line l{index % _COLORS + 1}" vector-effect="non-scaling-stroke" '
        f'd="{path}"/></svg>{dots}\n'
    )


def _segments(values: Sequence[Value]) -> Iterator[list[tuple[float, float]]]:
    """Points between gaps: x in thousandths of the width, and the value."""
    run: list[tuple[float, float]] = []
    for at, value in _downsampled(values):
        if _finite(value) is not None:
            x = at * 1000 / (len(values) - 1) if len(values) > 1 else 500.0
            run.append((x, _plotted(value)))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _path_data(run: Sequence[tuple[float, float]], top: float) -> str:
    points = (f"{x:.1f} {_y_px(value, top) - _PLOT_TOP:.1f}" for x, value in run)
    return "M" + "L".join(points)


def _downsampled(values: Sequence[Value]) -> Iterator[tuple[int, Value]]:
    """At most two points for each pixel: the lowest and the highest of the values there."""
    step = math.ceil(len(values) / (2 * _MAX_COLUMNS))
    if step <= 2:
        yield from enumerate(values)
        return
    for start in range(0, len(values), step):
        piece = range(start, min(start + step, len(values)))
        known = [at for at in piece if _finite(values[at]) is not None]
        if not known:
            yield start, None
            continue
        ends = {min(known, key=lambda at: _plotted(values[at]))}
        ends.add(max(known, key=lambda at: _plotted(values[at])))
        for at in sorted(ends):
            yield at, values[at]


def _bar_svg(label: str, value: Value, row: int, top: float, unit: Unit) -> str:
    y = row * 40
    share = 100 * _plotted(value) / top
    shown = _escaped(truncate(label, _MAX_LABEL_LENGTH))
    return (
        f"<g><title>{_escaped(label)}: {format_value(value, unit)}</title>"
        f'<text x="0" y="{y + 15}">{shown}'
        f'</text><text class="value" x="100%" y="{y + 15}" text-anchor="end">'
        f'{format_value(value, unit)}</text><rect class="groove" x="0" y="{y + 22}" width="100%" '
        f'height="8"/><rect class="s1" x="0" y="{y + 22}" width="{share:.2f}%" height="8"/></g>\n'
    )


# --- axes --------------------------------------------------------------------------------------


def _axis_scale(values: Sequence[float], *, integers: bool) -> tuple[float, list[float]]:
    """The top of the plot, and about four grid lines at round numbers."""
    most = max(values, default=0)
    most = most if most > _NEARLY_ZERO else 1
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= rough * (1 - 1e-9))
    if integers:
        step = max(1.0, step if step == int(step) else float(math.ceil(step)))
    count = math.ceil(most / step - 1e-9)
    return step * count, [step * at for at in range(1, count + 1)]


def _y_labels(ticks: Sequence[float], top: float, unit: Unit) -> str:
    """The labels of the base and of the grid lines, in a column to their left."""
    labels = [(0.0, "0"), *((tick, _format_tick(tick, unit)) for tick in ticks)]
    texts = "".join(
        f'<text x="0" y="{_y_px(tick, top) + 4:.1f}">{label}</text>' for tick, label in labels
    )
    return f'<svg aria-hidden="true" width="54" height="{CHART_HEIGHT_PX}">{texts}</svg>'


def _grid_lines(ticks: Sequence[float], top: float) -> str:
    drawn = "".join(
        f'<line class="rule" x1="0" x2="100%" y1="{_y_px(t, top):.1f}" y2="{_y_px(t, top):.1f}"/>'
        for t in ticks
    )
    base = f'<line class="axis" x1="0" x2="100%" y1="{_PLOT_BOTTOM}" y2="{_PLOT_BOTTOM}"/>'
    return f"{drawn}{base}\n"


def _slot_count(labels: Sequence[str]) -> int:
    """The number of columns that the width is divided into."""
    return max(len(labels), _MIN_SLOTS)


def _point_positions(labels: Sequence[str]) -> list[float]:
    """The x positions of the points of a line, in percent."""
    last = len(labels) - 1
    return [100 * at / last for at in range(len(labels))] if last > 0 else [50.0] * len(labels)


def _y_px(value: float, top: float) -> float:
    return _PLOT_BOTTOM - (_PLOT_BOTTOM - _PLOT_TOP) * value / top


# --- values and text ---------------------------------------------------------------------------


def _binned(chart: Chart) -> tuple[Chart, int]:
    """The chart with at most _MAX_COLUMNS columns, and how many values each stands for."""
    step = math.ceil(len(chart.labels) / _MAX_COLUMNS)
    if step <= 1:
        return chart, 1
    starts = [*range(0, len(chart.labels), step), len(chart.labels)]
    series = tuple(
        Series(
            name=series.name,
            values=tuple(max(map(_plotted, series.values[a:b])) for a, b in pairwise(starts)),
        )
        for series in chart.series
    )
    labels = tuple(chart.labels[at] for at in starts[:-1])
    return msgspec.structs.replace(chart, labels=labels, series=series), step


def _finite(value: Value) -> int | float | None:
    """The value, or None for NaN and for numbers that are too large for a float."""
    return value if value is not None and abs(value) < _TOO_LARGE else None


def _plotted(value: Value) -> float:
    return max(0.0, float(_finite(value) or 0))


def _has_only_integers(chart: Chart) -> bool:
    return not any(isinstance(v, float) for series in chart.series for v in series.values)


def _format_tick(value: float, unit: Unit) -> str:
    """A round number for an axis: `2.5M`."""
    if unit is Unit.BYTES:
        return format_short_size(value)
    return f"{value:g} %" if unit is Unit.PERCENT else format_short_count(value)


def _color_class(index: int) -> str:
    return f"s{index % _COLORS + 1}"


def _escaped(text: str) -> str:
    """Untrusted text with invisible characters marked, and escaped."""
    return escape(mark_invisible(text))
