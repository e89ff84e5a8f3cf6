"""The actions that change the farm, made from the definitions of operator commands."""

from typing import Any

from piwheels.protocol.commands import console_actions
from piwheels.protocol.commands.definition import CommandDefinition, ConsoleAction, Requirement
from piwheels.tui.model.action_types import Action, Group
from piwheels.tui.model.navigation import ScreenName

_GROUPS = {
    Requirement.BUILDER: Group.BUILDERS,
    Requirement.RUNNING_BUILD: Group.BUILDERS,
    Requirement.WAITING: Group.BUILDERS,
    Requirement.PROJECT: Group.PROJECTS,
    Requirement.FAILURES: Group.PROJECTS,
    Requirement.ALERT: Group.ALERTS,
}
#: Actions of a screen of their own: there they hide others with the same key.
_SCREENS = {Requirement.FAILURES: (ScreenName.FAILURES,)}
_cache: dict[ConsoleAction, Action] = {}


def farm_actions(group: Group) -> tuple[Action, ...]:
    """The actions of a group, one for each console action of a command."""
    found = (_action(definition, console) for definition, console in console_actions())
    return tuple(action for action in found if action.group is group)


def _action(definition: CommandDefinition[Any], console: ConsoleAction) -> Action:
    if console not in _cache:
        _cache[console] = Action(
            name=console.name,
            keys=console.key,
            label=console.label,
            help=console.help,
            group=_GROUPS.get(console.requires, Group.FARM),
            requires=console.requires,
            screens=_SCREENS.get(console.requires, ()),
            command=definition,
            console=console,
        )
    return _cache[console]
