"""The page of a project or a release: its state per target, its builds, and why it is so."""

from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import (
    Explain,
    ExplainReply,
    Explanation,
    ProjectReply,
    ShowProject,
)
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.project_page import overview_lines
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import FarmScreen
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.widgets.detail_pane import detail_content

_MIN_WIDTH = 36


class ExplainScreen(FarmScreen):
    """A project with its newest release, or the release that the screen was opened for.

    It shows the state for each target with what is expected, builds, downloads, recipes, and below
    them the master's explanation of the release, or of its target that the screen was opened for.
    """

    screen_name = ScreenName.EXPLAIN
    AUTO_FOCUS = "VerticalScroll"
    _EMPTY_TEXT: ClassVar[str] = (
        "No release is selected. On Builders (1) or Builds (3), e explains the release of a row."
    )

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._reply: ProjectReply | None = None
        self._answers: tuple[Explanation, ...] = ()
        self._error = ""

    def compose_body(self) -> Sequence[Widget]:
        """A page of text."""
        return (
            VerticalScroll(
                Static("", id="release", markup=False), Static("", id="answers", markup=False)
            ),
        )

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Select a release; without one, keep the last."""
        if screen_filter.project and screen_filter != self.screen_filter:
            self.screen_filter = screen_filter
            self._reply, self._answers, self._error = None, (), ""

    def on_shown(self) -> None:
        """Request the answer again: an old one may be out of date."""
        self.refresh_all()
        if self.screen_filter.project:
            self._request(self.screen_filter)

    def on_command_finished(self) -> None:
        """Show what a command has changed."""
        self.on_shown()

    def on_resize(self) -> None:
        """Lay the lines out for the new width."""
        self.refresh_all()

    @work(exclusive=True)
    async def _request(self, scope: ScreenFilter) -> None:
        source = self.console.source
        version = scope.version or None
        explain = Explain(project=scope.project, version=version, target=scope.target or None)
        try:
            self._answers = (await source.request(explain, ExplainReply)).answers
            self.refresh_all()
            show = ShowProject(project=scope.project, version=version)
            self._reply = await source.request(show, ProjectReply)
        except PiwheelsError as error:
            self._error = str(error)
        else:
            self._error = ""
        self.refresh_all()

    def refresh_content(self) -> None:
        """Show the page."""
        self.query_one("#release", Static).update(self._overview())
        self.query_one("#answers", Static).update(self._explanation())

    def _explanation(self) -> Content:
        if not self.screen_filter.project:
            return Content(self._EMPTY_TEXT)
        parts = [_answer(answer) for answer in self._answers]
        if self._error and not self._answers:
            parts.append(Content.assemble("\n", (terminal_safe(self._error), "$text-warning")))
        return Content("").join(parts)

    def _overview(self) -> Content:
        scope, console = self.screen_filter, self.console
        if self._reply is None:
            name = " ".join(filter(None, (scope.project, scope.version, scope.target)))
            return Content.assemble((terminal_safe(name), "bold"))
        lines = overview_lines(
            self._reply.overview,
            width=max(_MIN_WIDTH, console.size.width - 5),
            now=console.now,
            ascii_only=console.ascii_only,
        )
        return Content.assemble(detail_content(lines), *self._web_page())

    def _web_page(self) -> tuple[Content, ...]:
        """The address of its page for visitors, as a link of the terminal."""
        address = self.console.web_links.release(self.screen_filter.project)
        if not address:
            return ()
        return (Content("\nWeb page: "), Content.styled(address, Style(link=address)))

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The release, and its last build."""
        scope = self.screen_filter
        if not scope.project:
            return ()
        name = " ".join(filter(None, (scope.project, scope.version)))
        builds = [answer.build for answer in self._answers if answer.build is not None]
        return (
            ActionTarget(
                key=name,
                name=terminal_safe(name),
                build=max(builds, default=None),
                project=scope.project,
                version=scope.version,
                target=scope.target,
            ),
        )


def _answer(answer: Explanation) -> Content:
    where = " ".join(filter(None, (answer.version, answer.target))) or answer.project
    build = f"  (build {answer.build})" if answer.build is not None else ""
    return Content.assemble(
        "\n",
        (terminal_safe(where), "bold $text-accent"),
        f": {terminal_safe(answer.state)}",
        (build, "$text-muted"),
        "\n",
        terminal_safe(answer.text),
        "\n",
    )
