"""The command palette: every action by its name."""

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from piwheels.tui.model.actions import ACTIONS, Action, key_labels

if TYPE_CHECKING:
    from piwheels.tui.app import Console


_HELP_MATCH_SCORE = 0.01


class ActionProvider(Provider):
    """Offers the actions of the screen below the palette."""

    @property
    def _console(self) -> "Console":
        return cast("Console", self.app)

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for action in self._available_actions():
            yield DiscoveryHit(_title(action), self._callback(action), help=self._help(action))

    async def search(self, query: str) -> Hits:
        """Those whose name or help matches."""
        matcher = self.matcher(query)
        for action in self._available_actions():
            score = matcher.match(action.label)
            if not score and query.casefold() in action.help.casefold():
                score = _HELP_MATCH_SCORE
            if score > 0:
                title = matcher.highlight(_title(action))
                yield Hit(score, title, self._callback(action), help=self._help(action))

    def _available_actions(self) -> list[Action]:
        able = self._console.is_available
        here = [action for action in ACTIONS if able(action) is not False]
        # Enter before anything was typed takes the first one: it must not change the farm.
        here.sort(key=lambda action: action.changes_farm)
        return [action for action in here if action.name != "palette"]

    def _help(self, action: Action) -> str:
        keys = " or ".join(key_labels(self._console.keys_for(action)))
        if self._console.is_available(action) is None:
            return f"{keys}: not now. {self._console.unavailable_reason(action)}"
        return f"{keys}: {self._console.help_for(action)}"

    def _callback(self, action: Action):  # type: ignore[no-untyped-def]  # noqa: ANN202
        async def perform() -> None:
            await self._console.action_perform(action.name)

        return perform


def _title(action: Action) -> str:
    return action.label


class _Palette(CommandPalette):
    def _action_command_list(self, action: str) -> None:
        # A list that is not laid out yet, as before its first words, fails at its pages.
        with suppress(KeyError):
            super()._action_command_list(action)


def make_palette() -> CommandPalette:
    """The palette, over the screen at hand."""
    return _Palette(providers=[ActionProvider], placeholder="What is to be done?")
