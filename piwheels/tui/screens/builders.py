"""The builders screen: state, running build and health of each builder."""

from typing import ClassVar

from piwheels.protocol.messages import BuilderView
from piwheels.tui.model.action_targets import builder_target, log_filter
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables import builders
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.table import TableScreen


class BuildersScreen(TableScreen):
    """A row for each builder."""

    screen_name = ScreenName.BUILDERS
    COLUMNS = builders.BUILDER_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"release": 10, "label": 10, "targets": 20, "board": 16}
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"release": 20}
    AUTO_GROW = ("label", "targets", "board")
    STRETCH = "release"
    EMPTY_TEXT = (
        "No builder is connected yet. On a builder: piw key generate builder; on the master: "
        "piw key authorize NAME KEY; then on the builder: piw builder --master HOST."
    )

    def all_rows(self) -> list[Row]:
        """The builders; with a filter, those that serve its target."""
        console = self.console
        rows = builders.builder_rows(console.farm, console.now, ascii_only=console.ascii_only)
        if not self.screen_filter.target:
            return rows
        return [row for row in rows if self.screen_filter.target in self._view(row.key).targets]

    def action_target(self, key: str) -> ActionTarget | None:
        """A builder and its running build."""
        if key not in self.console.farm.builders:
            return None
        return builder_target(key, self._view(key))

    def open_row(self, key: str) -> None:
        """The log of the running build."""
        target = self.action_target(key)
        if target is None or target.build is None:
            self.notify(f"{terminal_safe(key)} has no running build.", markup=False)
            return
        self.console.navigate(ScreenName.LOG, log_filter(target))

    def _view(self, key: str) -> BuilderView:
        return self.console.farm.builders[key].view_at(self.console.now)
