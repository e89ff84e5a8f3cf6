"""A cached answer whose refresh interval follows what refreshing costs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")

#: However expensive a refresh is, the answer is refreshed at least this often.
MAX_AGE_S = 15.0


@dataclass(frozen=True, slots=True)
class CachedValue(Generic[_T]):
    """An answer and when it was asked for, on the monotonic clock."""

    value: _T
    loaded_at: float

    @property
    def age_s(self) -> float:
        """How old the answer is."""
        return time.monotonic() - self.loaded_at


class AdaptiveCache(Generic[_T]):
    """Refreshes an answer for all who ask, and then rests many times as long as that took.

    A refresh has to fail rather than wait for a database that is away: waiting would count
    as its cost. All who ask during a refresh wait for the same one; one who gives up waiting
    does not cancel it for the others.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[_T]],
        *,
        cost_factor: float,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        """Prepare the cache; nothing is asked yet.

        Args:
            load: gets the answer.
            cost_factor: for how many times the cost of a refresh its answer is kept.
            max_age_s: the answer is kept no longer than this.
        """
        self._load = load
        self._cost_factor = cost_factor
        self._max_age_s = max_age_s
        self._load_task: asyncio.Task[CachedValue[_T]] | None = None
        self._cached: CachedValue[_T] | None = None
        self._fresh_until = 0.0
        self._min_fresh_until = 0.0
        self._expired = False

    async def get(self) -> _T:
        """The answer, refreshed if it is due."""
        return (await asyncio.shield(self._current_load())).value

    async def get_within(self, wait_s: float) -> CachedValue[_T]:
        """The answer, from memory if refreshing it takes longer than this or fails.

        Only the very first answer is waited for however long it takes.

        Raises:
            PiwheelsError: what the first refresh raised.
        """
        looking = self._current_load()
        if self._cached is None:
            return await asyncio.shield(looking)
        await asyncio.wait({looking}, timeout=wait_s)
        return self._cached

    def invalidate(self) -> None:
        """Refresh the answer when it is asked for next: what it tells has just changed.

        A refresh still rests as long as it took, so that frequent changes do not make a large
        database do nothing but count.
        """
        self._fresh_until = self._min_fresh_until
        self._expired = self._load_task is not None and not self._load_task.done()

    def _current_load(self) -> asyncio.Task[CachedValue[_T]]:
        looking = self._load_task
        if looking is None or (looking.done() and self._is_due(looking)):
            looking = self._load_task = asyncio.create_task(self._refresh())
            looking.add_done_callback(_retrieve_exception)
        return looking

    def _is_due(self, looked: asyncio.Task[CachedValue[_T]]) -> bool:
        failed = looked.cancelled() or looked.exception() is not None
        return failed or time.monotonic() >= self._fresh_until

    async def _refresh(self) -> CachedValue[_T]:
        began = time.monotonic()
        self._cached = known = CachedValue(await self._load(), began)
        now = time.monotonic()
        self._fresh_until = now + min((now - began) * self._cost_factor, self._max_age_s)
        self._min_fresh_until = now + (now - began)
        if self._expired:  # during this refresh, which may have seen what was before
            self.invalidate()
            self._expired = False
        return known


def _retrieve_exception(looked: asyncio.Task[Any]) -> None:
    """Keep asyncio from reporting a failure that all who asked have stopped waiting for."""
    if not looked.cancelled():
        looked.exception()
