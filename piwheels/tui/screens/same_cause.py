"""From a failed build to the builds that fail for the same cause."""

from piwheels.model import BuildDetails
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.context import ConsoleContext


def show_same_cause(console: ConsoleContext, details: BuildDetails | None) -> None:
    """List the builds of the group of failures that a build belongs to, if it does."""
    if details is None or not details.group_releases:
        return
    group_class, cause = details.group_class, details.group_cause
    scope = ScreenFilter(
        failure_class=group_class, cause=cause, title=terminal_safe(f"{group_class}: {cause}")
    )
    console.navigate(ScreenName.BUILDS, scope)
