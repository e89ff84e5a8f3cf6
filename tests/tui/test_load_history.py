"""The history of a builder's load: a bar a minute, the newest at the right."""

import itertools

from piwheels.model import HostMetrics
from piwheels.protocol.messages import BuilderChanged, BuilderState, BuilderView, Snapshot
from piwheels.tui.model.bar_chart import nice_ceiling
from piwheels.tui.model.state import from_snapshot
from piwheels.tui.model.tables.builders import BUILDER_COLUMNS, builder_rows
from tests.tui.test_state import BEGAN, status


def test_the_newest_load_is_at_the_right_and_moves_once_a_minute() -> None:
    state = from_snapshot(Snapshot(status=status()), BEGAN)
    place = [column.key for column in BUILDER_COLUMNS].index("loads")
    assert BUILDER_COLUMNS[place].align == "right"
    shown = []
    for second in range(0, 1800, 10):
        host = HostMetrics(load=5.0 if second >= 1500 else 0.0)
        view = BuilderView(label="pi1", state=BuilderState.IDLE, host=host)
        state.apply_update(BuilderChanged(builder=view), BEGAN + second)
        shown.append(builder_rows(state, BEGAN)[0].cells[place].text)
    assert shown[-1] == "▁" * 15 + "█" * 5
    assert sum(one != other for one, other in itertools.pairwise(shown)) < 30


def test_the_scale_is_round_and_above_all_values() -> None:
    assert [nice_ceiling(value) for value in (0, 1, 1.1, 3, 7, 10.5, 480)] == [
        1, 1, 2, 5, 10, 20, 500,
    ]  # fmt: skip
