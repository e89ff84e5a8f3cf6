"""The console's actions on a recording that it plays."""

from collections.abc import Callable, Mapping

from piwheels.tui.client.replay import Replay
from piwheels.tui.model import actions
from piwheels.tui.model.action_types import Action

#: How far one key seeks.
SEEK_S = 60.0


def replay_handlers(
    replay: Replay, refresh: Callable[[], None]
) -> Mapping[Action, Callable[[], None]]:
    """What each action on a recording does; `refresh` shows it."""

    def then_refresh(control: Callable[[], None]) -> Callable[[], None]:
        def handler() -> None:
            control()
            refresh()

        return handler

    controls: dict[Action, Callable[[], None]] = {
        actions.TOGGLE_PLAYBACK: replay.toggle,
        actions.STEP: replay.step,
        actions.SEEK_BACK: lambda: replay.seek_by(-SEEK_S),
        actions.SEEK_FORWARD: lambda: replay.seek_by(SEEK_S),
        actions.SLOWER: lambda: replay.set_speed(replay.speed / 2),
        actions.FASTER: lambda: replay.set_speed(replay.speed * 2),
    }
    return {action: then_refresh(control) for action, control in controls.items()}
