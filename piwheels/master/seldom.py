"""What is looked up again only when that is worth its cost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Seldom(Generic[_T]):
    """Looks something up for all who ask, and rests many times as long as that took.

    Those who ask while it is being looked up wait for the one answer.
    """

    def __init__(self, look_up: Callable[[], Awaitable[_T]], *, rest: float) -> None:
        """rest: how many times as long as looking up took the answer stands."""
        self._look_up = look_up
        self._rest = rest
        self._turn = asyncio.Lock()
        self._known: _T | None = None
        self._until = 0.0

    async def current(self) -> _T:
        """The answer as of now, or of a little ago."""
        async with self._turn:
            began = time.monotonic()
            if self._known is None or began >= self._until:
                self._known = await self._look_up()
                now = time.monotonic()
                self._until = now + (now - began) * self._rest
            return self._known
