"""Why the wheel of a row is there or not, and what happens next: the master's own words."""

from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import Explain, ExplainReply, Explanation
from piwheels.tui.actions import Subject
from piwheels.tui.screens.base import FarmScreen, Scope
from piwheels.tui.text import harmless


class ExplainScreen(FarmScreen):
    """The answers about one project, release or target of it."""

    place = "explain"
    AUTO_FOCUS = "VerticalScroll"
    _NOTHING: ClassVar[str] = (
        "No release is chosen. On Builders (1) or Builds (3), e explains the release of a row."
    )

    def __init__(self) -> None:
        super().__init__()
        self._answers: tuple[Explanation, ...] = ()
        self._trouble = ""

    def body(self) -> Sequence[Widget]:
        """A page of text."""
        return (VerticalScroll(Static("", id="answers", markup=False)),)

    def show_scope(self, scope: Scope) -> None:
        """Ask about another release; without one, the last that was asked about."""
        if scope.project and scope != self.scope:
            self.scope, self._answers, self._trouble = scope, (), ""

    def arrive(self) -> None:
        """The answer of a moment ago may be wrong by now."""
        self.refresh_all()
        if self.scope.project:
            self._ask(self.scope)

    @work(exclusive=True)
    async def _ask(self, scope: Scope) -> None:
        body = Explain(
            project=scope.project, version=scope.version or None, target=scope.target or None
        )
        try:
            reply = await self.console.source.ask(body, ExplainReply)
        except PiwheelsError as error:
            self._trouble = str(error)
        else:
            self._answers, self._trouble = reply.answers, ""
        self.refresh_all()

    def paint(self) -> None:
        """Show what is known."""
        self.query_one("#answers", Static).update(self._content())

    def _content(self) -> Content:
        scope = self.scope
        if not scope.project:
            return Content(self._NOTHING)
        asked = " ".join(filter(None, (scope.project, scope.version, scope.target)))
        parts = [Content.assemble((harmless(asked), "bold"), "\n")]
        if self._trouble:
            parts.append(Content.assemble("\n", (harmless(self._trouble), "$text-warning")))
        for answer in self._answers:
            where = " ".join(filter(None, (answer.version, answer.target))) or answer.project
            build = f"  (build {answer.build})" if answer.build is not None else ""
            parts.append(
                Content.assemble(
                    "\n",
                    (harmless(where), "bold $text-accent"),
                    f": {harmless(answer.state)}",
                    (build, "$text-muted"),
                    "\n",
                    harmless(answer.text),
                    "\n",
                )
            )
        return Content("").join(parts)

    def subjects(self) -> tuple[Subject, ...]:
        """The release that was asked about, and its last build."""
        scope = self.scope
        if not scope.project:
            return ()
        name = " ".join(filter(None, (scope.project, scope.version)))
        builds = [answer.build for answer in self._answers if answer.build is not None]
        return (
            Subject(
                key=name,
                name=harmless(name),
                build=max(builds, default=None),
                project=scope.project,
                version=scope.version,
                target=scope.target,
            ),
        )
