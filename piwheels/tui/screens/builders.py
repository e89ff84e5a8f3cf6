"""The builders screen: state, running build and health of each builder."""

from typing import ClassVar

from textual import work

from piwheels.protocol.messages import BuilderView
from piwheels.tui.model.action_targets import builder_target, waiting_target
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.builder_pane import builder_pane
from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.overview import notice
from piwheels.tui.model.tables import builders
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.screens.builder_loader import BuilderLoader
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen


class BuildersScreen(TableScreen):
    """A row for each builder."""

    screen_name = ScreenName.BUILDERS
    COLUMNS = builders.BUILDER_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {
        "release": 18,
        "label": 8,
        "targets": 20,
        "board": 16,
    }
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"release": 18}
    AUTO_GROW = ("label", "targets", "board")
    STRETCH = "release"
    DEFAULT_ORDER = "by trouble"
    HAS_DETAILS = True

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._loader = BuilderLoader(console, self._sees_details, self.refresh_details_pane)

    def _sees_details(self) -> bool:
        """Whether the pane is seen; not while the app is closing and its widgets are gone."""
        return self.has_widgets and self.is_current and self._shows_details

    def details(self, key: str, width: int) -> list[DetailLine]:
        """A builder, as on its page; of one that waits nothing is known."""
        if key.startswith(builders.WAITING):
            return []
        if key != self._loader.label:
            self._loader.select(key)
            self._follow()
        facts = self._loader.facts()
        return builder_pane(facts, width, self.details_height) if facts else []

    @work(exclusive=True, group="details")
    async def _follow(self) -> None:
        await self._loader.follow()

    def _empty_text(self) -> str:
        """How to add a builder, and which were refused; for a filter, that nothing matches it."""
        console = self.console
        lines = [] if self.filter_text else notice(console.farm, console.now)
        return "\n".join(lines) or super()._empty_text()

    def all_rows(self) -> list[Row]:
        """The builders and those that wait; with a filter, the builders that serve its target."""
        console = self.console
        rows = builders.builder_rows(console.farm, console.now, ascii_only=console.ascii_only)
        if not self.screen_filter.target:
            return [*builders.waiting_rows(console.farm), *rows]
        return [row for row in rows if self.screen_filter.target in self._view(row.key).targets]

    def action_target(self, key: str) -> ActionTarget | None:
        """A builder and its running build, or one that waits."""
        if waiting := builders.waiting_builders(self.console.farm).get(key):
            return waiting_target(key, waiting)
        if key not in self.console.farm.builders:
            return None
        return builder_target(key, self._view(key))

    def open_row(self, key: str) -> None:
        """The page of the builder; one that waits has none."""
        if key.startswith(builders.WAITING):
            return
        self.console.navigate(ScreenName.BUILDER, ScreenFilter(builder=key))

    def _view(self, key: str) -> BuilderView:
        return self.console.farm.builders[key].view_at(self.console.now)
