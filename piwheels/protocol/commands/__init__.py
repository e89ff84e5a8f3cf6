"""Every operator command that changes something, each defined once.

The message, the role that it needs, the command line, the console's action, the confirmation and
the audit log's text all come from a definition; a handler in `piwheels.control` executes it.
A new command is a definition in a file of this package and its handler.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from piwheels.protocol.commands import (
    alerts,
    builders,
    failures,
    farm,
    joining,
    packages,
    projects,
    reproductions,
)
from piwheels.protocol.commands.definition import CommandDefinition, ConsoleAction
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import Message

_definitions: list[CommandDefinition[Any]] = [
    *farm.DEFINITIONS,
    *builders.DEFINITIONS,
    *joining.DEFINITIONS,
    *projects.DEFINITIONS,
    *failures.DEFINITIONS,
    *packages.DEFINITIONS,
    *reproductions.DEFINITIONS,
    *alerts.DEFINITIONS,
]


def definitions() -> tuple[CommandDefinition[Any], ...]:
    """All of them, in the order in which they are documented."""
    return tuple(_definitions)


def definition_of(body: Message) -> CommandDefinition[Any] | None:
    """The definition of a message; None for a query, which changes nothing."""
    for definition in _definitions:
        if type(body) is definition.message and definition.applies_to(body):
            return definition
    return None


def needed_role(body: Message) -> ControlRole:
    """What a caller needs in order to send a message."""
    definition = definition_of(body)
    return definition.role if definition else ControlRole.WATCH


def console_actions() -> Iterator[tuple[CommandDefinition[Any], ConsoleAction]]:
    """Every action of the console that changes something, with its command."""
    for definition in _definitions:
        for action in definition.console:
            yield definition, action


@contextmanager
def registered(definition: CommandDefinition[Any]) -> Iterator[None]:
    """Add a definition for a while: for tests."""
    _definitions.append(definition)
    try:
        yield
    finally:
        _definitions.remove(definition)
