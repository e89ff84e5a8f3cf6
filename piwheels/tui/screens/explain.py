"""The explain screen: why a release has or lacks a wheel, and what is next."""

from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import Explain, ExplainReply, Explanation
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import FarmScreen
from piwheels.tui.screens.context import ConsoleContext


class ExplainScreen(FarmScreen):
    """The master's answers about a project, a release, or one of its targets."""

    screen_name = ScreenName.EXPLAIN
    AUTO_FOCUS = "VerticalScroll"
    _EMPTY_TEXT: ClassVar[str] = (
        "No release is selected. On Builders (1) or Builds (3), e explains the release of a row."
    )

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._answers: tuple[Explanation, ...] = ()
        self._error = ""

    def compose_body(self) -> Sequence[Widget]:
        """A page of text."""
        return (VerticalScroll(Static("", id="answers", markup=False)),)

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Select a release; without one, keep the last."""
        if screen_filter.project and screen_filter != self.screen_filter:
            self.screen_filter, self._answers, self._error = screen_filter, (), ""

    def on_shown(self) -> None:
        """Request the answer again: an old one may be out of date."""
        self.refresh_all()
        if self.screen_filter.project:
            self._request(self.screen_filter)

    @work(exclusive=True)
    async def _request(self, screen_filter: ScreenFilter) -> None:
        body = Explain(
            project=screen_filter.project,
            version=screen_filter.version or None,
            target=screen_filter.target or None,
        )
        try:
            reply = await self.console.source.request(body, ExplainReply)
        except PiwheelsError as error:
            self._error = str(error)
        else:
            self._answers, self._error = reply.answers, ""
        self.refresh_all()

    def refresh_content(self) -> None:
        """Show the answers."""
        self.query_one("#answers", Static).update(self._content())

    def _content(self) -> Content:
        scope = self.screen_filter
        if not scope.project:
            return Content(self._EMPTY_TEXT)
        name = " ".join(filter(None, (scope.project, scope.version, scope.target)))
        parts = [Content.assemble((terminal_safe(name), "bold"), "\n")]
        if self._error:
            parts.append(Content.assemble("\n", (terminal_safe(self._error), "$text-warning")))
        for answer in self._answers:
            where = " ".join(filter(None, (answer.version, answer.target))) or answer.project
            build = f"  (build {answer.build})" if answer.build is not None else ""
            parts.append(
                Content.assemble(
                    "\n",
                    (terminal_safe(where), "bold $text-accent"),
                    f": {terminal_safe(answer.state)}",
                    (build, "$text-muted"),
                    "\n",
                    terminal_safe(answer.text),
                    "\n",
                )
            )
        return Content("").join(parts)

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
