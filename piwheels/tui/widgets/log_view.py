"""A view of a growing log: it follows the end until the reader scrolls up, and never jumps."""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
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

from piwheels.tui.widgets.cell_text import pad_or_truncate
from piwheels.tui.widgets.log_buffer import LogBuffer
from piwheels.tui.widgets.log_content import LogContent
from piwheels.tui.widgets.log_painter import LogPainter, margin_cells
from piwheels.tui.widgets.log_position import LogPosition
from piwheels.tui.widgets.log_search import compile_search

_FOOTER_LINES = 1
#: Between two frames of a fast log.
_MIN_REFRESH_S = 0.05
_HORIZONTAL_STEP = 16


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
        Binding("up,k", "rows(-1)", "Up", show=False),
        Binding("down,j", "rows(1)", "Down", show=False),
        Binding("pageup", "pages(-1)", "Page up", show=False),
        Binding("pagedown", "pages(1)", "Page down", show=False),
        Binding("home,g", "top", "Top", show=False),
        Binding("end,G", "follow", "Follow", show=False),
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
        fold: bool = True,
        ascii_only: bool = False,
        log_buffer: LogBuffer | None = None,
        id: str | None = None,  # noqa: A002 Textual says id
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        buffer = LogBuffer() if log_buffer is None else log_buffer
        self._content = LogContent(buffer, folding=fold)
        self._ascii_only = ascii_only
        self._wrap = wrap
        self._following = True
        self._ended = False
        self._current: int | None = None  # the line that was last gone to
        self._read_share = 0.0  # of a log that has ended; 0: unknown
        self._scroll_x = 0
        self._first_unseen = 0  # the first line after following stopped
        self._footer_drawn = ""
        self._scrolling_internally = False
        self._refresh_scheduled = False
        self._refreshed_at = 0.0
        self._styles_by_name: dict[tuple[str, ...], Style] = {}

    # -- contents -----------------------------------------------------------------

    @property
    def log_buffer(self) -> LogBuffer:
        """The lines."""
        return self._content.buffer

    @property
    def following(self) -> bool:
        """Whether the view follows the log's end."""
        return self._following

    @property
    def wrap(self) -> bool:
        """Whether long lines are wrapped."""
        return self._wrap

    @property
    def folding(self) -> bool:
        """Whether runs of noise are folded."""
        return self._content.folds.folding

    @property
    def match_count(self) -> int:
        """How many lines match so far."""
        return self._content.search.match_count

    @property
    def is_searching(self) -> bool:
        """Whether a text is searched that is there."""
        return self._content.search.pattern is not None and self.match_count > 0

    @property
    def current_match(self) -> int | None:
        """The number of the current match's line."""
        return self._content.search.current

    @property
    def current_line(self) -> int | None:
        """The number of the line that was last gone to."""
        return self._current

    def append(self, data: bytes, arrivals: Sequence[tuple[int, float]] = ()) -> None:
        """Append a chunk of the log; it may end anywhere.

        `arrivals` are the places in it, in bytes, from which on it arrived so many seconds after
        the build's start; the first can be before the chunk.
        """
        at_top = self._line_at(self.scroll_offset.y)
        self._content.append(data, arrivals)
        if not self._following:
            self._stay_at(*at_top)
        self._schedule_refresh()

    def _stay_at(self, number: int, part: int) -> None:
        """Keep what was the top row in place: rows above it may have gone."""
        if self._line_at(self.scroll_offset.y) != (number, part):
            self._scroll_to_row(self._row_of(number) + part)

    def show_progress(self, share: float) -> None:
        """How much of a log that has ended was read, from 0 to 1."""
        self._read_share = share

    def end(self) -> None:
        """The log is complete."""
        self._ended = True
        self._schedule_refresh()

    def clear(self) -> None:
        """Remove the log, before the first chunk of another."""
        self._content.clear()
        self._ended, self._scroll_x, self._first_unseen = False, 0, 0
        self._current, self._read_share = None, 0.0
        self.set_wrap(self.wrap)
        self.set_following(True)
        self._refresh_view()

    # -- search ------------------------------------------------------------------------

    def search(self, text: str) -> bool:
        """Search from the top of the view; False without a match. "" ends the search."""
        self._content.search.end()
        self.refresh()
        if not text:
            return False
        self._content.search.start(compile_search(text), text)
        return self.search_next()

    def go_to_error(self, step: int) -> bool:
        """Go to the next line that reports an error, or with -1 to the previous one.

        It counts from the line that was last gone to, else the first or last error is the next
        one; after the last error follows the first. False when there is none.
        """
        errors = self._content.marks.errors
        if not errors:
            return False
        if self._current is None:
            return self._go_to(errors[0 if step > 0 else -1])
        at = (
            bisect_right(errors, self._current)
            if step > 0
            else bisect_left(errors, self._current) - 1
        )
        return self._go_to(errors[at % len(errors)])

    def go_to_line(self, number: int) -> bool:
        """Go to a line by its number, from 1; False if there is no such line."""
        if not self._content.has_line(number - 1):
            return False
        self._content.search.end()
        return self._go_to(number - 1)

    def go_to_text(self, text: str, number: int = 0) -> bool:
        """Go to the line of this number (from 1) if it has a text, else to the first with it."""
        pattern, buffer = compile_search(text), self._content.buffer
        if self._content.has_line(number - 1) and pattern.search(buffer[number - 1]):
            return self._go_to(number - 1)
        return self._go_to(next(iter(buffer.find(pattern)), None))

    def search_next(self) -> bool:
        """Go to the next match, after the last to the first; False when there is none."""
        return self._go_to(self._content.search.next(self._top_line()))

    def search_previous(self) -> bool:
        """Go to the previous match."""
        return self._go_to(self._content.search.previous(self._top_line()))

    def _go_to(self, number: int | None) -> bool:
        """Show a line and make it the current one; a fold that hides it is opened."""
        self.refresh()
        if number is None:
            return False
        self._content.unfold(number)
        self._current = number
        row = self._row_of(number)
        top = self.scroll_offset.y
        if not top <= row < top + self._page_rows:
            self._scroll_to_row(row - self._page_rows // 3)
        # Also on the last page: the match must not scroll away.
        self.set_following(False)
        return True

    def line_to_copy(self) -> tuple[int, str] | None:
        """The line that was last gone to, else the last in view: its number from 1, its text."""
        last_row = min(self.scroll_offset.y + self._page_rows, self._rows) - 1
        number = self._line_at(max(0, last_row))[0] if self._current is None else self._current
        if not self._content.has_line(number):
            return None
        return number + 1, self._content.buffer[number]

    def on_click(self, event: events.Click) -> None:
        """A click makes a line the current one; that of a fold opens it."""
        offset = event.get_content_offset(self)
        row = self.scroll_offset.y + (offset.y if offset else self._page_rows)
        if offset is not None and offset.y < self._page_rows and row < self._rows:
            self._go_to(self._line_at(row)[0])

    # -- position -----------------------------------------------------------

    def set_following(self, following: bool) -> None:
        """Follow the end, or stay at the position."""
        if following:
            self._scroll_to_end()
        if following == self._following:
            return
        self._following = following
        self._first_unseen = self._content.buffer.next_line_number
        self._draw_footer()
        self.post_message(self.FollowChanged(self, following))

    def set_wrap(self, wrap: bool) -> None:
        """Wrap long lines, or cut them at the edge."""
        top, self._wrap, self._scroll_x = self._top_line(), wrap, 0
        self._content.make_rows(self._width if wrap else 0)
        self._show_again(top)

    def set_folding(self, *, folding: bool) -> None:
        """Fold all runs of noise, or none."""
        top = self._top_line()
        self._content.set_folding(folding=folding)
        self._show_again(top)

    def _show_again(self, top: int) -> None:
        """Draw the rows, which are others, and stay at the line that was the top one."""
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
        limit = max(0, self._content.max_width - self._width)
        x = max(0, min(self._scroll_x + steps * _HORIZONTAL_STEP, limit))
        if x != self._scroll_x:
            self._scroll_x = x
            self.refresh()

    @property
    def _row_width(self) -> int:
        """The cells of a row, without the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def _width(self) -> int:
        """The cells of a row's text."""
        return self._row_width - margin_cells(self._row_width)

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
        return self._content.rows.rows

    def _row_of(self, number: int) -> int:
        return self._content.rows.row_of(number)

    def _line_at(self, row: int) -> tuple[int, int]:
        return self._content.rows.line_at(row)

    def _top_line(self) -> int:
        return self._line_at(self.scroll_offset.y)[0]

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
        painter = LogPainter(
            content=self._content,
            style=self._style_for,
            width=self._row_width,
            scroll_x=self._scroll_x,
            current=self._current,
            ascii_only=self._ascii_only,
        )
        return painter.row(self.scroll_offset.y + y)

    def _footer(self) -> str:
        buffer, marks, search = self._content.buffer, self._content.marks, self._content.search
        last_row = min(self.scroll_offset.y + self._page_rows, self._rows) - 1
        position = LogPosition(
            line=self._line_at(max(0, last_row))[0] if self._current is None else self._current,
            lines=buffer.next_line_number,
            new_lines=buffer.next_line_number - self._first_unseen,
            dropped=buffer.first_line_number,
            ended=self._ended,
            following=self._following,
            read_share=self._read_share,
            errors=marks.errors,
            warnings=len(marks.warnings),
            search=search.summary if search.pattern else "",
        )
        return f" {position.text(' - ' if self._ascii_only else ' · ')}"
