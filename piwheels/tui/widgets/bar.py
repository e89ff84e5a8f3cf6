"""A line of words above or below a screen: what has no room goes, words can be clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from piwheels.tui.widgets.columns import fit, plain

#: The names of styles that a word may have.
BAR_STYLES = ("muted", "strong", "good", "note", "warn", "bad", "here", "key", "dead")


class Word(NamedTuple):
    """A word of a bar.

    Attributes:
        text: What it says.
        style: One of BAR_STYLES, or "".
        action: What a click does; "" for nothing.
        rank: The highest are left out first.
        gap: Cells between it and the word before.
        lead: A key that does it, drawn before it.
    """

    text: str
    style: str = ""
    action: str = ""
    rank: int = 0
    gap: int = 1
    lead: str = ""


#: A text, its style, and what a click on it does.
_Piece = tuple[str, str, str]


class Bar(Widget):
    """One line: words from the left, and words that lean to the right."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"bar--{name}" for name in BAR_STYLES}

    DEFAULT_CSS = """
    Bar {
        height: 1;
        background: $panel;
        color: $foreground;
        & > .bar--muted { color: $text-muted; }
        & > .bar--strong { text-style: bold; }
        & > .bar--good { color: $text-success; }
        & > .bar--note { color: $text-accent; }
        & > .bar--warn { color: $text-warning; text-style: bold; }
        & > .bar--bad { color: $text-error; text-style: bold; }
        & > .bar--here { text-style: bold reverse; }
        & > .bar--key { text-style: bold; color: $text-accent; }
        & > .bar--dead { color: $text-disabled; text-style: dim; }
    }
    """

    @dataclass
    class Clicked(Message):
        """A word that does something was clicked."""

        action: str

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._ascii_only = ascii_only
        self._left: tuple[Word, ...] = ()
        self._right: tuple[Word, ...] = ()
        self._looks: dict[str, Style] = {}

    @property
    def text(self) -> str:
        """What the line says."""
        return "".join(text for text, _, _ in self._placed()).rstrip()

    def show(self, left: Sequence[Word], right: Sequence[Word] = ()) -> None:
        """Say this; nothing is drawn when it is what stands there already."""
        said = (tuple(left), tuple(right))
        if said != (self._left, self._right):
            self._left, self._right = said
            self.refresh()

    def notify_style_update(self) -> None:
        """Textual calls it when the theme changed what styles mean."""
        super().notify_style_update()
        self._looks.clear()

    def render_line(self, y: int) -> Strip:
        """The only line."""
        if y:
            return Strip.blank(self.size.width, self.rich_style)
        segments = [Segment(text, self._look(style)) for text, style, _ in self._placed()]
        return Strip(segments).adjust_cell_length(self.size.width, self._look(""))

    async def _on_click(self, event: events.Click) -> None:
        x = 0
        for text, _, action in self._placed():
            x += cell_len(text)
            if event.x < x:
                if action:
                    self.post_message(self.Clicked(action))
                return

    def _placed(self) -> list[_Piece]:
        width = self.size.width
        left, right = _fitting(self._left, self._right, width)
        placed = [*self._run(left)]
        spare = width - _needs(left) - _needs(right)
        if right:
            placed.append((" " * max(0, spare), "", ""))
            placed += self._run(right)
        return _cut(placed, width)

    def _run(self, words: Sequence[Word]) -> list[_Piece]:
        run: list[_Piece] = []
        for word in words:
            dead = word.style == "dead"
            run.append((" " * word.gap, "", ""))
            if word.lead:
                run.append((word.lead, word.style if dead else "key", word.action))
                run.append((" ", "", word.action))
            text = plain(word.text, ascii_only=self._ascii_only)
            run.append((text, word.style, word.action))
        return run

    def _look(self, style: str) -> Style:
        look = self._looks.get(style)
        if look is None:
            look = self.rich_style
            if style:
                look += self.get_component_rich_style(f"bar--{style}", partial=True)
            self._looks[style] = look
        return look


def _needs(words: Sequence[Word]) -> int:
    leads = sum(cell_len(word.lead) + 1 for word in words if word.lead)
    return leads + sum(word.gap + cell_len(word.text) for word in words)


def _fitting(
    left: Sequence[Word], right: Sequence[Word], width: int
) -> tuple[list[Word], list[Word]]:
    kept_left, kept_right = list(left), list(right)
    while len(kept_left) + len(kept_right) > 1 and _needs(kept_left) + _needs(kept_right) > width:
        ranks = [word.rank for word in (*kept_left, *kept_right)]
        worst = max(ranks)
        if worst == 0:
            break
        side = kept_right if any(word.rank == worst for word in kept_right) else kept_left
        side.remove(next(word for word in reversed(side) if word.rank == worst))
    return kept_left, kept_right


def _cut(placed: list[_Piece], width: int) -> list[_Piece]:
    cut: list[_Piece] = []
    room = width
    for text, style, action in placed:
        cells = cell_len(text)
        if cells > room:
            cut.append((fit(text, room), style, action))
            break
        cut.append((text, style, action))
        room -= cells
    return cut
