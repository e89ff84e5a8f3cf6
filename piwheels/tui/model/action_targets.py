"""Targets of actions from builders and builds, and the screen filters that lead to them."""

from piwheels.formatting import format_short_duration
from piwheels.model import Alert, BuildSummary, Outcome, RefusedKey
from piwheels.protocol.messages import BuilderState, BuilderView
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.terminal_text import terminal_safe

_KEY_DIGITS = 16


def log_filter(target: ActionTarget) -> ScreenFilter:
    """The log of a row's build, with the release for a build that the console does not know."""
    return ScreenFilter(
        build=target.build,
        project=target.project,
        version=target.version,
        target=target.target,
    )


def release_filter(target: ActionTarget) -> ScreenFilter:
    """The release of a row."""
    return ScreenFilter(project=target.project, version=target.version, target=target.target)


def page_filter_for(page: ScreenName, target: ActionTarget) -> ScreenFilter | None:
    """What a page shows for a row; None where the row has no such page."""
    match page:
        case ScreenName.BUILDER if target.builder:
            return ScreenFilter(builder=target.builder)
        case ScreenName.LOG | ScreenName.BUILD if target.build is not None:
            return log_filter(target)
        case ScreenName.EXPLAIN if target.project:
            return release_filter(target)
        case ScreenName.QUEUE if target.target:
            return ScreenFilter(target=target.target, title=terminal_safe(target.target))
    return None


def running_target(key: str, view: BuilderView) -> ActionTarget:
    """A builder with a running build."""
    release = terminal_safe(f"{view.project} {view.release_version}")
    return ActionTarget(
        key=key,
        name=terminal_safe(view.label),
        builder=view.label,
        build=view.build,
        is_building=True,
        project=view.project,
        version=view.release_version,
        target=view.target,
        details=(release, terminal_safe(view.phase or view.state)),
        running=format_short_duration(view.build_s),
        note=_silence(view),
    )


def builder_target(key: str, view: BuilderView) -> ActionTarget:
    """A builder, with its running build if there is one."""
    if view.build is not None:
        return running_target(key, view)
    name = terminal_safe(view.label)
    state = terminal_safe(view.state)
    return ActionTarget(
        key=key,
        name=name,
        builder=view.label,
        details=("", state),
        note=_silence(view),
        has_ended=view.state is BuilderState.ENDED,
    )


def _silence(view: BuilderView) -> str:
    if view.state is BuilderState.ENDED:
        return f"{terminal_safe(view.label)} has ended; start its process on its machine."
    if view.state not in {BuilderState.SILENT, BuilderState.LOST}:
        return ""
    return f"{terminal_safe(view.label)}: {view.state}, may not answer."


def waiting_target(key: str, waiting: RefusedKey) -> ActionTarget:
    """A builder that waits to be authorized."""
    digits, at = waiting.public[:_KEY_DIGITS], f"at {waiting.address}" if waiting.address else ""
    return ActionTarget(
        key=key,
        name=terminal_safe(waiting.name or digits),
        waiting=waiting.public,
        waiting_name=waiting.name,
        details=(f"key {digits}", terminal_safe(at)),
    )


def alert_target(alert: Alert) -> ActionTarget:
    """An alert, to be acknowledged or muted."""
    name = terminal_safe(f"{alert.subject} {alert.rule}")
    return ActionTarget(key=alert.alert_id, name=name, alert=alert.alert_id)


def queue_target(target: str) -> ActionTarget:
    """The queue of a target."""
    return ActionTarget(key=target, name=terminal_safe(target), target=target)


def ended_target(key: str, build: BuildSummary) -> ActionTarget:
    """A build that has ended."""
    return ActionTarget(
        key=key,
        name=terminal_safe(f"{build.project} {build.version} for {build.target}"),
        build=build.build_id,
        has_failed=build.outcome not in {Outcome.BUILT, Outcome.CANCELED},
        project=build.project,
        version=build.version,
        target=build.target,
        packages=build.cause.packages if build.cause else (),
    )
