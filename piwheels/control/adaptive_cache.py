"""A cache whose refresh interval follows the cost of loading the value."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")

#: However expensive loading is, the value is refreshed at least this often.
MAX_AGE_S = 15.0


@dataclass(frozen=True, slots=True)
class CachedValue(Generic[_T]):
    """A value and when it was loaded, on the monotonic clock."""

    value: _T
    loaded_at: float

    @property
    def age_s(self) -> float:
        """How old the value is."""
        return time.monotonic() - self.loaded_at


class AdaptiveCache(Generic[_T]):
    """Loads a value for all callers, and keeps it for a multiple of the time that loading took.

    Loading has to fail rather than wait for an unavailable database: waiting would count as its
    cost. All callers during a load wait for the same one; a caller that stops waiting does not
    cancel it for the others.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[_T]],
        *,
        cost_factor: float,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        """Prepare the cache; nothing is loaded yet.

        Args:
            load: loads the value.
            cost_factor: the value is kept for this multiple of the duration of its load.
            max_age_s: the value is kept no longer than this.
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
        """The value, refreshed if it is due."""
        return (await asyncio.shield(self._current_load())).value

    async def get_within(self, wait_s: float) -> CachedValue[_T]:
        """The value, the cached one if loading takes longer than this or fails.

        The first value is waited for however long it takes.

        Raises:
            PiwheelsError: what the first load raised.
        """
        loading = self._current_load()
        if self._cached is None:
            return await asyncio.shield(loading)
        await asyncio.wait({loading}, timeout=wait_s)
        return self._cached

    def invalidate(self) -> None:
        """Load the value again for the next caller, because it has just changed.

        A value is still kept for as long as its load took, so that frequent changes do not keep a
        large database busy with counting.
        """
        self._fresh_until = self._min_fresh_until
        self._expired = self._load_task is not None and not self._load_task.done()

    def _current_load(self) -> asyncio.Task[CachedValue[_T]]:
        loading = self._load_task
        if loading is None or (loading.done() and self._is_due(loading)):
            loading = self._load_task = asyncio.create_task(self._refresh())
            loading.add_done_callback(_retrieve_exception)
        return loading

    def _is_due(self, loading: asyncio.Task[CachedValue[_T]]) -> bool:
        failed = loading.cancelled() or loading.exception() is not None
        return failed or time.monotonic() >= self._fresh_until

    async def _refresh(self) -> CachedValue[_T]:
        started = time.monotonic()
        self._cached = loaded = CachedValue(await self._load(), started)
        now = time.monotonic()
        self._fresh_until = now + min((now - started) * self._cost_factor, self._max_age_s)
        self._min_fresh_until = now + (now - started)
        if self._expired:  # during this load, which may have read the former value
            self.invalidate()
            self._expired = False
        return loaded


def _retrieve_exception(loading: asyncio.Task[Any]) -> None:
    """Keep asyncio from logging a failure that no caller waits for any more."""
    if not loading.cancelled():
        loading.exception()
