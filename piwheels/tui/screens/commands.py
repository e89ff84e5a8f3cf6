"""The command history: the commands sent from this console, with their results."""

from datetime import UTC, datetime
from typing import ClassVar

from piwheels.formatting import format_datetime
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.command_status import CommandStatus
from piwheels.tui.model.glyphs import COMMAND_STYLE
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.table import TableScreen


class CommandsScreen(TableScreen):
    """A row for each command, the newest first."""

    screen_name = ScreenName.COMMANDS
    COLUMNS = (
        Column("at", "Time", 12, 0, "right"),
        Column("state", "State", 14, 0),
        Column("what", "Command", 24, 0),
        Column("text", "Answer", 40, 1),
    )
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"at": 8, "what": 12, "text": 20}
    AUTO_GROW = ("at",)
    STRETCH = "text"
    DEFAULT_ORDER = "newest first"
    EMPTY_TEXT = "No commands were sent yet."

    def all_rows(self) -> list[Row]:
        """The commands."""
        return [
            self._row(status, place) for place, status in enumerate(self.console.command_history)
        ]

    def _row(self, status: CommandStatus, position: int) -> Row:
        glyph, style = COMMAND_STYLE[status.state]
        at = format_datetime(
            datetime.fromtimestamp(status.changed_at, UTC), self.console.source.now()
        )
        cells = (
            Cell(at, "muted", "", status.changed_at),
            Cell(str(status.state), style, self.console.glyph(glyph), str(status.state)),
            Cell(terminal_safe(status.description), "", "", status.description),
            Cell(terminal_safe(status.text), "", "", status.text),
        )
        filter_text = " ".join(cell.text for cell in cells).lower()
        return Row(
            status.command_id, cells, not status.succeeded_or_pending, filter_text, (position,)
        )

    def action_target(self, key: str) -> ActionTarget | None:
        """A sent command cannot be changed."""
        return ActionTarget(key=key, name=key)

    def open_row(self, key: str) -> None:
        """Show a command's answer in full, where its line was cut."""
        for status in self.console.command_history:
            if status.command_id == key:
                self.notify(terminal_safe(status.line), markup=False)
