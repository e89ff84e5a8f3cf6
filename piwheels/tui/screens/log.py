"""The log of a build: live while it runs, whole when it has ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.widget import Widget
from textual.widgets import Input, Static

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import BuilderView, JobEnded
from piwheels.tui import bars, glyphs
from piwheels.tui.actions import Subject
from piwheels.tui.dialogs import LineDialog
from piwheels.tui.farmrows import outcome_look
from piwheels.tui.screens.base import FarmScreen, Scope
from piwheels.tui.text import duration, harmless
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.logview import LogView


class LogScreen(FarmScreen):
    """One build's log under a line that says whose it is."""

    place = "log"
    AUTO_FOCUS = "LogView"
    _NOTHING: ClassVar[str] = (
        "No build is chosen. On Builders (1) or Builds (3), Enter shows the log of a row's build."
    )

    def __init__(self) -> None:
        super().__init__()
        self._shown: int | None = None  # whose log is in the view
        self._offset = 0  # so many bytes of it
        self._whole = False
        self._trouble = ""

    def body(self) -> Sequence[Widget]:
        """Whose log, the log, and a line to search with."""
        console = self.console
        return (
            Bar(id="about", ascii_only=console.ascii_only),
            LogView(ascii_only=console.ascii_only, wrap=self.size.width < 60),
            Static("", id="empty", markup=False),
            Input(placeholder="words to find in the log", compact=True),
        )

    @property
    def view(self) -> LogView:
        """The lines."""
        return self.query_one(LogView)

    def paint(self) -> None:
        """Say whose log it is, and how that build stands."""
        build = self.scope.build
        empty = self.query_one("#empty", Static)
        # Lines that were read stay, whatever becomes of the rest.
        empty.display = build is None or bool(self._trouble and not self._offset)
        self.view.display = not empty.display
        if empty.display:
            empty.update(self._trouble or self._NOTHING)
        about = self.query_one("#about", Bar)
        about.display = build is not None
        about.show(self._about())

    def _about(self) -> list[Word]:
        build = self.scope.build
        words = [Word(f"build {build}", "strong", rank=2)]
        scope, view, ended = self.scope, self._builder(), self._end()
        if view is not None:
            words.append(Word(harmless(f"{view.project} {view.version_built}"), "strong"))
            words.append(Word(harmless(f"for {view.target}"), rank=4))
            words.append(Word(harmless(f"on {view.label}"), rank=3))
            sign = self.console.glyph(view.state)
            style = glyphs.STATE_STYLE.get(view.state, "")
            said = f"{sign} {view.state}: {view.phase}" if view.phase else f"{sign} {view.state}"
            words.append(Word(harmless(said), bars.STYLES.get(style, style), rank=1, gap=2))
        elif ended is not None:
            words.append(Word(harmless(f"{ended.project} {ended.version}"), "strong"))
            words.append(Word(harmless(f"for {ended.target}"), rank=4))
            words.append(Word(harmless(f"on {ended.builder}"), rank=3))
            sign, style = outcome_look(ended.outcome)
            said = f"{self.console.glyph(sign)} {ended.outcome} in {duration(ended.duration_s)}"
            words.append(Word(harmless(said), bars.STYLES.get(style, style), rank=1, gap=2))
        elif scope.project:
            words.append(Word(harmless(f"{scope.project} {scope.version}"), "strong"))
            words.append(Word(harmless(f"for {scope.target}"), rank=4))
        if self._trouble:
            said = f"{self.console.glyph('warning')} {harmless(self._trouble)}"
            words.append(Word(said, "warn", gap=2))
        return words

    def _builder(self) -> BuilderView | None:
        builder = self.console.farm.builder_of(self.scope.build)
        return builder.view_at(self.console.now) if builder is not None else None

    def _end(self) -> JobEnded | None:
        return self.console.farm.builds.get(self.scope.build or 0)

    def subjects(self) -> tuple[Subject, ...]:
        """The build whose log it is."""
        build, view, ended = self.scope.build, self._builder(), self._end()
        if build is None:
            return ()
        if view is not None:
            release = harmless(f"{view.project} {view.version_built}")
            name = harmless(view.label)
            stake = f"{duration(view.build_s)} of {release} for {harmless(view.target)}"
            return (
                Subject(
                    key=str(build),
                    name=name,
                    builder=view.label,
                    build=build,
                    in_hand=True,
                    project=view.project,
                    version=view.version_built,
                    target=view.target,
                    stake=stake,
                ),
            )
        scope = self.scope
        if ended is not None:
            project, version, target = ended.project, ended.version, ended.target
        else:
            project, version, target = scope.project, scope.version, scope.target
        name = harmless(f"{project} {version} for {target}") if project else f"build {build}"
        return (
            Subject(
                key=str(build),
                name=name,
                build=build,
                project=project,
                version=version,
                target=target,
            ),
        )

    # --- the log itself ---

    def show_scope(self, scope: Scope) -> None:
        """Show the log of a build; without one, the last that was shown."""
        if scope.build is not None:
            super().show_scope(scope)

    def arrive(self) -> None:
        """Go on reading where it was left, or begin with another build."""
        if self.scope.build != self._shown:
            self.view.clear()
            self._shown, self._offset, self._whole = self.scope.build, 0, False
        self._trouble = ""
        self.refresh_all()
        if self._shown is not None and not self._whole:
            self._follow(self._shown)

    def on_screen_suspend(self) -> None:
        """What nobody sees is not fetched."""
        self.workers.cancel_group(self, "log")

    @work(exclusive=True, group="log")
    async def _follow(self, build: int) -> None:
        try:
            async for piece in self.console.source.follow_log(build, offset=self._offset):
                self.view.append(piece.data[max(0, self._offset - piece.offset) :])
                self._offset = max(self._offset, piece.offset + len(piece.data))
            self._whole = True
            self.view.end()
        except PiwheelsError as error:
            self._trouble = str(error)
            self.refresh_all()

    # --- actions ---

    def do_search(self) -> None:
        """Type what to look for."""
        line = self.query_one(Input)
        line.display = True
        line.focus()

    @on(Input.Submitted)
    def _search(self, event: Input.Submitted) -> None:
        self.leave_search()
        if event.value and not self.view.search(event.value):
            self.notify(f"{event.value!r} is not in this log.", markup=False)

    def leave_search(self) -> None:
        """Back to the log."""
        self.query_one(Input).display = False
        self.view.focus()

    def retreat(self) -> bool:
        """Take the search off."""
        if not self.view.matches:
            return False
        self.view.search("")
        return True

    def do_next(self) -> None:
        """To the next match."""
        if not self.view.search_next():
            self.notify("Nothing is searched for, or it is not there: / searches.")

    def do_previous(self) -> None:
        """To the match before."""
        if not self.view.search_previous():
            self.notify("Nothing is searched for, or it is not there: / searches.")

    def do_first_error(self) -> None:
        """To the first line that tells an error; n goes on to the others."""
        if not self.view.first_error():
            self.notify("No line of this log tells an error.")

    def do_follow(self) -> None:
        """To the end, and stay there."""
        self.view.set_following(True)

    def do_wrap(self) -> None:
        """Break long lines, or cut them off."""
        self.view.set_wrap(not self.view.wrap)

    @work
    async def do_save(self) -> None:
        """Write the log into a file of this machine."""
        if self._shown is None:
            return
        label = "Save the log on this machine, as"
        name = await self.app.push_screen_wait(LineDialog(label, self._file_name()))
        if not name:
            return
        try:
            path = Path(name.strip()).expanduser()
            self.view.save(path)
        except (PiwheelsError, RuntimeError) as error:  # the latter: whose home that would be
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"Saved as {path.absolute()}.", markup=False)

    def _file_name(self) -> str:
        subject = self.subjects()[0]
        parts = (subject.project, subject.version, subject.target, f"build{self._shown}")
        return "-".join(filter(None, parts)).replace("/", "_") + ".log"
