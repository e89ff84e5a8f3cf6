"""Pictures of figures as HTML: an SVG to see, a table to read, JSON to take along.

Functions of their arguments with deterministic bytes. No style attribute is used, which the
site's Content-Security-Policy would refuse: colours are classes of style.css, so that a picture
follows light and dark. Positions across are percentages and positions down are pixels, so that
text keeps its size from 320 px to any width. Names in a chart may be a stranger's text.
"""

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from html import escape
from itertools import pairwise
from typing import NamedTuple

import humanize
import msgspec
from markupsafe import Markup

from piwheels.model import Struct
from piwheels.site.text import visible

Value = int | float | None  # None is a gap: nothing is known

_COLOURS = 6
_PLOT_TOP, _PLOT_BOTTOM, _HEIGHT = 22, 222, 248
_MOST_COLUMNS = 240  # more would be narrower than a pixel of a phone
_MOST_TOOLTIPS = 120
_FEWEST_SLOTS = 12  # a chart's first column is no wall
_MOST_TABLE_ROWS = 400
_LABEL_LENGTH = 28
#: How wide a digit gets, what is between labels, and how far one may stick out to the right.
_DIGIT_PX, _GAP_PX, _EDGE_PX = 8.3, 6.0, 14.0
#: The narrowest plot, on a phone; and from which width on style.css shows all labels.
_NARROWEST_PX, _WIDE_PX = 225.0, 490.0
_UNKNOWABLE = 1e300
_NOTHING = 1e-9


class Unit(StrEnum):
    """What values count, which decides how they are written."""

    COUNT = "count"
    BYTES = "bytes"
    PERCENT = "percent"


class Series(Struct, frozen=True, kw_only=True):
    """One row of values, one for each label of its chart."""

    name: str
    values: tuple[Value, ...]


class Chart(Struct, frozen=True, kw_only=True):
    """What a picture shows.

    key: an identifier that no other chart of the page has, of letters, digits and hyphens.
    heading: what the labels are: "Month".
    """

    key: str
    title: str
    heading: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    unit: Unit = Unit.COUNT

    def __post_init__(self) -> None:
        """Refuse series of another length than the labels: a mistake of the caller."""
        for series in self.series:
            if len(series.values) != len(self.labels):
                raise ValueError(f"{series.name}: a value for each label, please")


def columns(chart: Chart, *, json: str = "") -> Markup:
    """Upright columns over time; several series stand on top of one another.

    Args:
        chart: what to show; values below 0 are shown as 0.
        json: the address of the chart's data, which gets a link.
    """
    binned, step = _binned(chart)
    totals = [sum(_height(s.values[at]) for s in binned.series) for at in range(len(binned.labels))]
    top, ticks = _scale(totals, whole=_whole(chart))
    body = "".join(_stack(binned, at, top) for at in range(len(binned.labels)))
    note = f" Each column is the highest of {step} neighbours." if step > 1 else ""
    picture = _rules(ticks, top) + body + _across(chart.labels, _middles(chart.labels))
    return _figure(chart, picture, _numbers(ticks, top, chart.unit), note=note, json=json)


def lines(chart: Chart, *, json: str = "") -> Markup:
    """A line for each series over time, broken where nothing is known; see `columns`."""
    known = [_height(value) for series in chart.series for value in series.values]
    top, ticks = _scale(known, whole=_whole(chart))
    body = "".join(_line(series, at, top) for at, series in enumerate(chart.series))
    picture = _rules(ticks, top) + body + _across(chart.labels, _points(chart.labels))
    return _figure(chart, picture, _numbers(ticks, top, chart.unit), json=json)


def breakdown(chart: Chart, *, json: str = "") -> Markup:
    """A bar for each label, one below the other, of the first series; see `columns`."""
    values = chart.series[0].values if chart.series else ()
    top = max((_height(value) for value in values), default=0) or 1
    top = 100.0 if chart.unit is Unit.PERCENT and top <= 100 else top
    rows = "".join(
        _bar(label, value, at, top, chart.unit)
        for at, (label, value) in enumerate(zip(chart.labels, values, strict=True))
    )
    return _figure(chart, rows, height=max(len(values), 1) * 40, json=json)


def data(chart: Chart) -> bytes:
    """The chart's figures as JSON, for the file beside the page."""
    return msgspec.json.encode(
        {
            "title": chart.title,
            "unit": chart.unit,
            "labels": chart.labels,
            "series": [
                {"name": series.name, "values": [_known(value) for value in series.values]}
                for series in chart.series
            ],
        }
    )


def written(value: Value, unit: Unit = Unit.COUNT) -> str:
    """A value in full, `1,234,567`; a gap is a dash."""
    value = _known(value)
    if value is None:
        return "–"  # noqa: RUF001 - the sign for nothing known
    if unit is Unit.BYTES:
        return humanize.naturalsize(value)
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{number} %" if unit is Unit.PERCENT else number


# --- the figure around a picture ---------------------------------------------------------------


def _figure(
    chart: Chart,
    picture: str,
    numbers: str = "",
    *,
    height: int = _HEIGHT,
    note: str = "",
    json: str = "",
) -> Markup:
    key = escape(chart.key)
    empty = not any(_known(v) is not None for s in chart.series for v in s.values)
    if empty:
        height, numbers = 64, ""
        picture = '<text class="empty" x="50%" y="36" text-anchor="middle">No data yet</text>'
    return Markup(  # noqa: S704 - made of escaped parts
        f'<figure class="chart">\n<figcaption>{_text(chart.title)}</figcaption>\n{_legend(chart)}'
        f'<div class="picture">{numbers}<svg role="img" width="100%" height="{height}" '
        f'aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{_text(chart.title)}</title>'
        f'<desc id="{key}-desc">{_description(chart)}{note}</desc>\n{picture}</svg></div>\n'
        f"{'' if empty else _figures(chart, json)}</figure>\n"
    )


def _figures(chart: Chart, json: str) -> str:
    """What the picture shows, in numbers."""
    title = _text(chart.title)
    link = f'<p><a href="{escape(json)}">The figures as JSON</a></p>\n' if json else ""
    summary = f'<summary>Table<span class="hidden-text">: {title}</span></summary>'
    return f'<details class="fold">{summary}\n{_table(chart)}{link}</details>\n'


def _description(chart: Chart) -> str:
    if not chart.labels:
        return "No data yet."
    said = [f"{len(chart.labels)} values, {_text(chart.labels[0])} to {_text(chart.labels[-1])}."]
    for series in chart.series[:_COLOURS]:
        known = [(_height(v), at) for at, v in enumerate(series.values) if _known(v) is not None]
        if known:
            most, at = max(known, key=lambda pair: (pair[0], -pair[1]))
            said.append(
                f"{_text(series.name)}: most {written(most, chart.unit)} "
                f"({_text(chart.labels[at])}), last {written(series.values[-1], chart.unit)}."
            )
    return " ".join(said)


def _legend(chart: Chart) -> str:
    if len(chart.series) < 2:
        return ""
    items = "".join(
        '<li><svg aria-hidden="true" width="10" height="10">'
        f'<rect class="{_colour(at)}" width="100%" height="100%"/></svg>{_text(series.name)}</li>'
        for at, series in enumerate(chart.series)
    )
    return f'<ul class="legend">{items}</ul>\n'


def _table(chart: Chart) -> str:
    heads = "".join(f'<th scope="col" class="num">{_text(s.name)}</th>' for s in chart.series)
    first = max(0, len(chart.labels) - _MOST_TABLE_ROWS)
    rows = "".join(_row(chart, at) for at in range(first, len(chart.labels)))
    older = f"<p>The {first:,} rows before these are in the JSON.</p>\n" if first else ""
    title = _text(chart.title)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}: table">\n'
        f'<table class="data"><caption>{title}</caption>\n<thead><tr>'
        f'<th scope="col">{_text(chart.heading)}</th>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table></div>\n{older}"
    )


def _row(chart: Chart, at: int) -> str:
    cells = "".join(
        f'<td class="num">{written(series.values[at], chart.unit)}</td>' for series in chart.series
    )
    return f'<tr><th scope="row"><bdi>{_text(chart.labels[at])}</bdi></th>{cells}</tr>\n'


# --- columns, lines and bars -------------------------------------------------------------------


def _stack(chart: Chart, at: int, top: float) -> str:
    width = 100 / _slots(chart.labels)
    left, wide = at * width + width * 0.08, width * 0.84
    floor, rects = 0.0, []
    for index, series in enumerate(chart.series):
        value = _height(series.values[at])
        if value:
            low, high = _y(floor, top), _y(floor + value, top)
            rects.append(
                f'<rect class="{_colour(index)}" x="{left:.2f}%" width="{wide:.2f}%" '
                f'y="{high:.1f}" height="{max(low - high, 0.5):.1f}"/>'
            )
        floor += value
    if not rects:
        return ""
    tooltip = _tooltip(chart, at) if len(chart.labels) <= _MOST_TOOLTIPS else ""
    return f"<g>{tooltip}{''.join(rects)}</g>\n"


def _tooltip(chart: Chart, at: int) -> str:
    several = len(chart.series) > 1
    values = (
        f"{_text(s.name)} {written(s.values[at], chart.unit)}"
        if several
        else written(s.values[at], chart.unit)
        for s in chart.series
    )
    return f"<title>{_text(chart.labels[at])}: {', '.join(values)}</title>"


def _line(series: Series, index: int, top: float) -> str:
    """A path in a picture of its own, which is stretched across: a path knows no percentages."""
    runs = list(_runs(series.values))
    path = "".join(_path(run, top) for run in runs if len(run) > 1)
    dots = "".join(
        f'<circle class="{_colour(index)}" cx="{x / 10:.2f}%" cy="{_y(value, top):.1f}" r="3"/>'
        for (x, value), *more in runs
        if not more
    )
    height = _PLOT_BOTTOM - _PLOT_TOP
    return (
        f'<svg x="0" y="{_PLOT_TOP}" width="100%" height="{height}" overflow="visible" '
        f'viewBox="0 0 1000 {height}" preserveAspectRatio="none">'
        f'<path class="line l{index % _COLOURS + 1}" vector-effect="non-scaling-stroke" '
        f'd="{path}"/></svg>{dots}\n'
    )


def _runs(values: Sequence[Value]) -> Iterator[list[tuple[float, float]]]:
    """Points that follow one another without a gap: thousandths across, and how high."""
    run: list[tuple[float, float]] = []
    for at, value in _thinned(values):
        if _known(value) is not None:
            x = at * 1000 / (len(values) - 1) if len(values) > 1 else 500.0
            run.append((x, _height(value)))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _path(run: Sequence[tuple[float, float]], top: float) -> str:
    points = (f"{x:.1f} {_y(value, top) - _PLOT_TOP:.1f}" for x, value in run)
    return "M" + "L".join(points)


def _thinned(values: Sequence[Value]) -> Iterator[tuple[int, Value]]:
    """The points that can be told apart: of neighbours on one pixel the lowest and the highest."""
    step = math.ceil(len(values) / (2 * _MOST_COLUMNS))
    if step <= 2:
        yield from enumerate(values)
        return
    for start in range(0, len(values), step):
        piece = range(start, min(start + step, len(values)))
        known = [at for at in piece if _known(values[at]) is not None]
        if not known:
            yield start, None
            continue
        ends = {min(known, key=lambda at: _height(values[at]))}
        ends.add(max(known, key=lambda at: _height(values[at])))
        for at in sorted(ends):
            yield at, values[at]


def _bar(label: str, value: Value, at: int, top: float, unit: Unit) -> str:
    y = at * 40
    share = 100 * _height(value) / top
    shown = _text(_shortened(label))
    return (
        f'<g><title>{_text(label)}: {written(value, unit)}</title><text x="0" y="{y + 15}">{shown}'
        f'</text><text class="value" x="100%" y="{y + 15}" text-anchor="end">'
        f'{written(value, unit)}</text><rect class="groove" x="0" y="{y + 22}" width="100%" '
        f'height="8"/><rect class="s1" x="0" y="{y + 22}" width="{share:.2f}%" height="8"/></g>\n'
    )


# --- axes --------------------------------------------------------------------------------------


def _scale(values: Sequence[float], *, whole: bool) -> tuple[float, list[float]]:
    """The top of the plot and the rules below it: about four, at round numbers."""
    most = max(values, default=0)
    most = most if most > _NOTHING else 1
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, step if step == int(step) else float(math.ceil(step)))
    count = math.ceil(most / step - 1e-9)
    return step * count, [step * at for at in range(1, count + 1)]


def _numbers(ticks: Sequence[float], top: float, unit: Unit) -> str:
    """What the rules stand for, in a column of its own to their left."""
    texts = "".join(
        f'<text x="0" y="{_y(tick, top) + 4:.1f}">{_short(tick, unit)}</text>' for tick in ticks
    )
    return f'<svg aria-hidden="true" width="54" height="{_HEIGHT}">{texts}</svg>'


def _rules(ticks: Sequence[float], top: float) -> str:
    drawn = "".join(
        f'<line class="rule" x1="0" x2="100%" y1="{_y(t, top):.1f}" y2="{_y(t, top):.1f}"/>'
        for t in ticks
    )
    base = f'<line class="axis" x1="0" x2="100%" y1="{_PLOT_BOTTOM}" y2="{_PLOT_BOTTOM}"/>'
    return f"{drawn}{base}\n"


def _slots(labels: Sequence[str]) -> int:
    """How many columns the plot has room for."""
    return max(len(labels), _FEWEST_SLOTS)


def _middles(labels: Sequence[str]) -> list[float]:
    """Where columns stand, in percent."""
    return [100 * (at + 0.5) / _slots(labels) for at in range(len(labels))]


def _points(labels: Sequence[str]) -> list[float]:
    """Where the points of a line are, in percent."""
    last = len(labels) - 1
    return [100 * at / last for at in range(len(labels))] if last > 0 else [50.0] * len(labels)


class _Mark(NamedTuple):
    """A label below the plot: in the middle of its slot, or at the right edge."""

    text: str
    across: float  # percent
    at_edge: bool

    def span(self, width_px: float) -> tuple[float, float]:
        """Where it begins and ends below a plot of that width."""
        long = len(self.text) * _DIGIT_PX
        start = width_px * self.across / 100 - (long if self.at_edge else long / 2)
        return start, start + long

    def fits(self, width_px: float) -> bool:
        """Whether it does not stick out of the picture; to the left there is room for it."""
        return self.span(width_px)[1] <= width_px + _EDGE_PX


def _across(labels: Sequence[str], places: Sequence[float]) -> str:
    """Labels below the plot at even distances, of which a narrow plot shows some.

    Only the last one may be moved to the right edge, where its own place is: another one would
    stand there for a value that is elsewhere, so where it does not fit it is left out.
    """
    texts = [_shortened(label, 20) for label in labels]
    marks = [_Mark(text, at, at_edge=False) for text, at in zip(texts, places, strict=True)]
    if marks and not marks[-1].fits(_NARROWEST_PX):
        marks[-1] = _Mark(marks[-1].text, 100.0, at_edge=True)
    step = _step(marks, _WIDE_PX, 1)
    narrow_step = _step(marks, _NARROWEST_PX, step)
    return "".join(
        _label(marks[at], wide_only=at % narrow_step > 0 or not marks[at].fits(_NARROWEST_PX))
        for at in range(0, len(marks), step)
        if marks[at].fits(_WIDE_PX)
    )


def _step(marks: Sequence[_Mark], width_px: float, unit: int) -> int:
    """The smallest multiple of a unit at which marks taken so far apart do not touch."""
    step = unit
    while not _apart(marks[::step], width_px):
        step += unit
    return step


def _apart(marks: Sequence[_Mark], width_px: float) -> bool:
    spans = [mark.span(width_px) for mark in marks if mark.fits(width_px)]
    return all(end + _GAP_PX <= start for (_, end), (start, _) in pairwise(spans))


def _label(mark: _Mark, *, wide_only: bool) -> str:
    extra = ' class="wide-only"' if wide_only else ""
    anchor = "end" if mark.at_edge else "middle"
    return (
        f'<text{extra} x="{mark.across:.2f}%" y="{_HEIGHT - 8}" text-anchor="{anchor}">'
        f"{_text(mark.text)}</text>"
    )


def _y(value: float, top: float) -> float:
    return _PLOT_BOTTOM - (_PLOT_BOTTOM - _PLOT_TOP) * value / top


# --- values and words --------------------------------------------------------------------------


def _binned(chart: Chart) -> tuple[Chart, int]:
    """A chart of few enough columns, and how many of the given ones each stands for."""
    step = math.ceil(len(chart.labels) / _MOST_COLUMNS)
    if step <= 1:
        return chart, 1
    starts = [*range(0, len(chart.labels), step), len(chart.labels)]
    series = tuple(
        Series(
            name=series.name,
            values=tuple(max(map(_height, series.values[a:b])) for a, b in pairwise(starts)),
        )
        for series in chart.series
    )
    labels = tuple(chart.labels[at] for at in starts[:-1])
    return msgspec.structs.replace(chart, labels=labels, series=series), step


def _known(value: Value) -> int | float | None:
    """What is no number is not known, nor is what no float could hold."""
    return value if value is not None and abs(value) < _UNKNOWABLE else None


def _height(value: Value) -> float:
    return max(0.0, float(_known(value) or 0))


def _whole(chart: Chart) -> bool:
    return not any(isinstance(v, float) for series in chart.series for v in series.values)


def _short(value: float, unit: Unit) -> str:
    """A round value as an axis has it: `2.5M`."""
    if unit is Unit.BYTES:
        return humanize.naturalsize(value, format="%.3g")
    if unit is Unit.PERCENT:
        return f"{value:g} %"
    for power, suffix in ((12, "T"), (9, "B"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.4g}{suffix}"
    return f"{value:.4g}"


def _colour(index: int) -> str:
    return f"s{index % _COLOURS + 1}"


def _shortened(text: str, length: int = _LABEL_LENGTH) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _text(text: str) -> str:
    """A stranger's text, to be seen and escaped."""
    return escape(visible(text))
