"""The operators screen: who is connected with a console, from where, and what each did last."""

from typing import ClassVar

from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.operators import OPERATOR_COLUMNS, operator_rows
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.screens.table import TableScreen


class OperatorsScreen(TableScreen):
    """A row for each console that is connected."""

    screen_name = ScreenName.OPERATORS
    COLUMNS = OPERATOR_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"name": 14, "command": 14}
    AUTO_GROW = ("name",)
    STRETCH = "command"
    EMPTY_TEXT = "The master says nothing about who is connected."

    def all_rows(self) -> list[Row]:
        """The consoles."""
        return operator_rows(self.console.farm, self.console.now)

    def action_target(self, key: str) -> ActionTarget | None:
        """No action applies to an operator."""
        return ActionTarget(key=key, name=key)
