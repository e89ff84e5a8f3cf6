"""Lines of words; what does not fit is left out, and words can be clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from piwheels.tui.model.action_types import Action
from piwheels.tui.widgets.bar_styles import bar_style
from piwheels.tui.widgets.cell_text import pad_or_truncate, printable_text
from piwheels.tui.widgets.mouse_buttons import RIGHT_BUTTON


class Word(NamedTuple):
    """A word of a bar.

    Attributes:
        text: What it shows.
        style: One of BAR_STYLES, or "".
        action: What a click does.
        drop_order: The highest are left out first.
        gap_before: Cells between it and the word before.
        key: The key of its action, drawn before it.
        link: The address of the page that it leads to in the terminal.
    """

    text: str
    style: str = ""
    action: Action | None = None
    drop_order: int = 0
    gap_before: int = 1
    key: str = ""
    link: str = ""


class _StyledText(NamedTuple):
    """A text, its style, what a click on it does, and the address that it leads to."""

    text: str
    style: str = ""
    action: Action | None = None
    link: str = ""


class BarLine(NamedTuple):
    """A line: words at the left, and words at the right."""

    left: tuple[Word, ...]
    right: tuple[Word, ...] = ()


class Bar(Widget):
    """A line of words, or several below each other: one widget, because widgets are costly."""

    ALLOW_SELECT = False

    DEFAULT_CSS = "Bar { height: 1; background: $panel; color: $foreground; }"

    @dataclass
    class Clicked(Message):
        """A word with an action was clicked."""

        action: Action

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._ascii_only = ascii_only
        self._lines: list[BarLine] = []
        self._styles_by_name: dict[str, Style] = {}

    @property
    def text(self) -> str:
        """The text of the lines."""
        texts = ("".join(it.text for it in self._laid_out(line)) for line in self._lines)
        return "\n".join(text.rstrip() for text in texts)

    def show(self, left: Sequence[Word], right: Sequence[Word] = ()) -> None:
        """Show these words; nothing is drawn when they are shown already."""
        self.show_lines([BarLine(tuple(left), tuple(right))])

    def show_lines(self, lines: list[BarLine]) -> None:
        """Show these lines; nothing is drawn when they are shown already."""
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh(layout=self.styles.auto_dimensions)
            return
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                self.refresh(Region(0, y + self.gutter.top, self.outer_size.width, 1))

    def notify_style_update(self) -> None:
        """Called by Textual when the theme has changed."""
        super().notify_style_update()
        self._styles_by_name.clear()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """As many lines as are shown."""
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        """One of the lines."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        words = self._laid_out(self._lines[y])
        segments = [Segment(it.text, self._look_of(it)) for it in words]
        return Strip(segments).adjust_cell_length(self.size.width, self._style_for(""))

    async def _on_click(self, event: events.Click) -> None:
        if event.button == RIGHT_BUTTON or event.y >= len(self._lines):
            return
        x = 0
        for it in self._laid_out(self._lines[event.y]):
            x += cell_len(it.text)
            if event.x < x:
                if it.action:
                    self.post_message(self.Clicked(it.action))
                return

    def _laid_out(self, line: BarLine) -> list[_StyledText]:
        width = self.size.width
        left, right = _drop_to_fit(*line, width)
        placed = [*self._styled_texts(left)]
        spare = width - _width_of(left) - _width_of(right)
        if right:
            placed.append(_StyledText(" " * max(0, spare)))
            placed += self._styled_texts(right)
        return _truncate(placed, width)

    def _styled_texts(self, words: Sequence[Word]) -> list[_StyledText]:
        run: list[_StyledText] = []
        for word in words:
            dead = word.style == "dead"
            run.append(_StyledText(" " * word.gap_before))
            if word.key:
                run.append(_StyledText(word.key, word.style if dead else "key", word.action))
                run.append(_StyledText(" ", "", word.action))
            text = printable_text(word.text, ascii_only=self._ascii_only)
            run.append(_StyledText(text, word.style, word.action, word.link))
        return run

    def _look_of(self, it: _StyledText) -> Style:
        look = self._style_for(it.style)
        return look + Style(link=it.link) if it.link else look

    def _style_for(self, style: str) -> Style:
        look = self._styles_by_name.get(style)
        if look is None:
            look = self.rich_style
            if style:
                look += bar_style(style, self.app.theme_variables)
            self._styles_by_name[style] = look
        return look


def _width_of(words: Sequence[Word]) -> int:
    leads = sum(cell_len(word.key) + 1 for word in words if word.key)
    return leads + sum(word.gap_before + cell_len(word.text) for word in words)


def _drop_to_fit(
    left: Sequence[Word], right: Sequence[Word], width: int
) -> tuple[list[Word], list[Word]]:
    kept_left, kept_right = list(left), list(right)
    while (
        len(kept_left) + len(kept_right) > 1
        and _width_of(kept_left) + _width_of(kept_right) > width
    ):
        ranks = [word.drop_order for word in (*kept_left, *kept_right)]
        worst = max(ranks)
        if worst == 0:
            break
        side = kept_right if any(word.drop_order == worst for word in kept_right) else kept_left
        side.remove(next(word for word in reversed(side) if word.drop_order == worst))
    return kept_left, kept_right


def _truncate(placed: list[_StyledText], width: int) -> list[_StyledText]:
    cut: list[_StyledText] = []
    room = width
    for it in placed:
        cells = cell_len(it.text)
        if cells > room:
            cut.append(it._replace(text=pad_or_truncate(it.text, room)))
            break
        cut.append(it)
        room -= cells
    return cut
