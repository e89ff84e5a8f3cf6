"""The screens of the console, a file each; `make` gives one by its name and imports it then."""

from importlib import import_module
from typing import cast

from piwheels.tui.screens.base import FarmScreen

#: Where each screen is: module, class. Imported when it is first shown.
_SCREENS = {
    "builders": "BuildersScreen",
    "queues": "QueuesScreen",
    "builds": "BuildsScreen",
    "downloads": "DownloadsScreen",
    "host": "HostScreen",
    "log": "LogScreen",
    "events": "EventsScreen",
    "explain": "ExplainScreen",
    "commands": "CommandsScreen",
}


def make_screen(screen_name: str) -> FarmScreen:
    """A new screen of this name.

    Raises:
        KeyError: there is none.
    """
    module = import_module(f"piwheels.tui.screens.{screen_name}")
    return cast("FarmScreen", getattr(module, _SCREENS[screen_name])())
