"""The overview: is the farm healthy, what needs a person, what is it doing."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from textual import on, work
from textual.containers import Container, Vertical
from textual.widget import Widget
from textual.widgets import Static

from piwheels.errors import PiwheelsError
from piwheels.model import Alert, SeriesBars, SeriesWindow
from piwheels.protocol.messages import FailuresReply, ListFailures, ReadSeries, SeriesReply
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import builder_target, ended_target, log_filter, queue_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.alert_rows import ALERT_COLUMNS, overview_alert_rows
from piwheels.tui.model.alerts import Place, active_alerts, alerts_at
from piwheels.tui.model.copying import Copyable, copyable_cells, copyable_rows
from piwheels.tui.model.indicators import (
    BUILT_LABEL,
    INDICATOR_SERIES,
    Indicator,
    busy_indicator,
    empty_in,
    indicators,
)
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.overview import (
    builder_states,
    farm_lines,
    is_all_built,
    list_title,
    notice,
    share_lines,
)
from piwheels.tui.model.tables.overview import (
    ENDED_COLUMNS,
    LONGEST_COLUMNS,
    QUEUE_LIST_COLUMNS,
    last_builds,
    longest_builds,
    queue_list,
)
from piwheels.tui.model.tables.table_model import Column, Row
from piwheels.tui.screens.alerts import alert_target, find_alert
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.indicator_graphs import GraphSize, graph_lines
from piwheels.tui.screens.indicator_words import (
    bars_shown,
    farm_line_words,
    heading_words,
    indicator_words,
    state_bar_words,
    state_words,
    summary_words,
)
from piwheels.tui.widgets.bar import Word
from piwheels.tui.widgets.bar_group import BarGroup
from piwheels.tui.widgets.table import RowTable

_BARS_AROUND = 4  # header, tabs, message, keys
#: From this width on, lists are side by side.
_WIDE_WIDTH = 110
_NARROW_WIDTH = 60
#: From these sizes on, indicators are graphs: three of them, and six with wider bars.
_GRAPHS_FROM = (120, 36)
_LARGE_GRAPHS_FROM = (200, 56)
_GRAPHS_PER_LINE = 3
_SERIES_INTERVAL_S = 60.0
#: What an idle farm has; the others are about work.
_IDLE_INDICATORS = (BUILT_LABEL, "Downloads/s")
_MAX_INDICATOR_LINES = 20
_MAX_STATE_LINES = 14
#: From this height on a notice has blank lines.
_ROOMY_HEIGHT = 24
#: Blank lines between lists, where there are graphs.
_GAPS = 3
_SHORT_TITLES = {"empty in": "empty"}


def _narrower(columns: Sequence[Column], widths: Mapping[str, int]) -> tuple[Column, ...]:
    return tuple(
        replace(it, width=widths.get(it.key, it.width), title=_SHORT_TITLES.get(it.title, it.title))
        for it in columns
    )


_LISTS: dict[str, tuple[Column, ...]] = {
    "alerts": tuple(replace(it, title=it.title.lower()) for it in ALERT_COLUMNS),
    "queues": QUEUE_LIST_COLUMNS,
    "longest": LONGEST_COLUMNS,
    "ended": ENDED_COLUMNS,
}
#: Columns that are narrower, so that none of them is left out.
_NARROW_LISTS = _LISTS | {
    "alerts": (
        *_LISTS["alerts"][:2],
        replace(_LISTS["alerts"][2], width=18),
        *_LISTS["alerts"][3:],
    ),
    "queues": (
        QUEUE_LIST_COLUMNS[0],
        replace(QUEUE_LIST_COLUMNS[1], width=20),
        replace(QUEUE_LIST_COLUMNS[2], width=7),
        QUEUE_LIST_COLUMNS[3],
        replace(QUEUE_LIST_COLUMNS[4], title="empty", width=6),
    ),
}
#: Lists side by side are as narrow, and have all columns all the same.
_HALF_LISTS = _LISTS | {
    "queues": _narrower(QUEUE_LIST_COLUMNS, {"pending": 7, "built": 7, "drain": 6}),
    "longest": _narrower(LONGEST_COLUMNS, {"elapsed": 6, "expected": 6, "builder": 11}),
    "ended": _narrower(ENDED_COLUMNS, {"outcome": 10, "release": 18, "took": 5}),
}
#: Below this width they are.
_WHOLE_LISTS_WIDTH = 160


class OverviewScreen(FarmScreen):
    """Indicators, and below them four lists whose rows can be opened."""

    screen_name = ScreenName.OVERVIEW
    AUTO_FOCUS = None

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._series: dict[str, SeriesBars] = {}
        self._asked: tuple[SeriesWindow, int] | None = None  # the last, and in which connection
        self._failures: FailuresReply | None = None

    def compose_body(self) -> Sequence[Widget]:
        """A notice, the indicators, the lists, and lines about the farm below them."""
        ascii_only = self.console.ascii_only
        return (
            Static("", id="waiting", markup=False),
            Vertical(
                Static("", id="notice", markup=False),
                BarGroup(_MAX_INDICATOR_LINES, ascii_only=ascii_only, id="indicators"),
                self._list("alerts"),
                Container(
                    self._list("queues"),
                    BarGroup(_MAX_STATE_LINES, ascii_only=ascii_only, id="states"),
                    classes="pair",
                ),
                Container(self._list("longest"), self._list("ended"), classes="pair"),
                BarGroup(3, ascii_only=ascii_only, id="farm"),
                id="overview",
            ),
        )

    def _list(self, name: str) -> RowTable:
        # Without links: rows move with each build, and an address is longer than their change.
        return RowTable(
            _LISTS[name],
            ascii_only=self.console.ascii_only,
            can_mark=False,
            shows_cursor_without_focus=False,
            id=name,
        )

    # --- what is shown ---

    @property
    def _width_class(self) -> str:
        width = self.console.size.width
        return "narrow" if width < _NARROW_WIDTH else "wide" if width >= _WIDE_WIDTH else "normal"

    @property
    def _graph_size(self) -> GraphSize | None:
        """The size of graphs; None where indicators have a line each."""
        width, height = self.console.size
        pane = width // _GRAPHS_PER_LINE
        if width >= _LARGE_GRAPHS_FROM[0] and height >= _LARGE_GRAPHS_FROM[1]:
            return GraphSize(pane, height=6, bar_cells=2)
        if width >= _GRAPHS_FROM[0] and height >= _GRAPHS_FROM[1]:
            return GraphSize(pane, height=4)
        return None

    def tab_words(self) -> list[Word]:
        """The window of the graphs, where they have no heading that shows it."""
        return (
            [Word(self.console.window, "muted", actions.WINDOW, key="t")]
            if self._graph_size
            else []
        )

    def refresh_content(self) -> None:
        """Show the current indicators and lists."""
        console = self.console
        has_snapshot = console.farm.has_snapshot
        waiting = self.query_one("#waiting", Static)
        waiting.display = not has_snapshot
        self.query_one("#overview").display = has_snapshot
        if not has_snapshot:
            waiting.update(console.waiting_message)
            return
        self._read_series_if_due()
        above, below = self._indicator_lines(), self._farm_lines()
        texts = self._notice_lines()
        self._show_notice(texts)
        self.query_one("#indicators", BarGroup).show_words(above)
        self.query_one("#farm", BarGroup).show_words(below)
        self._refresh_lists(len(texts) + len(above) + len(below))

    def _notice_lines(self) -> list[str]:
        """What is to be said of the farm, with blank lines where there is room for them."""
        console = self.console
        lines = notice(console.farm, console.now, self._failures)
        if not lines or console.size.height < _ROOMY_HEIGHT:
            return [line for line in lines if line]
        return ["", *(f"  {line}" for line in lines), ""]

    def _show_notice(self, lines: Sequence[str]) -> None:
        text = self.query_one("#notice", Static)
        text.display = bool(lines)
        text.set_class(bool(self.console.farm.present_builders), "-good")
        text.update("\n".join(lines))

    def _indicator_lines(self) -> list[list[Word]]:
        console, window = self.console, self.console.window
        status, size = console.farm.status, self._graph_size
        if status is None:
            return []
        shown = indicators(status, self._series)
        if size is not None:
            return self._graph_lines(shown, size)
        narrow = self._width_class == "narrow"
        if is_all_built(status):
            shown = [it for it in shown if it.label.startswith(_IDLE_INDICATORS)]
        bars = bars_shown(window, console.size.width, narrow=narrow)
        lines = [heading_words(window, bars, narrow=narrow)]
        lines += [
            indicator_words(it, window, bars, narrow=narrow, ascii_only=console.ascii_only)
            for it in shown
        ]
        if narrow:
            busy, builders = self._busy()
            return [*lines, summary_words(busy, builders, empty_in(status.queues))]
        if self._width_class == "normal":
            lines.append(state_words(builder_states(console.farm), console.glyph))
        return lines

    def _graph_lines(self, shown: list[Indicator], size: GraphSize) -> list[list[Word]]:
        rows = [shown[:_GRAPHS_PER_LINE]]
        if size.bar_cells > 1:
            rows.append([*shown[_GRAPHS_PER_LINE:], busy_indicator(*self._busy(), self._series)])
        window, ascii_only = self.console.window, self.console.ascii_only
        return [
            line for row in rows for line in graph_lines(row, window, size, ascii_only=ascii_only)
        ]

    def _busy(self) -> tuple[int, int]:
        """How many builders have a build, and how many there are."""
        builders = self.console.farm.present_builders
        return sum(builder.view.build is not None for builder in builders), len(builders)

    def _farm_lines(self) -> list[list[Word]]:
        status = self.console.farm.status
        if status is None or self._graph_size is None:
            return []
        return [farm_line_words(line) for line in farm_lines(status)]

    def _state_lines(self) -> list[list[Word]]:
        console = self.console
        if self._width_class != "wide" or not console.farm.builders:
            return []
        counts = builder_states(console.farm)
        width = console.size.width // 2
        return state_bar_words(counts, console.glyph, width, ascii_only=console.ascii_only)

    # --- what is asked for ---

    def on_mount(self) -> None:
        """Keep the graphs current."""
        super().on_mount()
        self.set_interval(_SERIES_INTERVAL_S, self._read_series_if_shown)

    def _read_series_if_shown(self) -> None:
        if self.is_current and self.console.farm.connected:
            self._read_series(self.console.window)

    def _read_series_if_due(self) -> None:
        """Ask once after connecting, and when there is another window."""
        window, farm = self.console.window, self.console.farm
        if not farm.connected or self._asked == (window, farm.connections):
            return
        if self._asked is not None and self._asked[0] != window:
            self._series = {}
        self._asked = (window, farm.connections)
        self._read_series(window)

    @work(exclusive=True)
    async def _read_series(self, window: SeriesWindow) -> None:
        source, status = self.console.source, self.console.farm.status
        query = ReadSeries(names=INDICATOR_SERIES, window=window)
        # Without an answer, bars stay blank or as they were.
        with suppress(PiwheelsError):
            reply = await source.request(query, SeriesReply)
            self._series = {series.name: series for series in reply.series}
        with suppress(PiwheelsError):
            if status is not None and is_all_built(status):
                self._failures = await source.request(ListFailures(), FailuresReply)
        if self.is_current:
            self.refresh_all()

    # --- the lists ---

    def _refresh_lists(self, other_lines: int) -> None:
        console = self.console
        farm, now, ascii_only = console.farm, console.now, console.ascii_only
        rows = {
            "alerts": overview_alert_rows(
                farm, now, seen=self._width_class == "wide", ascii_only=ascii_only
            ),
            "queues": queue_list(farm, ascii_only=ascii_only),
            "longest": longest_builds(farm, now, ascii_only=ascii_only),
            "ended": last_builds(farm, ascii_only=ascii_only),
        }
        if self._width_class == "narrow":
            for name in ("queues", "longest"):
                rows[name] = [_with_glyph(row) for row in rows[name]]
        states = self._state_lines()
        counts = {name: len(listed) for name, listed in rows.items()}
        heights = self._heights(counts, len(states), other_lines)
        for name, listed in rows.items():
            self._show_list(name, listed, heights[name])
        self.query_one("#states", BarGroup).show_words(states[: heights["queues"]])
        self._set_gaps()
        self._set_headings(counts, heights)
        self._focus_a_list()

    def _heights(
        self, counts: Mapping[str, int], state_lines: int, other_lines: int
    ) -> dict[str, int]:
        """The lines of each list."""
        used = _BARS_AROUND + other_lines + (_GAPS if self._graph_size else 0)
        available = self.console.size.height - used
        if self._width_class != "wide":
            return dict(zip(counts, share_lines(available, list(counts.values())), strict=True))
        queues = max(counts["queues"], state_lines - 1)
        builds = max(counts["longest"], counts["ended"])
        alerts, queues, builds = share_lines(available, [counts["alerts"], queues, builds])
        return {"alerts": alerts, "queues": queues, "longest": builds, "ended": builds}

    def _set_gaps(self) -> None:
        """Blank lines above the queues, the builds and the lines about the farm."""
        gap = 1 if self._graph_size else 0
        for widget in self.query(".pair, #farm"):
            widget.styles.margin = (gap, 0, 0, 0)

    def _show_list(self, name: str, rows: Sequence[Row], height: int) -> None:
        table = self.table(name)
        table.display = height > 0
        table.styles.height = height
        table.set_rows(rows[: max(0, height - 1)])

    def _set_headings(self, counts: Mapping[str, int], heights: Mapping[str, int]) -> None:
        """Name each list in its first column that is shown, and count alerts and queues."""
        titles = {
            "alerts": self._alerts_title(heights["alerts"] - 1),
            "queues": list_title("Queues", counts["queues"], heights["queues"] - 1),
            "longest": LONGEST_COLUMNS[0].title,
            "ended": ENDED_COLUMNS[0].title,
        }
        narrow = self._width_class == "narrow"
        is_half = self._width_class == "wide" and self.console.size.width < _WHOLE_LISTS_WIDTH
        lists = _NARROW_LISTS if narrow else _HALF_LISTS if is_half else _LISTS
        for name, title in titles.items():
            first, second, *others = lists[name]
            if narrow and name in {"queues", "longest"}:
                second = replace(second, title=title)
            self._set_columns(name, (replace(first, title=title), second, *others))

    def _alerts_title(self, shown: int) -> str:
        """Those that somebody has seen are listed last, and do not count."""
        count = len(active_alerts(self.console.farm))
        return list_title("Alerts", count, min(shown, count)) if count else "No alerts"

    def _set_columns(self, name: str, columns: tuple[Column, ...]) -> None:
        table = self.table(name)
        if table.columns != columns:
            table.set_columns(columns)

    def table(self, name: str) -> RowTable:
        """One of the lists."""
        return self.query_one(f"#{name}", RowTable)

    def on_resize(self) -> None:
        """Share the lines again."""
        self.refresh_all()

    # --- the cursor ---

    @property
    def _open_lists(self) -> list[RowTable]:
        return [table for table in self.query(RowTable) if table.rows and table.display]

    def _focus_a_list(self) -> None:
        """Keep the focus on a list that has rows."""
        lists = self._open_lists
        if lists and self.focused not in lists:
            self.set_focus(lists[0], scroll_visible=False)

    @on(RowTable.EdgeReached)
    def _leave_list(self, event: RowTable.EdgeReached) -> None:
        """The cursor goes on into the next list."""
        lists = self._open_lists
        place = lists.index(event.table) + event.direction if event.table in lists else -1
        if not 0 <= place < len(lists):
            return
        there = lists[place]
        there.move_cursor(there.rows[0 if event.direction > 0 else -1].key)
        self.set_focus(there, scroll_visible=False)

    @on(RowTable.Highlighted)
    def _cursor_moved(self) -> None:
        self.refresh_bars()
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        """The keys are those of the row under the cursor."""
        self._cursor_moved()

    # --- the row under the cursor ---

    def _current(self) -> tuple[str, str]:
        """The list with the focus and the key of its row; empty for none."""
        table = self.focused
        if not isinstance(table, RowTable) or table.cursor is None:
            return "", ""
        return table.id or "", table.cursor

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The builder, build or queue under the cursor."""
        target = self._target(*self._current())
        return (target,) if target else ()

    def alerts_here(self) -> list[Alert]:
        """The alert under the cursor; in the other lists, those of the row's builder or queue."""
        name, key = self._current()
        if name == "alerts":
            alert = find_alert(self.console, key)
            return [alert] if alert else []
        screens = {"queues": ScreenName.QUEUES, "longest": ScreenName.BUILDERS}
        return alerts_at(self.console.farm, Place(screens[name], key)) if name in screens else []

    def _target(self, name: str, key: str) -> ActionTarget | None:
        console = self.console
        match name:
            case "alerts":
                alert = find_alert(console, key)
                return alert_target(console, alert) if alert else None
            case "queues":
                return queue_target(key)
            case "longest" if builder := console.farm.builders.get(key):
                return builder_target(key, builder.view_at(console.now))
            case "ended" if build := console.farm.builds.get(int(key)):
                return ended_target(key, build)
        return None

    def copyables(self) -> list[Copyable]:
        """The row under the cursor and its cells."""
        name, key = self._current()
        if not name:
            return []
        row = next(row for row in self.table(name).rows if row.key == key)
        columns = _LISTS[name]
        return [*copyable_rows([row]), *copyable_cells(columns, range(len(columns)), row)]

    @on(RowTable.CellPointed)
    def _cell_pointed(self, event: RowTable.CellPointed) -> None:
        event.table.focus()
        self.choose_what_to_copy(event.column)

    def handlers(self) -> Mapping[Action, Handler]:
        """Enter opens a row, too."""
        return {**super().handlers(), actions.OPEN: self.open_current_row}

    def open_current_row(self) -> None:
        """Show what the row is about: the page of an alert's subject, a queue, a build's log."""
        name, key = self._current()
        console = self.console
        if name == "alerts" and (alert := find_alert(console, key)):
            self.open_alert(alert)
        elif name == "queues":
            console.navigate(ScreenName.QUEUES, cursor=key)
        elif (target := self._target(name, key)) and target.build is not None:
            console.navigate(ScreenName.LOG, log_filter(target))

    @on(RowTable.Selected)
    def _selected(self, event: RowTable.Selected) -> None:
        event.table.focus()
        self.open_current_row()


def _with_glyph(row: Row) -> Row:
    """A row whose name has the glyph of its state, for which there is no column."""
    state, name, *others = row.cells
    return row._replace(cells=(state, name._replace(glyph=state.glyph), *others))
