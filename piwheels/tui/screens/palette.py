"""The command palette: every action by name."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from piwheels.tui.model.action_types import Action
from piwheels.tui.model.actions import PALETTE, all_actions
from piwheels.tui.model.key_names import key_labels
from piwheels.tui.screens.context import ConsoleContext

_HELP_MATCH_SCORE = 0.01


class ActionProvider(Provider):
    """Offers the actions of the screen below the palette."""

    console: ConsoleContext

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for action in self._available_actions():
            yield DiscoveryHit(action.label, self._callback(action), help=self._help(action))

    async def search(self, query: str) -> Hits:
        """Those whose name or help matches."""
        matcher = self.matcher(query)
        for action in self._available_actions():
            score = matcher.match(action.label)
            if not score and query.casefold() in action.help.casefold():
                score = _HELP_MATCH_SCORE
            if score > 0:
                title = matcher.highlight(action.label)
                yield Hit(score, title, self._callback(action), help=self._help(action))

    def _available_actions(self) -> list[Action]:
        available = [
            action
            for action in all_actions()
            if action is not PALETTE and self.console.is_available(action) is not False
        ]
        # Enter before anything was typed takes the first one: it must not change the farm.
        return sorted(available, key=lambda action: action.changes_farm)

    def _help(self, action: Action) -> str:
        keys = " or ".join(key_labels(self.console.keys_for(action)))
        if self.console.is_available(action) is None:
            return f"{keys}: not now. {self.console.unavailable_reason(action)}"
        return f"{keys}: {self.console.help_for(action)}"

    def _callback(self, action: Action) -> Callable[[], None]:
        return partial(self.console.perform, action)


class _Palette(CommandPalette):
    def _action_command_list(self, action: str) -> None:
        # A list that is not laid out yet, as before its first entries, fails at its pages.
        with suppress(KeyError):
            super()._action_command_list(action)


def make_palette(console: ConsoleContext) -> CommandPalette:
    """The palette of the current screen's actions."""

    class ConsoleActions(ActionProvider):
        pass

    ConsoleActions.console = console
    return _Palette(providers=[ConsoleActions], placeholder="Search commands")
