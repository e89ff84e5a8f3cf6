"""What is looked up again only when that is worth its cost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class Seldom(Generic[_T]):
    """Looks something up for all who ask, and rests many times as long as that took.

    Looking up has to fail rather than to wait for what is away: that would count as work.

    Those who ask while it is being looked up wait for the one answer; one who gives up waiting
    does not end it for the others.
    """

    def __init__(self, look_up: Callable[[], Awaitable[_T]], *, rest: float) -> None:
        """rest: how many times as long as looking up took the answer stands."""
        self._look_up = look_up
        self._rest = rest
        self._looking: asyncio.Task[_T] | None = None
        self._until = 0.0

    async def current(self) -> _T:
        """The answer as of now, or of a little ago."""
        looking = self._looking
        if looking is None or (looking.done() and self._is_over(looking)):
            looking = self._looking = asyncio.create_task(self._anew())
            looking.add_done_callback(_seen)
        return await asyncio.shield(looking)

    def _is_over(self, looked: asyncio.Task[_T]) -> bool:
        failed = looked.cancelled() or looked.exception() is not None
        return failed or time.monotonic() >= self._until

    async def _anew(self) -> _T:
        began = time.monotonic()
        found = await self._look_up()
        now = time.monotonic()
        self._until = now + (now - began) * self._rest
        return found


def _seen(looked: asyncio.Task[Any]) -> None:
    """Mark a failure as seen, though all who asked have given up waiting."""
    if not looked.cancelled():
        looked.exception()
