"""What an operator chooses, colours and keys: asked for in dialogs, used at once, and kept."""

from collections.abc import Callable
from typing import Any

import msgspec
from textual import work

from piwheels.tui.model.actions import ACTIONS, ACTIONS_BY_NAME, RESERVED_KEYS, conflicting_action
from piwheels.tui.settings import Settings
from piwheels.tui.terminal.diff_driver import DiffApp


class PreferencesMixin(DiffApp[None]):
    """An app with settings of its user."""

    def __init__(
        self, settings: Settings, save_settings: Callable[[Settings], str], **options: Any
    ) -> None:
        """keep: keeps settings for the next time, and says what went wrong, or ""."""
        super().__init__(**options)
        self.settings = settings
        self._save_settings = save_settings

    def schedule_refresh(self) -> None:
        """Show what has changed."""
        raise NotImplementedError

    @work
    async def do_theme(self) -> None:
        """Choose other colours, and keep them."""
        from piwheels.tui.screens.dialogs import ChoiceDialog  # noqa: PLC0415

        names = tuple(sorted(self.available_themes))
        chosen = await self.push_screen_wait(ChoiceDialog("Colours", names, self.theme))
        if chosen:
            self.theme = chosen
            self._change_settings(msgspec.structs.replace(self.settings, theme=chosen))

    @work
    async def do_rekey(self) -> None:
        """Give an action another key, and keep it."""
        from piwheels.tui.screens.dialogs import ChoiceDialog, KeyDialog  # noqa: PLC0415

        names = tuple(action.name for action in ACTIONS)
        name = await self.push_screen_wait(ChoiceDialog("The key of which action?", names, ""))
        if name is None:
            return
        action = ACTIONS_BY_NAME[name]
        key = await self.push_screen_wait(KeyDialog(action.label))
        if key is None:
            return
        if key in RESERVED_KEYS:
            self.notify("That key moves about; nothing is changed.", severity="warning")
            return
        other = conflicting_action(name, key, self.settings.keys)
        if other is not None:
            self.notify(f"That is the key of {other.name}; nothing is changed.", severity="warning")
            return
        keys = {**self.settings.keys, name: key}
        self.set_keymap(keys)
        self._change_settings(msgspec.structs.replace(self.settings, keys=keys))
        self.schedule_refresh()

    def _change_settings(self, settings: Settings) -> None:
        self.settings = settings
        if problem := self._save_settings(settings):
            self.notify(problem, severity="warning", markup=False)
