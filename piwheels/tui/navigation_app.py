"""An app that goes from screen to screen, and back."""

from textual.widgets import Input

from piwheels.tui.farm_app import FarmApp, tab_named
from piwheels.tui.model.action_targets import log_filter, release_filter
from piwheels.tui.model.navigation import NO_FILTER, HistoryEntry, ScreenFilter, ScreenName
from piwheels.tui.screens.base import FarmScreen


class NavigationApp(FarmApp):
    """The screens of a farm, and the way through them."""

    @property
    def current_screen(self) -> FarmScreen:
        """The farm screen on top, below any dialog."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, FarmScreen):
                return screen
        raise RuntimeError("the console has no screen yet")

    def get_or_create_screen(self, screen_name: ScreenName) -> FarmScreen:
        """The screen of this name, made when it is first shown."""
        if not self.is_screen_installed(screen_name):
            self.install_screen(self.make_farm_screen(screen_name), screen_name)
        screen = self.get_screen(screen_name)
        if not isinstance(screen, FarmScreen):
            raise TypeError(f"{screen_name} is not a farm screen")
        return screen

    def navigate(
        self,
        screen_name: ScreenName,
        screen_filter: ScreenFilter = NO_FILTER,
        *,
        cursor: str = "",
    ) -> None:
        """Show a screen, filtered or as it was left, with the cursor on a row."""
        here = self.current_screen
        changes_filter = screen_filter and screen_filter != here.screen_filter
        if screen_name != here.screen_name or changes_filter:
            self.session.leave(HistoryEntry(here.screen_name, here.screen_filter))
        self._show_entry(HistoryEntry(screen_name, screen_filter), cursor)

    def _show_entry(self, entry: HistoryEntry, cursor: str = "") -> None:
        screen = self.get_or_create_screen(entry.screen_name)
        screen.set_filter(entry.screen_filter)
        screen.pending_cursor = cursor
        if tab_named(entry.screen_name) is entry.screen_name:
            self.last_screen = entry.screen_name
        if screen is self.current_screen:
            screen.on_shown()
        else:
            self.switch_screen(screen)

    def go_back(self) -> None:
        """Dismiss a warning, return to now, clear a filter, or go to the screen before."""
        if not isinstance(self.focused, Input) and self.dismiss_warning():
            return
        if self.recorded_at is not None and not isinstance(self.focused, Input):
            self.show_live()
            return
        if self.current_screen.clear_last_filter():
            return
        if (entry := self.session.go_back()) is not None:
            self._show_entry(entry)

    def open_screen(self, screen_name: ScreenName) -> None:
        """Show a screen; a log and a project of what is under the cursor."""
        target = next(iter(self.current_screen.action_targets()), None)
        screen_filter = NO_FILTER
        if screen_name is ScreenName.LOG and target:
            if target.build is None:
                self.notify(f"{target.name} has no build whose log could be shown.")
                return
            screen_filter = log_filter(target)
        if screen_name is ScreenName.EXPLAIN and target and target.project:
            screen_filter = release_filter(target)
        self.navigate(screen_name, screen_filter)

    def turn_page(self, by: int) -> None:
        """Show the page of the row before (-1) or after (1), in the table it was opened from."""
        here = self.current_screen
        origin = self.session.came_from
        screen = self.get_or_create_screen(origin.screen_name) if origin else here
        page_filter = screen.step_to_page(by, here.screen_name)
        if page_filter is None:
            self.notify(f"There is no row {'before' if by < 0 else 'after'} this one.")
        else:
            self._show_entry(HistoryEntry(here.screen_name, page_filter))
