"""Textual's key bindings, made from the list of all actions."""

from textual.binding import Binding

from piwheels.tui.model.actions import all_actions
from piwheels.tui.model.navigation import ScreenName


def bindings_for(screen_name: ScreenName | None = None) -> list[Binding]:
    """The keys of a screen's own actions; without a screen, those of the global actions."""
    return [
        Binding(
            action.keys,
            f"app.perform('{action.name}')",
            action.label,
            id=action.name,
            priority=action.works_in_dialogs,
        )
        for action in all_actions()
        if (screen_name in action.screens if screen_name else not action.screens)
    ]
