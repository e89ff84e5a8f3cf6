"""The overview: is the farm healthy, what needs a person, what is it doing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from textual import on
from textual.containers import Container, Vertical
from textual.widget import Widget
from textual.widgets import Static

from piwheels.formatting import format_count, noun
from piwheels.model import Alert
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import builder_target, ended_target, log_filter, queue_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.alert_rows import ALERT_COLUMNS, overview_alert_rows
from piwheels.tui.model.alerts import Place, alert_place, alerts_at
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.overview import builder_states, indicators, notice, share_lines
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
from piwheels.tui.screens.indicator_words import heading_words, indicator_words, state_words
from piwheels.tui.widgets.bar import Bar
from piwheels.tui.widgets.table import RowTable

_INDICATOR_COUNT = 5
_BARS_AROUND = 3  # header, tabs, keys
#: From this width on, queues and longest builds are side by side.
_WIDE_WIDTH = 110
_NARROW_WIDTH = 60
_LISTS: dict[str, tuple[Column, ...]] = {
    "alerts": ALERT_COLUMNS,
    "queues": QUEUE_LIST_COLUMNS,
    "longest": LONGEST_COLUMNS,
    "ended": ENDED_COLUMNS,
}
_CHART_HOURS = {"narrow": 14, "normal": 24, "wide": 48}


class OverviewScreen(FarmScreen):
    """Indicators, and below them four lists whose rows can be opened."""

    screen_name = ScreenName.OVERVIEW
    AUTO_FOCUS = None

    def compose_body(self) -> Sequence[Widget]:
        """The indicators, a notice, and the lists."""
        ascii_only = self.console.ascii_only
        lines = [
            Bar(id=f"indicator{place}", ascii_only=ascii_only) for place in range(_INDICATOR_COUNT)
        ]
        return (
            Static("", id="waiting", markup=False),
            Vertical(
                Bar(id="heading", ascii_only=ascii_only),
                *lines,
                Bar(id="states", ascii_only=ascii_only),
                Static("", id="notice", markup=False),
                self._list("alerts"),
                Container(self._list("queues"), self._list("longest"), id="pair"),
                self._list("ended"),
                id="overview",
            ),
        )

    def _list(self, name: str) -> RowTable:
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
        self._refresh_indicators()
        self._refresh_lists()

    def _refresh_indicators(self) -> None:
        console, width_class = self.console, self._width_class
        hours = _CHART_HOURS[width_class]
        narrow = width_class == "narrow"
        shown = indicators(console.farm, hours, ascii_only=console.ascii_only)
        self.query_one("#heading", Bar).show(heading_words(hours, narrow=narrow))
        for place, indicator in enumerate(shown):
            self._indicator_bar(place).show(indicator_words(indicator, hours, narrow=narrow))
        states = builder_states(console.farm)
        self.query_one("#states", Bar).show(state_words(states, console.glyph))
        lines = notice(console.farm)
        text = self.query_one("#notice", Static)
        text.display = bool(lines)
        text.set_class(bool(console.farm.builders), "-good")
        text.update("\n".join(lines))

    def _indicator_bar(self, place: int) -> Bar:
        return self.query_one(f"#indicator{place}", Bar)

    def _refresh_lists(self) -> None:
        console = self.console
        farm, now, ascii_only = console.farm, console.now, console.ascii_only
        rows = {
            "alerts": overview_alert_rows(farm, now, ascii_only=ascii_only),
            "queues": queue_list(farm, ascii_only=ascii_only),
            "longest": longest_builds(farm, now, ascii_only=ascii_only),
            "ended": last_builds(farm, ascii_only=ascii_only),
        }
        heights = self._heights({name: len(listed) for name, listed in rows.items()})
        for name, listed in rows.items():
            self._show_list(name, listed, heights[name])
        self._set_headings(len(rows["alerts"]))
        self._focus_a_list()

    def _heights(self, counts: Mapping[str, int]) -> dict[str, int]:
        """The lines of each list."""
        used = _BARS_AROUND + 2 + _INDICATOR_COUNT + len(notice(self.console.farm))
        used += bool(len(self.console.command_history))
        available = self.console.size.height - used
        if self._width_class != "wide":
            return dict(zip(counts, share_lines(available, list(counts.values())), strict=True))
        pair = max(counts["queues"], counts["longest"])
        alerts, pair, ended = share_lines(available, [counts["alerts"], pair, counts["ended"]])
        return {"alerts": alerts, "queues": pair, "longest": pair, "ended": ended}

    def _show_list(self, name: str, rows: Sequence[Row], height: int) -> None:
        table = self.table(name)
        table.display = height > 0
        table.styles.height = height
        table.set_rows(rows[: max(0, height - 1)])

    def _set_headings(self, alert_count: int) -> None:
        """Name each list in its first column that is shown, and count the alerts."""
        alerts = _LISTS["alerts"]
        title = f"{format_count(alert_count)} {noun(alert_count, 'alert')}"
        first = replace(alerts[0], title=title if alert_count else "No alerts")
        self._set_columns("alerts", (first, *alerts[1:]))
        for name in ("queues", "longest"):
            state, what, *others = _LISTS[name]
            if self._width_class == "narrow":
                what = replace(what, title=state.title)
            self._set_columns(name, (state, what, *others))

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

    def handlers(self) -> Mapping[Action, Handler]:
        """Enter opens a row, too."""
        return {**super().handlers(), actions.OPEN: self.open_current_row}

    def open_current_row(self) -> None:
        """Show what the row is about: the row of an alert, a queue, the log of a build."""
        name, key = self._current()
        console = self.console
        if name == "alerts" and (alert := find_alert(console, key)):
            screen, row = alert_place(alert)
            console.navigate(screen, cursor=row)
        elif name == "queues":
            console.navigate(ScreenName.QUEUES, cursor=key)
        elif (target := self._target(name, key)) and target.build is not None:
            console.navigate(ScreenName.LOG, log_filter(target))

    @on(RowTable.Selected)
    def _selected(self, event: RowTable.Selected) -> None:
        event.table.focus()
        self.open_current_row()
