"""The reference of operator commands: a table in Markdown, made from the definitions."""

from typing import Any

from piwheels.protocol.commands import definitions
from piwheels.protocol.commands.definition import CommandDefinition, Inputs

_HEADER = (
    "| command | message | permission | console | what it does |",
    "|---|---|---|---|---|",
)
#: Every flag is set: so a command that discards work in some cases says so.
_WITH_FLAG = Inputs(builders=("pi1",), project="project", text="text", flag=True)


def command_table() -> str:
    """One row for each command that changes something."""
    return "\n".join((*_HEADER, *map(_row, definitions()))) + "\n"


def _row(definition: CommandDefinition[Any]) -> str:
    command = f"`piw {definition.name}`" if definition.name else "-"
    console = ", ".join(action.label for action in definition.console) or "-"
    cells = (
        command,
        definition.message.__name__,
        definition.permission,
        console,
        definition.summary + _confirmation(definition),
    )
    return f"| {' | '.join(cells)} |"


def _confirmation(definition: CommandDefinition[Any]) -> str:
    if definition.build is None or not definition.discards_work(definition.build(_WITH_FLAG)):
        return ""
    return f" Asks for confirmation. {definition.consequence}".rstrip()
