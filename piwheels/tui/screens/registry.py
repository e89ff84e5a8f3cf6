"""The classes of all screens."""

from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.alerts import AlertsScreen
from piwheels.tui.screens.base import FarmScreen
from piwheels.tui.screens.build import BuildScreen
from piwheels.tui.screens.builder import BuilderScreen
from piwheels.tui.screens.builders import BuildersScreen
from piwheels.tui.screens.builds import BuildsScreen
from piwheels.tui.screens.commands import CommandsScreen
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.downloads import DownloadsScreen
from piwheels.tui.screens.events import EventsScreen
from piwheels.tui.screens.explain import ExplainScreen
from piwheels.tui.screens.failures import FailuresScreen
from piwheels.tui.screens.host import HostScreen
from piwheels.tui.screens.log import LogScreen
from piwheels.tui.screens.operators import OperatorsScreen
from piwheels.tui.screens.overview import OverviewScreen
from piwheels.tui.screens.queue import QueueScreen
from piwheels.tui.screens.queues import QueuesScreen

_SCREENS: tuple[type[FarmScreen], ...] = (
    OverviewScreen,
    BuildersScreen,
    BuilderScreen,
    BuildsScreen,
    QueuesScreen,
    QueueScreen,
    FailuresScreen,
    HostScreen,
    AlertsScreen,
    DownloadsScreen,
    BuildScreen,
    LogScreen,
    EventsScreen,
    ExplainScreen,
    CommandsScreen,
    OperatorsScreen,
)
_SCREENS_BY_NAME = {screen.screen_name: screen for screen in _SCREENS}


def make_screen(screen_name: ScreenName, console: ConsoleContext) -> FarmScreen:
    """A new screen of this name."""
    return _SCREENS_BY_NAME[screen_name](console)
