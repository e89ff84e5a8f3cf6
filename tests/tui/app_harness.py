"""A console in a test: with a source that the test controls, and a pilot that presses keys."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from textual.pilot import Pilot

from piwheels.tui.app import Console, DisplayOptions
from piwheels.tui.client.contexts import Context
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.actions import action_named
from piwheels.tui.model.finder import FinderEntry
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.settings import Settings
from piwheels.tui.widgets.finder_list import FinderList
from tests.timeouts import WAIT_S

#: The sizes of terminals that the console is designed for; the smallest and the largest run with
#: the slow tests.
SCREEN_SIZES = (
    pytest.param((40, 20), marks=pytest.mark.slow),
    (80, 24),
    (120, 40),
    pytest.param((200, 60), marks=pytest.mark.slow),
)


@dataclass
class AppHarness:
    """The console, its pilot, and what is to be read."""

    console: Console
    pilot: Pilot[Any]

    @property
    def text(self) -> str:
        strips = self.console.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    @property
    def table(self) -> TableScreen:
        screen = self.console.current_screen
        assert isinstance(screen, TableScreen)
        return screen

    @property
    def keys(self) -> list[str]:
        """The rows' keys, from above."""
        return [row.key for row in self.table.table.rows]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def act(self, name: str) -> None:
        """Press an action's key, or choose it in the finder where it has none."""
        action = action_named(name)
        if keys := self.console.keys_for(action):
            await self.press(keys.split(",")[0])
            return
        letters = ("space" if char == " " else char for char in action.label)
        await self.press("ctrl+k", *letters)
        found = self.console.screen.query_one(FinderList)
        await self.wait_until(lambda: any(_is_of(it, action) for it in found.entries), name)
        for _ in found.entries:
            if found.highlighted and _is_of(found.highlighted, action):
                break
            await self.press("down")
        await self.press("enter")

    async def wait_until(self, condition: Callable[[], object], description: str) -> None:
        """Wait for a condition, with the app at work."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        while not condition():
            assert loop.time() < deadline, f"{description}: not within {WAIT_S:.0f} s\n{self.text}"
            await self.pilot.pause(0.01)
        await self.pilot.pause()

    async def wait_for_text(self, words: str) -> None:
        await self.wait_until(lambda: words in self.text, f"{words!r} is shown")


def _is_of(entry: FinderEntry, action: Action) -> bool:
    return entry.action is action or entry.screen_name is (action.opens or "")


@asynccontextmanager
async def run_console(
    source: EventSource,
    *,
    size: tuple[int, int] = (120, 40),
    display_options: DisplayOptions | None = None,
    settings: Settings | None = None,
    save_settings: Callable[[Settings], str] = lambda _: "",
    first_screen: ScreenName = ScreenName.BUILDERS,
    context: Context | None = None,
    contexts: Sequence[Context] = (),
) -> AsyncIterator[AppHarness]:
    console = Console(
        source,
        display_options or DisplayOptions(),
        settings=settings or Settings(),
        save_settings=save_settings,
        context=context,
        contexts=contexts,
    )
    async with console.run_test(size=size, notifications=True) as pilot:
        stage = AppHarness(console, pilot)
        await stage.wait_until(lambda: len(console.screen_stack) > 1, "the first screen is there")
        console.navigate(first_screen)
        await pilot.pause()
        yield stage
