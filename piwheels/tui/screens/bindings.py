"""Textual's key bindings, made from the list of all actions."""

from textual.binding import Binding

from piwheels.tui.model.action_types import Action
from piwheels.tui.model.actions import all_actions
from piwheels.tui.model.navigation import ScreenName


def bindings_for(screen_name: ScreenName | None = None) -> list[Binding]:
    """The keys of a screen's own actions; without a screen, those of the global actions.

    The latter include keys that only other screens have, so that one pressed in vain is answered.
    """
    if screen_name is not None:
        return [_binding(action) for action in all_actions() if screen_name in action.screens]
    anywhere = sorted(all_actions(), key=lambda action: bool(action.screens))
    taken: set[str] = set()
    bindings = []
    for action in anywhere:
        if not taken & set(action.keys.split(",")):
            taken |= set(action.keys.split(",")) - {""}
            bindings.append(_binding(action))
    return bindings


def _binding(action: Action) -> Binding:
    return Binding(
        action.keys or f"no-key-{action.name}",  # settings replace the key of a binding
        f"app.perform('{action.name}')",
        action.label,
        id=action.name,
        priority=action.works_in_dialogs,
    )
