"""The commands that were given here, and what became of each."""

from datetime import UTC, datetime
from typing import ClassVar

from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.model.command_status import CommandStatus
from piwheels.tui.model.formatting import format_datetime, terminal_safe
from piwheels.tui.model.glyphs import COMMAND_STYLE
from piwheels.tui.model.tables import Cell, Column, Row
from piwheels.tui.screens.table import TableScreen


class CommandsScreen(TableScreen):
    """A row for each command, the newest first."""

    screen_name = "commands"
    COLUMNS = (
        Column("at", "Time", 12, 0, "right"),
        Column("turn", "Fate", 14, 0),
        Column("what", "Command", 24, 0),
        Column("text", "Answer", 40, 1),
    )
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"at": 8, "what": 12, "text": 20}
    AUTO_GROW = ("at",)
    STRETCH = "text"
    EMPTY_TEXT = "No command was given from here yet."

    def all_rows(self) -> list[Row]:
        """The commands."""
        return [self._row(fate, place) for place, fate in enumerate(self.console.command_history)]

    def _row(self, status: CommandStatus, position: int) -> Row:
        sign, style = COMMAND_STYLE[status.state]
        at = format_datetime(
            datetime.fromtimestamp(status.changed_at, UTC), self.console.source.now()
        )
        cells = (
            Cell(at, "muted", "", status.changed_at),
            Cell(str(status.state), style, self.console.glyph(sign), str(status.state)),
            Cell(terminal_safe(status.description), "", "", status.description),
            Cell(terminal_safe(status.text), "", "", status.text),
        )
        haystack = " ".join(cell.text for cell in cells).lower()
        return Row(status.command_id, cells, not status.succeeded_or_pending, haystack, (position,))

    def action_target(self, key: str) -> ActionTarget | None:
        """A command that was given cannot be taken back."""
        return ActionTarget(key=key, name=key)

    def open_row(self, key: str) -> None:
        """A command's answer in full, where its line was cut."""
        fate = next((fate for fate in self.console.command_history if fate.command_id == key), None)
        if fate is not None:
            self.notify(terminal_safe(fate.line), markup=False)
