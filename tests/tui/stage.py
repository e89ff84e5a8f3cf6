"""A console on a stage: with a source that a test holds, and a pilot at its keys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from textual.pilot import Pilot

from piwheels.tui.app import Console, Look
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.settings import Settings
from piwheels.tui.source import Source
from tests.patience import WAIT_S


@dataclass
class Stage:
    """The console, its pilot, and what is to be read."""

    console: Console
    pilot: Pilot[Any]

    @property
    def text(self) -> str:
        strips = self.console.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    @property
    def table(self) -> TableScreen:
        screen = self.console.farm_screen
        assert isinstance(screen, TableScreen)
        return screen

    @property
    def keys(self) -> list[str]:
        """The rows' keys, from above."""
        return [row.key for row in self.table.table.rows]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition, with the app at work."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        while not condition():
            assert loop.time() < deadline, f"{what}: not within {WAIT_S:.0f} s\n{self.text}"
            await self.pilot.pause(0.01)
        await self.pilot.pause()

    async def until_shown(self, words: str) -> None:
        await self.until(lambda: words in self.text, f"{words!r} is shown")


@asynccontextmanager
async def on_stage(
    source: Source,
    *,
    size: tuple[int, int] = (120, 40),
    look: Look | None = None,
    settings: Settings | None = None,
    keep: Callable[[Settings], str] = lambda _: "",
) -> AsyncIterator[Stage]:
    console = Console(source, look or Look(), settings=settings or Settings(), keep=keep)
    async with console.run_test(size=size, notifications=True) as pilot:
        stage = Stage(console, pilot)
        await stage.until(lambda: len(console.screen_stack) > 1, "the first screen is there")
        yield stage
