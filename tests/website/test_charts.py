"""Charts of any values and names, parsed as XML."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from piwheels.website.charts import (
    Chart,
    Series,
    Unit,
    Value,
    bar_chart,
    column_chart,
    format_value,
    line_chart,
    to_json,
)

PICTURES: list[Callable[[Chart], Markup]] = [column_chart, line_chart, bar_chart]
each_picture = pytest.mark.parametrize("picture", PICTURES)
IMAGE = "div/svg[@role='img']"
HOSTILE = "</title><script>alert(1)</script>\u202egnp.exe\0\n\"'&"


def chart(*rows: tuple[Value, ...], labels: tuple[str, ...] = (), unit: Unit = Unit.COUNT) -> Chart:
    """A chart of these rows of values."""
    names = labels or tuple(f"2024-{at + 1:02d}" for at in range(len(rows[0]) if rows else 0))
    series = tuple(Series(name=f"row {at}", values=row) for at, row in enumerate(rows))
    return Chart(
        key="demo", title="Downloads", label_heading="Month", labels=names, series=series, unit=unit
    )


def parsed(figure: Markup) -> ET.Element:
    """A figure parsed as XML, which is stricter than HTML."""
    return ET.fromstring(figure)


def rects(figure: Markup) -> list[ET.Element]:
    """The colored shapes of a chart."""
    svg = parsed(figure).find(IMAGE)
    assert svg is not None
    return [rect for rect in svg.iter("rect") if rect.get("class", "").startswith("s")]


def heights(figure: Markup) -> list[float]:
    return [float(rect.get("height", "")) for rect in rects(figure)]


# --- what is shown ---


def test_column_heights_are_proportional_to_values() -> None:
    assert heights(column_chart(chart((10, 20, 40)))) == [50.0, 100.0, 200.0]


def test_series_are_stacked() -> None:
    low, high = rects(column_chart(chart((30,), (10,))))
    assert (low.get("class"), high.get("class")) == ("s1", "s2")
    assert float(high.get("y", "")) + float(high.get("height", "")) == float(low.get("y", ""))


def test_bar_lengths_are_proportional_to_values() -> None:
    widths = [rect.get("width") for rect in rects(bar_chart(chart((50, 100, 25))))]
    assert widths == ["50.00%", "100.00%", "25.00%"]


def labels_below(figure: Markup, width_px: float, *, narrow: bool) -> list[tuple[float, float]]:
    """The start and end of each label below a plot of this width."""
    svg = parsed(figure).find(IMAGE)
    assert svg is not None
    places = []
    for text in svg.findall("text"):
        if narrow and text.get("class") == "wide-only":
            continue
        long = 8.3 * len(text.text or "")
        at = float(text.get("x", "").rstrip("%")) / 100 * width_px
        start = at - (long if text.get("text-anchor") == "end" else long / 2)
        places.append((start, start + long))
    return places


@pytest.mark.parametrize("picture", [column_chart, line_chart])
@pytest.mark.parametrize("form", ["20{:02}", "2024-{:02}", "2024-11-{:02}", "2024-11-{:02} 10:00"])
@pytest.mark.parametrize(("width_px", "narrow"), [(230, True), (490, False)])
def test_labels_never_overlap(
    picture: Callable[[Chart], Markup], form: str, width_px: float, narrow: bool
) -> None:
    for count in range(1, 90):
        labels = tuple(form.format(number) for number in range(count))
        figure = picture(chart(tuple(range(count)), labels=labels))
        places = labels_below(figure, width_px, narrow=narrow)
        assert places
        for (_, end), (start, _) in pairwise(places):
            assert end <= start, (count, places)
        assert places[0][0] >= -70, "the numbers' column and the edge are so wide"
        assert places[-1][1] <= width_px + 16, "the edge is so wide"


@pytest.mark.parametrize("picture", [column_chart, line_chart])
@pytest.mark.parametrize("count", [13, 30, 31, 200, 240, 365, 366])
def test_axis_labels_are_at_the_positions_of_their_values(
    picture: Callable[[Chart], Markup], count: int
) -> None:
    """Only the last may be moved to the right edge, by less than its own half."""
    every = [date(2025, 1, 1) + timedelta(days=number) for number in range(count)]
    labels = tuple(day.isoformat() for day in every)
    svg = parsed(picture(chart(tuple(range(count)), labels=labels))).find(IMAGE)
    assert svg is not None
    shown = [(labels.index(text.text or ""), text) for text in svg.findall("text")]
    assert len(shown) > 1
    for at, text in shown:
        slots = count if picture is column_chart else count - 1
        own = 100 * (at + 0.5) / slots if picture is column_chart else 100 * at / slots
        allowed = 100 / slots if at == count - 1 else 0.01
        assert float(text.get("x", "").rstrip("%")) == pytest.approx(own, abs=allowed)


def test_percentages_are_of_the_total() -> None:
    widths = [rect.get("width") for rect in rects(bar_chart(chart((50, 20.5), unit=Unit.PERCENT)))]
    assert widths == ["50.00%", "20.50%"]


def test_a_line_is_interrupted_where_values_are_unknown() -> None:
    path = next(parsed(line_chart(chart((1, 2, None, 4, 5)))).iter("path")).get("d", "")
    assert path.count("M") == 2
    assert path.count("L") == 2


def test_a_single_point_is_a_dot() -> None:
    tree = parsed(line_chart(chart((1, 2, None, 4))))
    assert [(dot.get("cx"), dot.get("cy")) for dot in tree.iter("circle")] == [("100.00%", "22.0")]
    assert [dot.get("cx") for dot in parsed(line_chart(chart((5,)))).iter("circle")] == ["50.00%"]


def test_few_columns_do_not_fill_the_width() -> None:
    assert [rect.get("width") for rect in rects(column_chart(chart((5, 6))))] == ["7.00%", "7.00%"]


def ticks(figure: Markup) -> list[str | None]:
    """The labels of the grid lines, from the lowest."""
    return [text.text for text in parsed(figure).findall("div/svg[@aria-hidden]/text")]


def test_grid_lines_are_at_round_numbers() -> None:
    assert ticks(column_chart(chart((3_700_000,)))) == ["0", "1M", "2M", "3M", "4M"]


def test_integers_have_no_fractional_grid_lines() -> None:
    assert ticks(column_chart(chart((1, 2)))) == ["0", "1", "2"]


def test_labels_are_evenly_spaced() -> None:
    years = tuple(str(year) for year in range(1990, 2030))
    shown = parsed(column_chart(chart((1,) * 40, labels=years))).findall(IMAGE + "/text")
    assert [text.text for text in shown] == [str(year) for year in range(1990, 2030, 4)]
    assert [text.get("class") for text in shown][:3] == [None, "wide-only", None]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1_234_567, Unit.COUNT, "1,234,567"),
        (1.5, Unit.COUNT, "1.5"),
        (2.0, Unit.COUNT, "2"),
        (50_000_000_000_000, Unit.BYTES, "50.0 TB"),
        (99.25, Unit.PERCENT, "99.25 %"),
        (None, Unit.COUNT, "–"),  # noqa: RUF001
        (float("nan"), Unit.COUNT, "–"),  # noqa: RUF001
        (10**400, Unit.COUNT, "–"),  # noqa: RUF001
    ],
)
def test_values_are_formatted(value: Value, unit: Unit, text: str) -> None:
    assert format_value(value, unit) == text


# --- everybody can read it ---


@each_picture
def test_a_chart_has_a_title_a_description_and_a_table(
    picture: Callable[[Chart], Markup],
) -> None:
    figure = parsed(picture(chart((10, 30, 20))))
    svg = figure.find(IMAGE)
    assert svg is not None
    assert svg.get("role") == "img"
    ids = svg.get("aria-labelledby", "").split()
    message = [next(e for e in svg.iter() if e.get("id") == i).text or "" for i in ids]
    assert message[0] == "Downloads"
    assert "maximum 30 (2024-02), last 20" in message[1]
    table = figure.find(".//table")
    assert table is not None
    cells = ["".join(cell.itertext()) for cell in table.iter("td")]
    assert cells == ["10", "30", "20"]
    assert [th.get("scope") for th in table.iter("th")] == ["col", "col", "row", "row", "row"]


@each_picture
def test_the_chart_data_is_linked_as_json(picture: Callable[..., Markup]) -> None:
    figure = parsed(picture(chart((1, None)), json_url="stats/demo.json"))
    assert [a.get("href") for a in figure.iter("a")] == ["stats/demo.json"]
    assert json.loads(to_json(chart((1, None)))) == {
        "title": "Downloads",
        "unit": "count",
        "labels": ["2024-01", "2024-02"],
        "series": [{"name": "row 0", "values": [1, None]}],
    }


@each_picture
@pytest.mark.parametrize("rows", [(), ((),), ((None, None),)])
def test_an_empty_chart_says_so(
    picture: Callable[[Chart], Markup], rows: tuple[tuple[Value, ...], ...]
) -> None:
    figure = parsed(picture(chart(*rows)))
    assert "No data yet" in "".join(figure.itertext())
    assert figure.find(".//table") is None


# --- any size, any text ---


def test_thousands_of_values_are_downsampled_and_keep_their_peaks() -> None:
    values = tuple(at % 97 for at in range(4000))
    peak = (*values[:1234], 4000, *values[1235:])
    figure = column_chart(chart(peak))
    assert max(heights(figure)) == 200.0
    assert len(rects(figure)) <= 240
    assert "maximum of 17 values" in figure
    drawn = line_chart(chart(peak))
    path = next(parsed(drawn).iter("path")).get("d", "")
    assert path.count("L") <= 2 * 480
    assert " 0.0L" in path, "the peak reaches the top"
    assert len(drawn) < 60_000
    assert "3,600 earlier rows" in drawn


@each_picture
def test_hostile_names_are_text(picture: Callable[[Chart], Markup]) -> None:
    labels = (HOSTILE, "x" * 5000)
    series = (Series(name=HOSTILE, values=(1, 2)), Series(name="b", values=(1, 2)))
    figure = picture(
        Chart(key="k", title=HOSTILE, label_heading=HOSTILE, labels=labels, series=series)
    )
    tree = parsed(figure)
    assert not list(tree.iter("script"))
    assert "<script>alert(1)</script>" in "".join(tree.itertext())
    assert not {"\u202e", "\0"} & set(figure)
    shown = [text.text or "" for text in tree.iter("text")]
    assert max(map(len, shown)) <= 28


VALUES = st.one_of(st.none(), st.integers(), st.floats(), st.just(10**400))
ROWS = st.integers(0, 40).flatmap(
    lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=0, max_size=8)
)


@each_picture
@given(rows=ROWS, label=st.text())
def test_any_values_give_a_chart_that_satisfies_the_policy(
    picture: Callable[[Chart], Markup], rows: list[list[Value]], label: str
) -> None:
    count = len(rows[0]) if rows else 0
    shown = chart(*(tuple(row) for row in rows), labels=(label,) * count)
    figure = picture(shown)
    assert picture(shown) == figure
    tree = parsed(figure)
    for element in tree.iter():
        assert element.tag != "style"
        for name, value in element.attrib.items():
            assert name != "style"
            assert not name.startswith("on")
            if name in {"x", "y", "width", "height", "d", "x1", "x2", "y1", "y2"}:
                assert "nan" not in value
                assert "inf" not in value
                assert "e" not in value, "presentation attributes of old readers know no exponents"


def test_a_series_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="one value for each label"):
        Chart(
            key="k",
            title="",
            label_heading="",
            labels=("a",),
            series=(Series(name="s", values=()),),
        )
