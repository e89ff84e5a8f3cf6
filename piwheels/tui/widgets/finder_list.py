"""The list of the finder: what was found, a line each, of which one may be highlighted."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from piwheels.tui.model.finder import FinderEntry
from piwheels.tui.widgets.cell_text import pad_or_truncate

_KIND_CELLS = 8
_MIN_NAME_CELLS, _MAX_NAME_CELLS = 14, 23


class FinderList(Static):
    """Entries; the list scrolls with the highlight, and has none at first."""

    ALLOW_SELECT = False
    DEFAULT_CSS: ClassVar[str] = """
    FinderList { text-wrap: nowrap; }
    """

    class Chosen(Message):
        """An entry was clicked."""

        def __init__(self, entry: FinderEntry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__("", id="found", markup=False)
        self.entries: list[FinderEntry] = []
        self._place: int | None = None
        self._top = 0
        self._longest_name = 0
        self._nothing = ""
        self._ascii_only = ascii_only

    @property
    def highlighted(self) -> FinderEntry | None:
        """The entry that Enter opens; None at first."""
        return None if self._place is None else self.entries[self._place]

    def show(
        self,
        entries: Sequence[FinderEntry],
        highlighted: FinderEntry | None,
        nothing: str = "",
    ) -> None:
        """Show these entries, with the highlight on one that is still there, or on none.

        `nothing` is what the list says without entries.
        """
        self._nothing = nothing
        keys = [entry.key for entry in entries]
        key = highlighted.key if highlighted else None
        self.entries = list(entries)
        places = (entry for entry in entries if entry.action is None)
        self._longest_name = max((len(entry.name) for entry in places), default=0)
        self._place = keys.index(key) if key in keys else None
        self.redraw()

    def move(self, by: int) -> None:
        """Move the highlight; from none, to the first or the last."""
        if not self.entries:
            return
        last = len(self.entries) - 1
        if self._place is None:
            self._place = 0 if by > 0 else last
        else:
            self._place = min(last, max(0, self._place + by))
        self.redraw()

    def redraw(self) -> None:
        """Draw the lines that fit."""
        if not self.entries:
            self.update(Content.styled(f"  {self._nothing}", "$text-muted"))
            return
        height = self.lines
        place = self._place or 0
        self._top = min(max(self._top, place - height + 1, 0), place)
        self._top = max(0, min(self._top, len(self.entries) - height))
        shown = list(enumerate(self.entries))[self._top : self._top + height]
        self.update(Content("\n").join(self._line(place, entry) for place, entry in shown))

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return max(1, self.content_size.height)

    def _line(self, place: int, entry: FinderEntry) -> Content:
        width = self.content_size.width
        ascii_only, chosen = self._ascii_only, place == self._place
        longest = max(self._longest_name, len(entry.name) if entry.action else 0)
        name_cells = max(_MIN_NAME_CELLS, min(_MAX_NAME_CELLS, longest))
        kind = pad_or_truncate(entry.kind, _KIND_CELLS)
        name = pad_or_truncate(entry.name, name_cells, ascii_only=ascii_only)
        rest = max(0, width - 2 - len(kind) - name_cells - 2)
        note = pad_or_truncate(entry.note, rest, ascii_only=ascii_only)
        if chosen:  # one color over the whole line
            line = f"> {kind}{name}  {note}"
            return Content.styled(line, "$block-cursor-foreground on $block-cursor-background")
        return Content.assemble("  ", (kind, "$text-muted"), name, "  ", (note, "$text-muted"))

    def on_click(self, event: events.Click) -> None:
        """Choose the entry of the line."""
        place = self._top + event.y
        if 0 <= place < len(self.entries):
            event.stop()
            self.post_message(self.Chosen(self.entries[place]))
