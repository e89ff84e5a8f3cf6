"""The row of messages: a message, else the result of the last command, else the place."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from piwheels.tui.model import actions, glyphs
from piwheels.tui.model.app_message import NO_MESSAGE
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.cell_text import printable_text

#: How long a message, and the result of a command, are shown.
MESSAGE_S = 30.0
_MAX_LINES = 3  # one of which wrapping may waste
_MARGIN_CELLS = 4


class MessageRow(Vertical):
    """One line; a message that is too long for it takes up to three."""

    DEFAULT_CSS = """
    MessageRow { height: auto; }
    MessageRow Static { height: auto; max-height: 3; padding: 0 1; }
    """

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(id="message")
        self._ascii_only = ascii_only
        self._shown = NO_MESSAGE

    def compose(self) -> ComposeResult:
        """A bar, and the text in its place."""
        yield Bar(id="place", ascii_only=self._ascii_only)
        yield Static("", markup=False)

    def show(self, console: ConsoleContext, place: Sequence[Word]) -> bool:
        """Show what is due, `place` if that is nothing else; False when nothing is shown."""
        message = console.message
        line, bar = self.query_one(Static), self.query_one("#place", Bar)
        line.display, bar.display = bool(message.text), not message.text
        if message.text and message != self._shown:
            room = (_MAX_LINES - 1) * max(1, console.size.width - _MARGIN_CELLS)
            text = printable_text(_cut(message.text, room), ascii_only=self._ascii_only)
            line.update(Content.styled(text, f"$text-{message.style}" if message.style else ""))
        self._shown = message
        words = _command_words(console) or place
        bar.show(words)
        return bool(message.text or words)


def _cut(text: str, room: int) -> str:
    """A text without its middle, where it is too long: a file name begins and ends with sense."""
    if len(text) <= room:
        return text
    return f"{text[: room // 2]}…{text[-(room // 2) :]}"


def _command_words(console: ConsoleContext) -> list[Word]:
    """The last command and its result, as long as that is new."""
    status = next(iter(console.command_history), None)
    if status is None:
        return []
    if status.is_final and console.source.now() >= status.changed_at + MESSAGE_S:
        return []
    glyph, style = glyphs.COMMAND_STYLE[status.state]
    words = [Word(f"{console.glyph(glyph)} {status.line}", style, actions.SHOW_COMMANDS)]
    pending = len(console.command_history.pending)
    if pending > 1:
        words.insert(0, Word(f"{pending} pending", "accent", actions.SHOW_COMMANDS))
    return words
