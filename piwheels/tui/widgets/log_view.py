"""A view of a growing log: it follows the end until the reader scrolls up, and never jumps."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from piwheels.formatting import format_count, pluralize
from piwheels.tui.widgets.cell_text import pad_or_truncate
from piwheels.tui.widgets.log_buffer import (
    ERROR_PATTERN,
    WARNING_PATTERN,
    LogBuffer,
    WrapIndex,
    max_width,
    wrap_offsets,
)
from piwheels.tui.widgets.log_search import LogSearch, compile_search

_FOOTER_LINES = 1
#: Between two frames of a fast log.
_MIN_REFRESH_S = 0.05
_HORIZONTAL_STEP = 16
#: Line numbers take so many cells, on views that are wide enough for them.
_NUMBER_CELLS = 7
_MIN_WIDTH_WITH_NUMBERS = 72


class LogView(ScrollView, can_focus=True):
    """The lines of a log, and a footer with the state of the view."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "logview--error",
        "logview--warning",
        "logview--number",
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
        & > .logview--warning { color: $text-warning; }
        & > .logview--number { color: $text-muted; }
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
        """The view started or stopped following the log's end."""

        view: "LogView"
        following: bool

        @property
        def control(self) -> "LogView":
            """The view."""
            return self.view

    def __init__(
        self,
        *,
        wrap: bool = False,
        ascii_only: bool = False,
        log_buffer: LogBuffer | None = None,
        id: str | None = None,  # noqa: A002 Textual says id
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._buffer = LogBuffer() if log_buffer is None else log_buffer
        self._ascii_only = ascii_only
        self._wrap_index = WrapIndex(80) if wrap else None
        self._following = True
        self._ended = False
        self._scroll_x = 0
        self._max_width = 0
        self._first_unseen = 0  # the first line after following stopped
        self._search = LogSearch(self._buffer)
        self._footer_drawn = ""
        self._scrolling_internally = False
        self._refresh_scheduled = False
        self._refreshed_at = 0.0
        self._styles_by_name: dict[tuple[str, ...], Style] = {}

    # -- contents -----------------------------------------------------------------

    @property
    def log_buffer(self) -> LogBuffer:
        """The lines."""
        return self._buffer

    @property
    def following(self) -> bool:
        """Whether the view follows the log's end."""
        return self._following

    @property
    def wrap(self) -> bool:
        """Whether long lines are wrapped."""
        return self._wrap_index is not None

    @property
    def match_count(self) -> int:
        """How many lines match so far."""
        return self._search.match_count

    @property
    def current_match(self) -> int | None:
        """The number of the current match's line."""
        return self._search.current

    def append(self, data: bytes) -> None:
        """Append a chunk of the log; it may end anywhere."""
        dropped_before = self._buffer.first_line_number
        changed = self._buffer.append(data)
        dropped = self._buffer.first_line_number - dropped_before
        if self._wrap_index:
            dropped = self._wrap_index.update(self._buffer, changed)
        else:
            self._max_width = max(self._max_width, max_width(self._buffer.lines_from(changed)))
        self._search.extend(changed)
        if dropped and not self._following:
            self._shift_rows(-dropped)
        self._schedule_refresh()

    def end(self) -> None:
        """The log is complete."""
        self._ended = True
        self._schedule_refresh()

    def clear(self) -> None:
        """Remove the log, before the first chunk of another."""
        self._buffer.clear()
        self._ended, self._scroll_x, self._max_width, self._first_unseen = False, 0, 0, 0
        self._search.end()
        self.set_wrap(self.wrap)
        self.set_following(True)
        self._refresh_view()

    # -- search ------------------------------------------------------------------------

    def search(self, text: str) -> bool:
        """Search from the top of the view; False without a match. "" ends the search."""
        self._search.end()
        self.refresh()
        if not text:
            return False
        self._search.start(compile_search(text), text)
        return self.search_next()

    def first_error(self) -> bool:
        """Go to the first line that reports an error; next and previous continue from there."""
        self._search.start(ERROR_PATTERN, "errors")
        return self._show_match(self._search.first())

    def go_to_line(self, number: int) -> bool:
        """Go to a line by its number, from 1; False if there is no such line."""
        if not self._buffer.first_line_number < number <= self._buffer.next_line_number:
            return False
        self._search.end()
        return self._show_match(number - 1)

    def search_next(self) -> bool:
        """Go to the next match, after the last to the first; False when there is none."""
        return self._show_match(self._search.next(self._top_line()))

    def search_previous(self) -> bool:
        """Go to the previous match."""
        return self._show_match(self._search.previous(self._top_line()))

    def _show_match(self, number: int | None) -> bool:
        self.refresh()
        if number is None:
            return False
        row = self._row_of(number)
        top = self.scroll_offset.y
        if not top <= row < top + self._page_rows:
            self._scroll_to_row(row - self._page_rows // 3)
        # Also on the last page: the match must not scroll away.
        self.set_following(False)
        return True

    # -- position -----------------------------------------------------------

    def set_following(self, following: bool) -> None:
        """Follow the end, or stay at the position."""
        if following:
            self._scroll_to_end()
        if following == self._following:
            return
        self._following = following
        self._first_unseen = self._buffer.next_line_number
        self._draw_footer()
        self.post_message(self.FollowChanged(self, following))

    def set_wrap(self, wrap: bool) -> None:
        """Wrap long lines, or cut them at the edge."""
        top = self._top_line()
        self._wrap_index = WrapIndex(self._width) if wrap else None
        if self._wrap_index:
            self._wrap_index.update(self._buffer, self._buffer.first_line_number)
        self._scroll_x = 0
        self._max_width = 0 if wrap else max_width(self._buffer.lines_from(0))
        self._refresh_view()
        if not self._following:
            self._scroll_to_row(self._row_of(top))
        self.refresh()

    def set_ascii(self, ascii_only: bool) -> None:
        """Draw with ASCII only, or with Unicode."""
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
        """Scroll right, or left."""
        limit = max(0, self._max_width - self._width)
        x = max(0, min(self._scroll_x + steps * _HORIZONTAL_STEP, limit))
        if x != self._scroll_x:
            self._scroll_x = x
            self.refresh()

    @property
    def _row_width(self) -> int:
        """The cells of a row, without the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def _number_width(self) -> int:
        """The cells of a line's number; none on a narrow view."""
        return _NUMBER_CELLS if self._row_width >= _MIN_WIDTH_WITH_NUMBERS else 0

    @property
    def _width(self) -> int:
        """The cells of a row's text."""
        return self._row_width - self._number_width

    def watch_show_vertical_scrollbar(self) -> None:
        """Wrap for the changed width."""
        if self.wrap:
            self.set_wrap(True)
        self.refresh()

    @property
    def _page_rows(self) -> int:
        return max(1, self.size.height - _FOOTER_LINES)

    @property
    def _rows(self) -> int:
        return self._wrap_index.rows if self._wrap_index else len(self._buffer)

    def _row_of(self, number: int) -> int:
        if self._wrap_index:
            return self._wrap_index.row_of(number)
        return max(0, number - self._buffer.first_line_number)

    def _line_at(self, row: int) -> tuple[int, int]:
        return (
            self._wrap_index.line_at(row)
            if self._wrap_index
            else (self._buffer.first_line_number + row, 0)
        )

    def _top_line(self) -> int:
        return self._line_at(self.scroll_offset.y)[0]

    def _shift_rows(self, rows: int) -> None:
        """Stay at the same lines when rows above them are dropped."""
        self._scroll_to_row(self.scroll_offset.y + rows)

    def _scroll_to_row(self, row: int, *, by_reader: bool = False) -> None:
        self._update_virtual_size()
        self._scrolling_internally = not by_reader
        self.scroll_to(y=max(0, row), animate=False, force=True)
        self._scrolling_internally = False

    def _scroll_to_end(self) -> None:
        self._scroll_to_row(max(0, self._rows - self._page_rows))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up stops following; scrolling to the end starts it."""
        super().watch_scroll_y(old_value, new_value)
        if not self._scrolling_internally and round(old_value) != round(new_value):
            self.set_following(round(new_value) >= self._rows - self._page_rows)

    # -- drawing -----------------------------------------------------------------------

    def _schedule_refresh(self) -> None:
        """Refresh at once after a pause, else with the next frame."""
        if self._refresh_scheduled or not self.is_mounted:
            return
        rest_s = self._refreshed_at + _MIN_REFRESH_S - time.monotonic()
        if rest_s <= 0:
            self._refresh_view()
            return
        self._refresh_scheduled = True
        self.set_timer(rest_s, self._refresh_view)

    def _refresh_view(self) -> None:
        self._refresh_scheduled = False
        self._refreshed_at = time.monotonic()
        self._update_virtual_size()
        if self._following:
            self._scroll_to_end()
        self._refresh_end()
        self._draw_footer()

    def _update_virtual_size(self) -> None:
        """Set how many rows there are to scroll through."""
        size = Size(self._row_width, self._rows + _FOOTER_LINES)
        if size != self.virtual_size:
            self._scrolling_internally = True
            self.virtual_size = size
            self._scrolling_internally = False

    def _refresh_end(self) -> None:
        """Refresh the last rows in view, where lines were added or changed."""
        bottom = self._rows - self.scroll_offset.y
        if bottom <= self._page_rows or self._following:
            self.refresh(Region(0, 0, self._row_width, self._page_rows))

    def _draw_footer(self) -> None:
        if self._footer() != self._footer_drawn:
            self.refresh(Region(0, self._page_rows, self._row_width, _FOOTER_LINES))

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap for the new width, and stay at the line or at the end."""
        self.set_wrap(self.wrap)

    def notify_style_update(self) -> None:
        """Called by Textual when the theme or the focus has changed."""
        super().notify_style_update()
        self._styles_by_name.clear()

    def _style_for(self, *names: str) -> Style:
        look = self._styles_by_name.get(names)
        if look is None:
            look = self.rich_style
            for name in names:
                look += self.get_component_rich_style(f"logview--{name}", partial=True)
            self._styles_by_name[names] = look
        return look

    def render_line(self, y: int) -> Strip:
        """The row at `y` rows below the widget's upper edge."""
        if y >= self._page_rows:
            self._footer_drawn = self._footer()
            look = self._style_for("footer" if self._following or self._ended else "paused")
            width = self._row_width
            footer = pad_or_truncate(self._footer_drawn, width, ascii_only=self._ascii_only)
            return Strip([Segment(footer, look)], width)
        row = self.scroll_offset.y + y
        if row >= self._rows:
            return Strip.blank(self._row_width, self._style_for())
        number, part = self._line_at(row)
        text = self._text_strip(number, part)
        if not (cells := self._number_width):
            return text
        label = f"{number + 1:>{cells - 1}} " if part == 0 else " " * cells
        return Strip([Segment(label, self._style_for("number")), *text], self._row_width)

    def _text_strip(self, number: int, part: int) -> Strip:
        """A part of a line, as wide as the text."""
        width = self._width
        line = self._buffer[number]
        if self._ascii_only and not line.isascii():
            line = line.encode("ascii", "replace").decode()
        start, end = self._scroll_x, self._scroll_x + width
        if self._wrap_index:
            cuts = wrap_offsets(line, self._wrap_index.width)
            start, end = cuts[part : part + 2] if part + 1 < len(cuts) else (0, 0)
        strip = Strip(self._segments(line, number)).crop(start, end)
        return strip.adjust_cell_length(width, self._style_for())

    def _segments(self, line: str, number: int) -> Iterator[Segment]:
        base = self._style_for(*_line_styles(line))
        pattern, is_current = self._search.pattern, number == self._search.current
        if not pattern or self._search.for_errors:
            names = ("error", "current") if is_current else ()
            yield Segment(line, self._style_for(*names) if names else base)
            return
        found = self._style_for("match", "current") if is_current else self._style_for("match")
        at = 0
        for match in pattern.finditer(line):
            if match.start() > at:
                yield Segment(line[at : match.start()], base)
            yield Segment(match.group(), found)
            at = match.end()
        if at < len(line):
            yield Segment(line[at:], base)

    def _footer(self) -> str:
        dot = " - " if self._ascii_only else " · "
        return f" {dot.join(self._footer_parts())}"

    def _footer_parts(self) -> Iterator[str]:
        if self._following:
            yield "ended" if self._ended else "following"
        elif (new := self._buffer.next_line_number - self._first_unseen) > 0:
            yield f"PAUSED: {pluralize(new, 'new line')} below, End to follow"
        else:
            yield "paused, End to follow"
        count = pluralize(self._buffer.next_line_number, "line")
        yield count if self._ended else f"{count} so far"
        if self._search.pattern:
            yield self._search.summary
        if self._buffer.first_line_number:
            yield f"the first {format_count(self._buffer.first_line_number)} were dropped"


def _line_styles(line: str) -> tuple[str, ...]:
    if ERROR_PATTERN.search(line):
        return ("error",)
    return ("warning",) if WARNING_PATTERN.search(line) else ()
