"""A log to read while it grows: it follows until the reader scrolls up, and never jumps."""

import os
import re
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from piwheels.errors import PiwheelsError
from piwheels.tui.widgets.columns import fit
from piwheels.tui.widgets.logtext import ERROR, LogText, Wrapping, bounds, needle, widest

_FOOTER_LINES = 1
#: Between two frames of a log that grows fast.
_FRAME_S = 0.05
_SIDEWAYS_CELLS = 16


class LogView(ScrollView, can_focus=True):
    """The lines of a log, and under them one line that says how it is being read."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "logview--error",
        "logview--match",
        "logview--current",
        "logview--footer",
        "logview--paused",
    }

    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .logview--error { color: $text-error; text-style: bold; }
        & > .logview--match { text-style: underline bold; color: $text-warning; }
        & > .logview--current { text-style: reverse bold; }
        & > .logview--footer { background: $panel; color: $foreground; }
        & > .logview--paused { background: $panel; color: $text-warning; text-style: bold; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "rows(-1)", "Up", show=False),
        Binding("down", "rows(1)", "Down", show=False),
        Binding("pageup", "pages(-1)", "Page up", show=False),
        Binding("pagedown", "pages(1)", "Page down", show=False),
        Binding("home", "top", "Top", show=False),
        Binding("end", "follow", "Follow", show=False),
        Binding("left", "sideways(-1)", "Left", show=False),
        Binding("right", "sideways(1)", "Right", show=False),
    ]

    @dataclass
    class FollowChanged(Message):
        """The view began to follow the log's end, or stopped because the reader went elsewhere."""

        view: "LogView"
        following: bool

        @property
        def control(self) -> "LogView":
            """The view that says so."""
            return self.view

    def __init__(
        self,
        *,
        wrap: bool = False,
        ascii_only: bool = False,
        text: LogText | None = None,
        id: str | None = None,  # noqa: A002 Textual says id
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._text = LogText() if text is None else text
        self._ascii_only = ascii_only
        self._wrapping = Wrapping(80) if wrap else None
        self._following = True
        self._ended = False
        self._x = 0
        self._widest = 0
        self._unseen = 0  # the number of the first line that came after following stopped
        self._pattern: re.Pattern[str] | None = None
        self._wanted = ""  # what is searched, in words
        self._matches: list[int] = []
        self._current: int | None = None
        self._footer_drawn = ""
        self._settling = False
        self._waits = False
        self._settled_at = 0.0
        self._looks: dict[tuple[str, ...], Style] = {}

    # -- what it holds -----------------------------------------------------------------

    @property
    def text(self) -> LogText:
        """The lines."""
        return self._text

    @property
    def following(self) -> bool:
        """Whether the view keeps to the log's end."""
        return self._following

    @property
    def wrap(self) -> bool:
        """Whether long lines go on in the next row."""
        return self._wrapping is not None

    @property
    def matches(self) -> int:
        """How many lines the search found so far."""
        return len(self._matches)

    @property
    def current(self) -> int | None:
        """The number of the line that the search is at."""
        return self._current

    def append(self, data: bytes) -> None:
        """Add a piece of the log; it may end anywhere."""
        dropped_before = self._text.first
        changed = self._text.append(data)
        dropped = self._text.first - dropped_before
        if self._wrapping:
            dropped = self._wrapping.update(self._text, changed)
        else:
            self._widest = max(self._widest, widest(self._text.since(changed)))
        self._search_on(changed)
        if dropped and not self._following:
            self._shift(-dropped)
        self._soon()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._soon()

    def clear(self) -> None:
        """Forget the log, as before the first piece of another."""
        self._text.clear()
        self._ended, self._x, self._widest, self._unseen = False, 0, 0, 0
        self._matches, self._current = [], None
        self.set_wrap(self.wrap)
        self.set_following(True)
        self._settle()

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the lines to a file: all of them or none.

        Raises:
            PiwheelsError: One line that says why it was not possible.
        """
        lines: list[str] = list(self._text.since(0))
        if self._text.first:
            lines.insert(0, f"[the first {self._text.first:,} lines are not kept]")
        try:
            if not overwrite and os.path.lexists(path):
                raise PiwheelsError(f"{path} is there already; give the log another name")
            _write_whole(path, "\n".join(lines) + "\n")
        except (OSError, ValueError) as error:  # the latter: a name that no file can have
            reason = getattr(error, "strerror", None) or str(error)
            raise PiwheelsError(f"cannot save to {path}: {reason}") from error

    # -- search ------------------------------------------------------------------------

    def search(self, text: str) -> bool:
        """Look for a text from the top of the view on; False when it is nowhere. "" ends it."""
        if not text:
            self._seek(None, "")
            return False
        return self._seek(needle(text), text)

    def first_error(self) -> bool:
        """Go to the first line that tells of a failure; next and previous go on from there."""
        self._seek(ERROR, "errors", jump=False)
        return self._jump_to(0)

    def search_next(self) -> bool:
        """Go to the next match; after the last comes the first. False when there is none."""
        at = self._top_line() - 1 if self._current is None else self._current
        return self._jump_to(bisect_right(self._matches, at))

    def search_previous(self) -> bool:
        """Go to the match before."""
        at = self._top_line() if self._current is None else self._current
        return self._jump_to(bisect_left(self._matches, at) - 1)

    def _seek(self, pattern: re.Pattern[str] | None, wanted: str, *, jump: bool = True) -> bool:
        self._pattern, self._wanted, self._current = pattern, wanted, None
        self._matches = self._text.matches(pattern) if pattern else []
        self.refresh()
        return jump and self.search_next()

    def _search_on(self, changed: int) -> None:
        """Take new lines into the matches, and let go of dropped ones."""
        if not self._pattern:
            return
        del self._matches[bisect_left(self._matches, changed) :]
        self._matches += self._text.matches(self._pattern, changed)
        if self._matches and self._matches[0] < self._text.first:
            del self._matches[: bisect_left(self._matches, self._text.first)]

    def _jump_to(self, place: int) -> bool:
        if not self._matches:
            self.refresh()
            return False
        self._current = self._matches[place % len(self._matches)]
        row = self._row_of(self._current)
        top = self.scroll_offset.y
        if not top <= row < top + self._page_rows:
            self._scroll_to_row(row - self._page_rows // 3)
        # Also where the match is on the last page: it must not run away under the reader.
        self.set_following(False)
        self.refresh()
        return True

    # -- where the reader is -----------------------------------------------------------

    def set_following(self, following: bool) -> None:
        """Keep to the end, or stay here."""
        if following:
            self._scroll_to_end()
        if following == self._following:
            return
        self._following = following
        self._unseen = self._text.end
        self._draw_footer()
        self.post_message(self.FollowChanged(self, following))

    def set_wrap(self, wrap: bool) -> None:
        """Let long lines go on in the next row, or cut them at the edge."""
        top = self._top_line()
        self._wrapping = Wrapping(self._width) if wrap else None
        if self._wrapping:
            self._wrapping.update(self._text, self._text.first)
        self._x = 0
        self._widest = 0 if wrap else widest(self._text.since(0))
        self._settle()
        if not self._following:
            self._scroll_to_row(self._row_of(top))
        self.refresh()

    def set_ascii(self, ascii_only: bool) -> None:
        """Draw with ASCII alone, or with what the terminal can."""
        self._ascii_only = ascii_only
        self.refresh()

    def action_rows(self, rows: int) -> None:
        """Scroll by so many rows."""
        self._scroll_to_row(self.scroll_offset.y + rows, by_reader=True)

    def action_pages(self, pages: int) -> None:
        """Scroll by so many pages."""
        self._scroll_to_row(self.scroll_offset.y + pages * self._page_rows, by_reader=True)

    def action_top(self) -> None:
        """Go to the first line."""
        self._scroll_to_row(0, by_reader=True)

    def action_follow(self) -> None:
        """Go to the end and follow it."""
        self.set_following(True)

    def action_sideways(self, steps: int) -> None:
        """Show what is further right, or further left."""
        limit = max(0, self._widest - self._width)
        x = max(0, min(self._x + steps * _SIDEWAYS_CELLS, limit))
        if x != self._x:
            self._x = x
            self.refresh()

    @property
    def _width(self) -> int:
        """The cells of a row: those that the scrollbar leaves."""
        return self.scrollable_content_region.width

    def watch_show_vertical_scrollbar(self) -> None:
        """A scrollbar takes a cell of every row, or gives it back."""
        if self.wrap:
            self.set_wrap(True)
        self.refresh()

    @property
    def _page_rows(self) -> int:
        return max(1, self.size.height - _FOOTER_LINES)

    @property
    def _rows(self) -> int:
        return self._wrapping.rows if self._wrapping else len(self._text)

    def _row_of(self, number: int) -> int:
        if self._wrapping:
            return self._wrapping.row_of(number)
        return max(0, number - self._text.first)

    def _line_at(self, row: int) -> tuple[int, int]:
        return self._wrapping.line_at(row) if self._wrapping else (self._text.first + row, 0)

    def _top_line(self) -> int:
        return self._line_at(self.scroll_offset.y)[0]

    def _shift(self, rows: int) -> None:
        """Keep the reader at the same lines when rows above them go."""
        self._scroll_to_row(self.scroll_offset.y + rows)

    def _scroll_to_row(self, row: int, *, by_reader: bool = False) -> None:
        self._measure()
        self._settling = not by_reader
        self.scroll_to(y=max(0, row), animate=False, force=True)
        self._settling = False

    def _scroll_to_end(self) -> None:
        self._scroll_to_row(max(0, self._rows - self._page_rows))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Whoever scrolls up wants to read; whoever comes back to the end, to follow."""
        super().watch_scroll_y(old_value, new_value)
        if not self._settling and round(old_value) != round(new_value):
            self.set_following(round(new_value) >= self._rows - self._page_rows)

    # -- drawing -----------------------------------------------------------------------

    def _soon(self) -> None:
        """Draw what came; at once after a pause, with the next frame in a flood."""
        if self._waits or not self.is_mounted:
            return
        rest_s = self._settled_at + _FRAME_S - time.monotonic()
        if rest_s <= 0:
            self._settle()
            return
        self._waits = True
        self.set_timer(rest_s, self._settle)

    def _settle(self) -> None:
        self._waits = False
        self._settled_at = time.monotonic()
        self._measure()
        if self._following:
            self._scroll_to_end()
        self._refresh_end()
        self._draw_footer()

    def _measure(self) -> None:
        """Tell Textual how many rows there are to scroll through."""
        size = Size(self._width, self._rows + _FOOTER_LINES)
        if size != self.virtual_size:
            self._settling = True
            self.virtual_size = size
            self._settling = False

    def _refresh_end(self) -> None:
        """The last rows in view: where lines were added, or the open one has changed."""
        bottom = self._rows - self.scroll_offset.y
        if bottom <= self._page_rows or self._following:
            self.refresh(Region(0, 0, self._width, self._page_rows))

    def _draw_footer(self) -> None:
        if self._footer() != self._footer_drawn:
            self.refresh(Region(0, self._page_rows, self._width, _FOOTER_LINES))

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap anew, and stay at the line or at the end."""
        self.set_wrap(self.wrap)

    def notify_style_update(self) -> None:
        """Textual calls it when the theme or the focus changed what styles mean."""
        super().notify_style_update()
        self._looks.clear()

    def _look(self, *names: str) -> Style:
        look = self._looks.get(names)
        if look is None:
            look = self.rich_style
            for name in names:
                look += self.get_component_rich_style(f"logview--{name}", partial=True)
            self._looks[names] = look
        return look

    def render_line(self, y: int) -> Strip:
        """The row at so many rows below the widget's upper edge."""
        width = self._width
        if y >= self._page_rows:
            self._footer_drawn = self._footer()
            look = self._look("footer" if self._following or self._ended else "paused")
            footer = fit(self._footer_drawn, width, ascii_only=self._ascii_only)
            return Strip([Segment(footer, look)], width)
        row = self.scroll_offset.y + y
        if row >= self._rows:
            return Strip.blank(width, self._look())
        number, part = self._line_at(row)
        line = self._text[number]
        if self._ascii_only and not line.isascii():
            line = line.encode("ascii", "replace").decode()
        start, end = self._x, self._x + width
        if self._wrapping:
            cuts = bounds(line, self._wrapping.width)
            start, end = cuts[part : part + 2] if part + 1 < len(cuts) else (0, 0)
        strip = Strip(self._segments(line, number)).crop(start, end)
        return strip.adjust_cell_length(width, self._look())

    def _segments(self, line: str, number: int) -> Iterator[Segment]:
        base = self._look("error") if ERROR.search(line) else self._look()
        if not self._pattern or self._pattern is ERROR:
            names = ("error", "current") if number == self._current else ()
            yield Segment(line, self._look(*names) if names else base)
            return
        found = self._look("match", "current") if number == self._current else self._look("match")
        at = 0
        for match in self._pattern.finditer(line):
            if match.start() > at:
                yield Segment(line[at : match.start()], base)
            yield Segment(match.group(), found)
            at = match.end()
        if at < len(line):
            yield Segment(line[at:], base)

    def _footer(self) -> str:
        dot = " - " if self._ascii_only else " · "
        return f" {dot.join(self._state())}"

    def _state(self) -> Iterator[str]:
        if self._following:
            yield "ended" if self._ended else "following"
        elif (new := self._text.end - self._unseen) > 0:
            yield f"PAUSED: {new:,} new lines below, End to follow"
        else:
            yield "paused, End to follow"
        yield f"{self._text.end:,} lines"
        if self._pattern:
            yield f"{self._wanted}: {self._position()}"
        if self._text.first:
            yield f"the first {self._text.first:,} are not kept"

    def _position(self) -> str:
        if not self._matches:
            return "not found"
        if self._current is None:
            return f"{len(self._matches):,} lines"
        return f"{bisect_right(self._matches, self._current):,} of {len(self._matches):,}"


def _write_whole(path: Path, text: str) -> None:
    """Write to a file beside it, and rename that."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
