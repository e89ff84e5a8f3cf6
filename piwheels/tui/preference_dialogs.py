"""An app whose user chooses theme and keys in dialogs; both apply at once and are kept."""

from collections.abc import Callable
from typing import Any

import msgspec
from textual import work

from piwheels.model import SeriesWindow
from piwheels.tui.message_app import MessageApp
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.actions import action_named, all_actions
from piwheels.tui.model.key_names import RESERVED_KEYS, conflicting_action
from piwheels.tui.screens.dialogs import ChoiceDialog, KeyDialog
from piwheels.tui.settings import Settings


class PreferencesApp(MessageApp):
    """Settings of the user, and the dialogs that change them."""

    def __init__(
        self, settings: Settings, save_settings: Callable[[Settings], str], **options: Any
    ) -> None:
        """save_settings: keeps settings for the next start; returns what went wrong, or ""."""
        super().__init__(**options)
        self.settings = settings
        self._save_settings = save_settings

    def choose_next_window(self) -> None:
        """Let graphs go back further, or after the longest window the shortest, and keep that."""
        windows = list(SeriesWindow)
        chosen = windows[(windows.index(self.settings.window) + 1) % len(windows)]
        self._change_settings(msgspec.structs.replace(self.settings, window=chosen))

    @work
    async def choose_theme(self) -> None:
        """Choose a theme, and keep it."""
        names = tuple(sorted(self.available_themes))
        chosen = await self.push_screen_wait(ChoiceDialog("Colors", names, self.theme))
        if chosen:
            self.theme = chosen
            self._change_settings(msgspec.structs.replace(self.settings, theme=chosen))

    @work
    async def change_key(self) -> None:
        """Give an action another key, and keep it."""
        names = tuple(action.name for action in all_actions())
        name = await self.push_screen_wait(ChoiceDialog("Change the key of which action?", names))
        if name is None:
            return
        action = action_named(name)
        key = await self.push_screen_wait(KeyDialog(action.label))
        if key is None:
            return
        if problem := self._key_problem(action, key):
            self.notify(f"{problem} Nothing was changed.", severity="warning", markup=False)
            return
        keys = {**self.settings.keys, name: key}
        self.set_keymap(keys)
        self._change_settings(msgspec.structs.replace(self.settings, keys=keys))
        self.refresh_bindings()

    def save_filter(self, name: str, text: str) -> None:
        """Keep a filter by its name; "" forgets it."""
        filters = {key: kept for key, kept in self.settings.filters.items() if key != name}
        if text:
            filters[name] = text
        self._change_settings(msgspec.structs.replace(self.settings, filters=filters))

    def _key_problem(self, action: Action, key: str) -> str:
        if key in RESERVED_KEYS:
            return "That key moves the cursor."
        other = conflicting_action(action, key, self.settings.keys)
        return f"That key is taken by {other.name}." if other else ""

    def _change_settings(self, settings: Settings) -> None:
        self.settings = settings
        if problem := self._save_settings(settings):
            self.notify(problem, severity="warning", markup=False)
