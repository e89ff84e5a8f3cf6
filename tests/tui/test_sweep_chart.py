"""The sweep chart: a tick changes two cells, and the newest value is left of the gap."""

from math import nan

from hypothesis import given
from hypothesis import strategies as st

from piwheels.tui.model.sweep_chart import nice_ceiling, sweep_chart


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.integers(2, 30), st.booleans())
def test_a_tick_changes_at_most_two_neighboring_cells(
    values: list[float], width: int, ascii_only: bool
) -> None:
    before = sweep_chart([], 0, width, ceiling=4, ascii_only=ascii_only)
    for total in range(1, len(values) + 1):
        now = sweep_chart(values[:total], total, width, ceiling=4, ascii_only=ascii_only)
        changed = [n for n in range(width) if now[n] != before[n]]
        assert len(now) == width
        assert set(changed) <= {(total - 1) % width, total % width}
        assert now.isascii() or not ascii_only
        before = now


def test_values_are_drawn_at_their_positions() -> None:
    assert sweep_chart([0, 1, 2, 4], 4, 6, ceiling=4) == "▁▃▅█  "
    assert sweep_chart([0, 1, 2, 4, 9, 0.5], 6, 6, ceiling=4) == " ▃▅██▂"
    assert sweep_chart([1, 2, 4, 9, 0.5, 2], 7, 6, ceiling=4) == "▅ ▅██▂"


def test_non_finite_values_are_drawn_as_the_lowest() -> None:
    assert sweep_chart([nan, -1, 0], 3, 4, ceiling=1) == "▁▁▁ "
    assert sweep_chart([0, 0], 2, 4) == "▁▁  "
    assert sweep_chart([3], 1, 1) == " "
    assert sweep_chart([], 0, 0) == ""


def test_the_scale_is_round_and_above_all_values() -> None:
    assert [nice_ceiling(value) for value in (0, 1, 1.1, 3, 7, 10.5, 480)] == [
        1, 1, 2, 5, 10, 20, 500,
    ]  # fmt: skip
