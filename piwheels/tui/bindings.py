"""Textual's key bindings, made from the list of all actions."""

from textual.binding import Binding

from piwheels.tui.actions import ACTIONS


def bindings_of(place: str = "") -> list[Binding]:
    """The keys of a screen's own actions; without a place, those of actions that are everywhere."""
    return [
        Binding(
            action.keys,
            f"app.perform('{action.name}')",
            action.label,
            id=action.name,
            priority=action.over_dialogs,
        )
        for action in ACTIONS
        if (place in action.screens if place else not action.screens)
    ]
