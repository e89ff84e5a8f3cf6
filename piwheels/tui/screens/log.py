"""The log of a build: live while it runs, whole when it has ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.widget import Widget
from textual.widgets import Input, Static

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import BuilderView, BuildRecorded
from piwheels.tui.model import glyphs
from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.model.farm_tables import outcome_style
from piwheels.tui.model.formatting import format_duration, terminal_safe
from piwheels.tui.screens import status_bars
from piwheels.tui.screens.base import FarmScreen, ScreenFilter
from piwheels.tui.screens.dialogs import TextInputDialog
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.log_view import LogView


class LogScreen(FarmScreen):
    """One build's log under a line that says whose it is."""

    screen_name = "log"
    AUTO_FOCUS = "LogView"
    _EMPTY_TEXT: ClassVar[str] = (
        "No build is chosen. On Builders (1) or Builds (3), Enter shows the log of a row's build."
    )

    def __init__(self) -> None:
        super().__init__()
        self._shown_build: int | None = None  # whose log is in the view
        self._offset = 0  # so many bytes of it
        self._is_complete = False
        self._error = ""

    def compose_body(self) -> Sequence[Widget]:
        """Whose log, the log, and a line to search with."""
        console = self.console
        return (
            Bar(id="about", ascii_only=console.ascii_only),
            LogView(ascii_only=console.ascii_only, wrap=self.size.width < 60),
            Static("", id="empty", markup=False),
            Input(placeholder="words to find in the log", compact=True),
        )

    @property
    def log_view(self) -> LogView:
        """The lines."""
        return self.query_one(LogView)

    def refresh_content(self) -> None:
        """Say whose log it is, and how that build stands."""
        build = self.screen_filter.build
        empty = self.query_one("#empty", Static)
        # Lines that were read stay, whatever becomes of the rest.
        empty.display = build is None or bool(self._error and not self._offset)
        self.log_view.display = not empty.display
        if empty.display:
            empty.update(self._error or self._EMPTY_TEXT)
        about = self.query_one("#about", Bar)
        about.display = build is not None
        about.show(self._title_words())

    def _title_words(self) -> list[Word]:
        build = self.screen_filter.build
        words = [Word(f"build {build}", "strong", drop_order=2)]
        scope, view, ended = self.screen_filter, self._running_view(), self._ended_build()
        if view is not None:
            words.append(Word(terminal_safe(f"{view.project} {view.release_version}"), "strong"))
            words.append(Word(terminal_safe(f"for {view.target}"), drop_order=4))
            words.append(Word(terminal_safe(f"on {view.label}"), drop_order=3))
            sign = self.console.glyph(view.state)
            style = glyphs.STATE_STYLE.get(view.state, "")
            said = f"{sign} {view.state}: {view.phase}" if view.phase else f"{sign} {view.state}"
            words.append(
                Word(
                    terminal_safe(said),
                    status_bars.STYLES.get(style, style),
                    drop_order=1,
                    gap_before=2,
                )
            )
        elif ended is not None:
            words.append(Word(terminal_safe(f"{ended.project} {ended.version}"), "strong"))
            words.append(Word(terminal_safe(f"for {ended.target}"), drop_order=4))
            words.append(Word(terminal_safe(f"on {ended.builder}"), drop_order=3))
            sign, style = outcome_style(ended.outcome)
            said = (
                f"{self.console.glyph(sign)} {ended.outcome} in {format_duration(ended.duration_s)}"
            )
            words.append(
                Word(
                    terminal_safe(said),
                    status_bars.STYLES.get(style, style),
                    drop_order=1,
                    gap_before=2,
                )
            )
        elif scope.project:
            words.append(Word(terminal_safe(f"{scope.project} {scope.version}"), "strong"))
            words.append(Word(terminal_safe(f"for {scope.target}"), drop_order=4))
        if self._error:
            said = f"{self.console.glyph('warning')} {terminal_safe(self._error)}"
            words.append(Word(said, "warn", gap_before=2))
        return words

    def _running_view(self) -> BuilderView | None:
        builder = self.console.farm.builder_of_build(self.screen_filter.build)
        return builder.view_at(self.console.now) if builder is not None else None

    def _ended_build(self) -> BuildRecorded | None:
        return self.console.farm.builds.get(self.screen_filter.build or 0)

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The build whose log it is."""
        build, view, ended = self.screen_filter.build, self._running_view(), self._ended_build()
        if build is None:
            return ()
        if view is not None:
            release = terminal_safe(f"{view.project} {view.release_version}")
            name = terminal_safe(view.label)
            stake = f"{format_duration(view.build_s)} of {release} for {terminal_safe(view.target)}"
            return (
                ActionTarget(
                    key=str(build),
                    name=name,
                    builder=view.label,
                    build=build,
                    is_building=True,
                    project=view.project,
                    version=view.release_version,
                    target=view.target,
                    work_at_risk=stake,
                ),
            )
        scope = self.screen_filter
        if ended is not None:
            project, version, target = ended.project, ended.version, ended.target
        else:
            project, version, target = scope.project, scope.version, scope.target
        name = terminal_safe(f"{project} {version} for {target}") if project else f"build {build}"
        return (
            ActionTarget(
                key=str(build),
                name=name,
                build=build,
                project=project,
                version=version,
                target=target,
            ),
        )

    # --- the log itself ---

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show the log of a build; without one, the last that was shown."""
        if screen_filter.build is not None:
            super().set_filter(screen_filter)

    def on_shown(self) -> None:
        """Go on reading where it was left, or begin with another build."""
        if self.screen_filter.build != self._shown_build:
            self.log_view.clear()
            self._shown_build, self._offset, self._is_complete = self.screen_filter.build, 0, False
        self._error = ""
        self.refresh_all()
        if self._shown_build is not None and not self._is_complete:
            self._follow(self._shown_build)

    def on_screen_suspend(self) -> None:
        """What nobody sees is not fetched."""
        self.workers.cancel_group(self, "log")

    @work(exclusive=True, group="log")
    async def _follow(self, build: int) -> None:
        try:
            async for piece in self.console.source.follow_log(build, offset=self._offset):
                self.log_view.append(piece.data[max(0, self._offset - piece.offset) :])
                self._offset = max(self._offset, piece.offset + len(piece.data))
            self._is_complete = True
            self.log_view.end()
        except PiwheelsError as error:
            self._error = str(error)
            self.refresh_all()

    # --- actions ---

    def do_search(self) -> None:
        """Type what to look for."""
        line = self.query_one(Input)
        line.display = True
        line.focus()

    @on(Input.Submitted)
    def _search(self, event: Input.Submitted) -> None:
        self.close_search()
        if event.value and not self.log_view.search(event.value):
            self.notify(f"{event.value!r} is not in this log.", markup=False)

    def close_search(self) -> None:
        """Back to the log."""
        self.query_one(Input).display = False
        self.log_view.focus()

    def clear_last_filter(self) -> bool:
        """Take the search off."""
        if not self.log_view.match_count:
            return False
        self.log_view.search("")
        return True

    def do_next(self) -> None:
        """To the next match."""
        if not self.log_view.search_next():
            self.notify("Nothing is searched for, or it is not there: / searches.")

    def do_previous(self) -> None:
        """To the match before."""
        if not self.log_view.search_previous():
            self.notify("Nothing is searched for, or it is not there: / searches.")

    def do_first_error(self) -> None:
        """To the first line that tells an error; n goes on to the others."""
        if not self.log_view.first_error():
            self.notify("No line of this log tells an error.")

    def do_follow(self) -> None:
        """To the end, and stay there."""
        self.log_view.set_following(True)

    def do_wrap(self) -> None:
        """Break long lines, or cut them off."""
        self.log_view.set_wrap(not self.log_view.wrap)

    @work
    async def do_save(self) -> None:
        """Write the log into a file of this machine."""
        if self._shown_build is None:
            return
        label = "Save the log on this machine, as"
        name = await self.app.push_screen_wait(TextInputDialog(label, self._default_file_name()))
        if not name:
            return
        try:
            path = Path(name.strip()).expanduser()
            self.log_view.save(path)
        except (PiwheelsError, RuntimeError) as error:  # the latter: whose home that would be
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"Saved as {path.absolute()}.", markup=False)

    def _default_file_name(self) -> str:
        subject = self.action_targets()[0]
        parts = (subject.project, subject.version, subject.target, f"build{self._shown_build}")
        return "-".join(filter(None, parts)).replace("/", "_") + ".log"
