"""The log screen: the log of a build, live while it runs."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.widget import Widget
from textual.widgets import Input, Static

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_short_duration
from piwheels.model import BuildDetails, BuildSummary
from piwheels.protocol.messages import BuilderView, BuildReply, ShowBuild
from piwheels.tui.model import actions, glyphs
from piwheels.tui.model.action_targets import ended_target, running_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.build_page import cause_words, group_text
from piwheels.tui.model.copying import Copyable
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.tables.builds import outcome_style
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.dialogs import TextInputDialog
from piwheels.tui.screens.same_cause import show_same_cause
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.log_file import save_log
from piwheels.tui.widgets.log_painter import margin_cells, margin_heading
from piwheels.tui.widgets.log_view import LogView

#: A record may have a long line's beginning only.
_COMPARED_CHARS = 80
_LINE_NUMBER = re.compile(r":\s*([0-9]{1,9})\s*")
_NO_MATCH = "No line of this log reports an error. Press / to search."


class LogScreen(FarmScreen):
    """One build's log, under a line about the build."""

    screen_name = ScreenName.LOG
    KEEPS_MESSAGE_ROW = False  # the log has a row about the place of its own
    AUTO_FOCUS = "LogView"
    _EMPTY_TEXT: ClassVar[str] = (
        "No build is selected. On Builders (2) and Builds (3), l shows the log of a row's build."
    )

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._shown_build: int | None = None  # the build whose log is shown
        self._offset = 0  # bytes read so far
        self._is_complete = False
        self._error = ""
        self._details: BuildDetails | None = None  # of a build that has ended

    def compose_body(self) -> Sequence[Widget]:
        """The line about the build, the log, and the input of the search."""
        console = self.console
        return (
            Bar(id="about", ascii_only=console.ascii_only),
            Bar(id="why", ascii_only=console.ascii_only),
            Static(margin_heading(), id="heading", markup=False),
            LogView(ascii_only=console.ascii_only, wrap=self.size.width < 60),
            Static("", id="empty", markup=False),
            Input(placeholder="text to find, or :LINE", select_on_focus=False, compact=True),
        )

    @property
    def log_view(self) -> LogView:
        """The view of the log's lines."""
        return self.query_one(LogView)

    def refresh_content(self) -> None:
        """Update the line about the build."""
        build = self.screen_filter.build
        empty = self.query_one("#empty", Static)
        # Lines that were read stay, even if the rest cannot be read.
        empty.display = build is None or bool(self._error and not self._offset)
        self.log_view.display = not empty.display
        heading = self.query_one("#heading", Static)
        heading.display = self.log_view.display and margin_cells(self.size.width - 1) > 0
        if empty.display:
            empty.update(self._error or self._EMPTY_TEXT)
        about = self.query_one("#about", Bar)
        about.display = build is not None
        about.show(self._title_words())
        why, words = self.query_one("#why", Bar), self._why_words()
        why.display = bool(words)
        why.show(words)

    def _why_words(self) -> list[Word]:
        """The class of a failed build, what it lacked, and how many releases fail so."""
        ended, details = self._ended_build(), self._details
        words = [Word(cause_words(ended.cause), "warning")] if ended and ended.cause else []
        if words and details is not None and (group := group_text(details)):
            words.append(Word(group, "accent", actions.SAME_CAUSE, drop_order=1, gap_before=2))
        return words

    def _title_words(self) -> list[Word]:
        scope, view, ended = self.screen_filter, self._running_view(), self._ended_build()
        words = [Word(f"build {scope.build}", "strong", drop_order=2)]
        words[0] = words[0]._replace(link=self._page_of_log())
        if view is not None:
            words += self._build_words(view.project, view.release_version, view.target, view.label)
            text = f"{view.state}: {view.phase}" if view.phase else view.state
            words.append(self._state_word(view.state, text, glyphs.STATE_STYLE.get(view.state, "")))
        elif ended is not None:
            words += self._build_words(ended.project, ended.version, ended.target, ended.builder)
            glyph, style = outcome_style(ended.outcome)
            text = f"{ended.outcome} in {format_short_duration(ended.duration_s)}"
            words.append(self._state_word(glyph, text, style))
        elif scope.project:
            words += self._build_words(scope.project, scope.version, scope.target)
        if self._error:
            text = f"{self.console.glyph('warning')} {terminal_safe(self._error)}"
            words.append(Word(text, "warning", gap_before=2))
        return words

    def _page_of_log(self) -> str:
        """The page of the log, which a failed build has."""
        target = next(iter(self.action_targets()), None)
        return self.console.web_links.of_cell(target, "build")

    def _build_words(
        self, project: str, version: str, target: str, builder: str = ""
    ) -> list[Word]:
        page = self.console.web_links.release(project, version)
        words = [
            Word(terminal_safe(f"{project} {version}"), "strong", link=page),
            Word(terminal_safe(f"for {target}"), drop_order=4),
        ]
        on = [Word(terminal_safe(f"on {builder}"), drop_order=3)] if builder else []
        return words + on

    def _state_word(self, glyph: str, text: str, style: str) -> Word:
        text = terminal_safe(f"{self.console.glyph(glyph)} {text}")
        return Word(text, style, drop_order=1, gap_before=2)

    def _running_view(self) -> BuilderView | None:
        builder = self.console.farm.builder_of_build(self.screen_filter.build)
        return builder.view_at(self.console.now) if builder is not None else None

    def _ended_build(self) -> BuildSummary | None:
        if self._details is not None:
            return self._details.build
        return self.console.farm.builds.get(self.screen_filter.build or 0)

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The build whose log is shown."""
        scope, view, ended = self.screen_filter, self._running_view(), self._ended_build()
        if scope.build is None:
            return ()
        if view is not None:
            return (running_target(str(scope.build), view),)
        if ended is not None:
            return (ended_target(str(scope.build), ended),)
        name = terminal_safe(f"{scope.project} {scope.version} for {scope.target}")
        target = ActionTarget(
            key=str(scope.build),
            name=name if scope.project else f"build {scope.build}",
            build=scope.build,
            project=scope.project,
            version=scope.version,
            target=scope.target,
        )
        return (target,)

    def copyables(self) -> list[Copyable]:
        """The line that was gone to, else the last one in view; then the build's names."""
        found = self.log_view.line_to_copy()
        line = [Copyable(f"line {found[0]}", terminal_safe(found[1]))] if found else []
        return [*line, *super().copyables()]

    # --- reading the log ---

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Select a build; without one, keep the last."""
        if screen_filter.build is not None:
            super().set_filter(screen_filter)

    def on_shown(self) -> None:
        """Continue reading, or start with another build."""
        if self.screen_filter.build != self._shown_build:
            self.log_view.clear()
            self._shown_build, self._offset, self._is_complete = self.screen_filter.build, 0, False
            self._details = None
        self._error = ""
        self.refresh_all()
        if self._shown_build is not None and not self._is_complete:
            self._follow(self._shown_build)
        if self._shown_build is not None and self._running_view() is None:
            self._request_details(self._shown_build)

    @work(exclusive=True, group="details")
    async def _request_details(self, build: int) -> None:
        """Ask how many fail so; without an answer the log is shown all the same."""
        with suppress(PiwheelsError):
            reply = await self.console.source.request(ShowBuild(build=build), BuildReply)
            if build == self._shown_build:
                self._details = reply.details
                self.refresh_all()

    def on_screen_suspend(self) -> None:
        """Stop reading while the screen is hidden."""
        self.workers.cancel_group(self, "log")

    @work(exclusive=True, group="log")
    async def _follow(self, build: int) -> None:
        log_view = self.log_view  # which the app's end takes from the screen
        try:
            async for piece in self.console.source.follow_log(build, offset=self._offset):
                known = max(0, self._offset - piece.offset)
                arrivals = [(at - piece.offset - known, s) for at, s in piece.arrivals]
                self._offset = max(self._offset, piece.offset + len(piece.data))
                if piece.total_bytes:
                    log_view.show_progress(self._offset / piece.total_bytes)
                log_view.append(piece.data[known:], arrivals)
            self._is_complete = True
            log_view.end()
            if self._details is None:
                self._request_details(build)
        except PiwheelsError as error:
            self._error = str(error)
            self.refresh_all()

    # --- actions ---

    def handlers(self) -> Mapping[Action, Handler]:
        """The actions on a log."""
        return {
            actions.SEARCH: self.edit_search,
            actions.NEXT_MATCH: self.go_to_next_match,
            actions.PREVIOUS_MATCH: self.go_to_previous_match,
            actions.GO_TO_LINE: self.edit_line_number,
            actions.SAME_CAUSE: lambda: show_same_cause(self.console, self._details),
            actions.DECIDING_LINE: self.go_to_deciding_line,
            actions.FOLLOW: self.log_view.action_follow,
            actions.FOLD: self.toggle_folding,
            actions.WRAP: self.toggle_wrap,
            actions.SAVE: self.save,
        }

    def edit_search(self) -> None:
        """Show and focus the input of the search."""
        self._edit("")

    def edit_line_number(self) -> None:
        """The same, for the number of a line."""
        self._edit(":")

    def _edit(self, text: str) -> None:
        line = self.query_one(Input)
        line.display = True
        line.value = text
        line.focus()
        line.action_end()

    @on(Input.Submitted)
    def _search(self, event: Input.Submitted) -> None:
        self.close_search()
        if number := _LINE_NUMBER.fullmatch(event.value):
            if not self.log_view.go_to_line(int(number[1])):
                self.notify(f"This log has no line {number[1]}.", markup=False)
        elif event.value.strip(": ") and not self.log_view.search(event.value):
            self.notify(f"No match for {event.value!r} in this log.", markup=False)

    def close_search(self) -> None:
        """Return to the log."""
        self.query_one(Input).display = False
        self.log_view.focus()

    def clear_last_filter(self) -> bool:
        """End the search."""
        if not self.log_view.match_count:
            return False
        self.log_view.search("")
        return True

    def go_to_next_match(self) -> None:
        """Go to the next match of the search, without one to the next error."""
        log_view = self.log_view
        if not (log_view.search_next() if log_view.is_searching else log_view.go_to_error(1)):
            self.notify(_NO_MATCH)

    def go_to_previous_match(self) -> None:
        """Go to the previous match of the search, without one to the previous error."""
        log_view = self.log_view
        if not (log_view.search_previous() if log_view.is_searching else log_view.go_to_error(-1)):
            self.notify(_NO_MATCH)

    def go_to_deciding_line(self) -> None:
        """Go to the line that the build's record names as the reason of its failure."""
        ended = self._ended_build()
        reason = ended.reason if ended else ""
        number = ended.cause.line_number if ended and ended.cause else 0
        if reason and self.log_view.go_to_text(reason[:_COMPARED_CHARS], number):
            return
        if self.log_view.go_to_error(1):
            self.notify("The deciding line is not known here; this line reports an error.")
        else:
            self.notify("The deciding line of this build is not known here.")

    def toggle_folding(self) -> None:
        """Fold the lines of pip, fetching and unpacking, or show them."""
        self.log_view.set_folding(folding=not self.log_view.folding)

    def toggle_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.log_view.set_wrap(not self.log_view.wrap)

    @work
    async def save(self) -> None:
        """Save the log to a file on this machine."""
        if self._shown_build is None:
            return
        label = "Save the log on this machine as"
        name = await self.app.push_screen_wait(TextInputDialog(label, self._default_file_name()))
        if not name:
            return
        try:
            path = Path(name.strip()).expanduser()
            save_log(self.log_view.log_buffer, path)
        except (PiwheelsError, RuntimeError) as error:  # RuntimeError: no home directory
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"Saved as {path.absolute()}.", markup=False)

    def _default_file_name(self) -> str:
        target = self.action_targets()[0]
        parts = (target.project, target.version, target.target, f"build{self._shown_build}")
        return "-".join(filter(None, parts)).replace("/", "_") + ".log"
