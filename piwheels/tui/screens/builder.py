"""The page of a builder: what it is and does, its sensors, its last builds, the end of its log."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on, work
from textual.widget import Widget
from textual.widgets import Static

from piwheels.model import Alert
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import builder_target, ended_target, log_filter
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.alerts import Place, alerts_at
from piwheels.tui.model.builder_lines import BuilderFacts
from piwheels.tui.model.builder_page import page_lines
from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.model.last_builds import last_build_columns, last_build_rows
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.builder_loader import BuilderLoader
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.widgets.detail_pane import detail_content
from piwheels.tui.widgets.table import RowTable

#: Header, tabs, message and keys.
_BARS = 4
_MARGIN = 2
#: Of the text; a line whose ends are farther apart cannot be read.
_LEAST_WIDTH, _MOST_WIDTH = 20, 118


class _Lines(Static):
    """Lines of text, each cut at its end where it does not fit."""

    DEFAULT_CSS: ClassVar[str] = """
    _Lines { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    _Lines#tail { height: 1fr; }
    """


class BuilderScreen(FarmScreen):
    """One builder, for which the screen was opened."""

    screen_name = ScreenName.BUILDER
    AUTO_FOCUS = "RowTable"
    _EMPTY_TEXT: ClassVar[str] = "No builder is selected. On Builders (2), Enter opens one."

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._loader = BuilderLoader(console, lambda: self.is_current, self.refresh_all)

    def compose_body(self) -> Sequence[Widget]:
        """The text about it, its last builds, and the end of the log."""
        ascii_only = self.console.ascii_only
        return (
            _Lines("", id="builder", markup=False),
            RowTable(
                last_build_columns(self.console.size.width), ascii_only=ascii_only, can_mark=False
            ),
            _Lines("", id="tail", markup=False),
        )

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Select a builder; without one, keep the last."""
        if screen_filter.builder:
            super().set_filter(screen_filter)
            self._loader.select(screen_filter.builder)

    def on_shown(self) -> None:
        """Ask the master, and go on doing so."""
        self.refresh_all()
        self._follow()

    def on_screen_suspend(self) -> None:
        """Ask for nothing while the screen is hidden."""
        self.workers.cancel_group(self, "builder")

    def on_resize(self) -> None:
        """Lay the blocks out again."""
        self.refresh_all()

    @work(exclusive=True, group="builder")
    async def _follow(self) -> None:
        await self._loader.follow()

    # --- what is shown ---

    def refresh_content(self) -> None:
        """Share the lines between the blocks, and show them."""
        facts = self._loader.facts()
        table = self.query_one(RowTable)
        table.display = facts is not None
        if facts is None:
            self._show("#builder", self._missing())
            self._show("#tail", ())
            self.query_one("#tail").display = True
            return
        size = self.console.size
        width = min(max(_LEAST_WIDTH, size.width - _MARGIN), _MOST_WIDTH)
        height = size.height - _BARS
        lines = page_lines(facts, width, height)
        self._loader.tail_lines = max(1, len(lines.tail) - 1)
        self._show("#builder", lines.about)
        self._show_builds(table, facts, lines.build_rows)
        self._show("#tail", lines.tail)
        # It fills the screen, where there is room for a line of it.
        self.query_one("#tail").display = len(lines.about) + lines.build_rows + 1 < height

    def _missing(self) -> Sequence[DetailLine]:
        name = terminal_safe(self.screen_filter.builder)
        text = f"{name} is not connected to the master." if name else self._EMPTY_TEXT
        return (DetailLine(text),)

    def _show(self, selector: str, lines: Sequence[DetailLine]) -> None:
        self.query_one(selector, _Lines).update(detail_content(lines))

    def _show_builds(self, table: RowTable, facts: BuilderFacts, count: int) -> None:
        columns = last_build_columns(self.console.size.width)
        if table.columns != columns:
            table.set_columns(columns)
        rows = last_build_rows(facts.builds, facts.usual_s, ascii_only=facts.ascii_only)
        table.styles.height = count + 1
        table.set_rows(rows)

    # --- what the keys act on ---

    def current_row(self) -> str:
        """The builder."""
        return self._loader.label

    def alerts_here(self) -> list[Alert]:
        """Those of the builder."""
        return alerts_at(self.console.farm, Place(ScreenName.BUILDERS, self._loader.label))

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The builder, with its running build if there is one."""
        builder = self.console.farm.builders.get(self._loader.label)
        if builder is None:
            return ()
        return (builder_target(builder.view.label, builder.view_at(self.console.now)),)

    def handlers(self) -> Mapping[Action, Handler]:
        """Enter opens the page of a build."""
        return {
            **super().handlers(),
            actions.OPEN: self.open_build,
        }

    def open_build(self) -> None:
        """The page of the build under the cursor, else of the running one."""
        key = self.query_one(RowTable).cursor
        for build in self._loader.builds():
            if str(build.build_id) == key:
                self.console.navigate(ScreenName.BUILD, log_filter(ended_target(key, build)))
                return
        target = next(iter(self.action_targets()), None)
        if target is not None and target.build is not None:
            self.console.navigate(ScreenName.BUILD, log_filter(target))

    @on(RowTable.Selected)
    def _selected(self) -> None:
        self.open_build()
