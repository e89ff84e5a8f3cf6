"""The page of a build: what it was, its phases and inputs, why it failed, its last lines."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_datetime
from piwheels.model import BuildDetails
from piwheels.protocol.messages import BuildReply, LogTail, ShowBuild, TailLog
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import ended_target, running_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.build_page import build_page_lines
from piwheels.tui.model.builder_lines import SERIES_ELSEWHERE, BuilderFacts
from piwheels.tui.model.builder_pane import builder_pane
from piwheels.tui.model.detail_lines import BLANK, DetailLine
from piwheels.tui.model.log_tail import TailBuffer
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.state import Builder
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.same_cause import show_same_cause
from piwheels.tui.widgets.detail_pane import detail_content

_TAIL_LINES = 20
_MIN_WIDTH = 36


class BuildScreen(FarmScreen):
    """A build, while it runs as its builder reports it, then as the master has recorded it."""

    screen_name = ScreenName.BUILD
    AUTO_FOCUS = "VerticalScroll"
    _EMPTY_TEXT: ClassVar[str] = "No build is selected. On Builds (3), Enter shows a row's build."

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._details: BuildDetails | None = None
        self._tail: tuple[str, ...] = ()
        self._error = ""
        self._was_running = False

    def compose_body(self) -> Sequence[Widget]:
        """A page of text."""
        return (VerticalScroll(Static("", id="release", markup=False)),)

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Select a build; without one, keep the last."""
        if screen_filter.build is not None and screen_filter != self.screen_filter:
            super().set_filter(screen_filter)
            self._details, self._tail, self._error = None, (), ""
            if self.has_widgets:
                self.query_one(VerticalScroll).scroll_home(animate=False)

    def on_shown(self) -> None:
        """Ask the master: what is known of a build can change."""
        self._was_running = self._builder is not None
        self.refresh_all()
        if self.screen_filter.build is not None:
            self._request(self.screen_filter.build)

    def on_command_finished(self) -> None:
        """Show what a command has changed."""
        self.on_shown()

    def on_resize(self) -> None:
        """Lay the lines out for the new width."""
        self.refresh_all()

    @property
    def _builder(self) -> Builder | None:
        """The builder that builds it now."""
        return self.console.farm.builder_of_build(self.screen_filter.build)

    @work(exclusive=True)
    async def _request(self, build: int) -> None:
        source = self.console.source
        try:
            if self._builder is None:
                reply = await source.request(ShowBuild(build=build), BuildReply)
                self._details, self._error = reply.details, ""
            self.refresh_all()
            buffer = TailBuffer()
            buffer.add(await source.request(TailLog(build=build), LogTail))
            self._tail = tuple(buffer.lines[-_TAIL_LINES:])
        except PiwheelsError as error:
            self._error = str(error)
        self.refresh_all()

    def refresh_content(self) -> None:
        """Show the page; a build that has ended meanwhile is asked for."""
        if self._was_running and self._builder is None and self.console.farm.connected:
            self.on_shown()
            return
        self.query_one("#release", Static).update(self._content())

    def _content(self) -> Content:
        if self.screen_filter.build is None:
            return Content(self._EMPTY_TEXT)
        lines = self._lines(max(_MIN_WIDTH, self.console.size.width - 5))
        if self._tail:
            lines += [BLANK, DetailLine("Log, last lines (l: all of it)", "strong")]
            lines += [DetailLine(terminal_safe(line)) for line in self._tail]
        if self._error:
            lines += [BLANK, DetailLine(terminal_safe(self._error), "warning")]
        return detail_content(lines)

    def _lines(self, width: int) -> list[DetailLine]:
        console, builder = self.console, self._builder
        ascii_only = console.ascii_only
        if builder is not None:
            facts = BuilderFacts(
                builder=builder,
                now=console.now,
                alerts=console.farm.alerts,
                series_note=SERIES_ELSEWHERE,
                ascii_only=ascii_only,
            )
            title = DetailLine(f"build {self.screen_filter.build}", "strong")
            return [title, *builder_pane(facts, width, console.size.height)]
        if self._details is None:
            scope = self.screen_filter
            release = terminal_safe(f"{scope.project} {scope.version}").strip()
            return [DetailLine(f"build {scope.build} {release}", "strong")]
        when = format_datetime(self._details.build.ended_at, console.now)
        return build_page_lines(self._details, when, width=width, ascii_only=ascii_only)

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The build."""
        build, builder = self.screen_filter.build, self._builder
        if build is None:
            return ()
        if builder is not None:
            return (running_target(str(build), builder.view_at(self.console.now)),)
        ended = self._details.build if self._details else self.console.farm.builds.get(build)
        if ended is not None:
            return (ended_target(str(build), ended),)
        return (ActionTarget(key=str(build), name=f"build {build}", build=build),)

    def handlers(self) -> Mapping[Action, Handler]:
        """The way to the builds that fail alike."""
        same = {actions.SAME_CAUSE: lambda: show_same_cause(self.console, self._details)}
        return {**super().handlers(), **same}
