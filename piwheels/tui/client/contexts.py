"""The farms that a console can show, one at a time: by name, from console.toml."""

from collections.abc import Callable
from typing import NamedTuple

from piwheels.tui.client.source import EventSource


class Context(NamedTuple):
    """A farm, and how to connect to it.

    Attributes:
        name: As in console.toml; the address of a farm that is not in it.
        color: Of its name in the header, "" for a farm that is not in console.toml.
        address: Of its master.
        open: Makes the source; raises PiwheelsError where waiting would not help.
    """

    name: str
    color: str
    address: str
    open: Callable[[], EventSource]


def context_of(source: EventSource) -> Context:
    """The context of a source that is open already, and not in console.toml."""
    return Context(source.address, "", source.address, lambda: source)
