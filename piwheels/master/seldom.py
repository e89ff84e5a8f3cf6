"""A cached answer whose refresh interval follows what refreshing costs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")

#: However expensive a refresh is, the answer is refreshed at least this often.
LONGEST_REST_S = 15.0


@dataclass(frozen=True, slots=True)
class Known(Generic[_T]):
    """An answer and when it was asked for, on the monotonic clock."""

    value: _T
    at: float

    @property
    def age_s(self) -> float:
        """How old the answer is."""
        return time.monotonic() - self.at


class Seldom(Generic[_T]):
    """Refreshes an answer for all who ask, and then rests many times as long as that took.

    A refresh has to fail rather than wait for a database that is away: waiting would count
    as its cost. All who ask during a refresh wait for the same one; one who gives up waiting
    does not cancel it for the others.
    """

    def __init__(
        self,
        look_up: Callable[[], Awaitable[_T]],
        *,
        rest: float,
        longest_rest_s: float = LONGEST_REST_S,
    ) -> None:
        """Prepare the cache; nothing is asked yet.

        Args:
            look_up: gets the answer.
            rest: for how many times the cost of a refresh its answer is kept.
            longest_rest_s: the answer is kept no longer than this.
        """
        self._look_up = look_up
        self._rest = rest
        self._longest_rest_s = longest_rest_s
        self._looking: asyncio.Task[Known[_T]] | None = None
        self._known: Known[_T] | None = None
        self._until = 0.0
        self._earliest = 0.0
        self._expired = False

    async def current(self) -> _T:
        """The answer, refreshed if it is due."""
        return (await asyncio.shield(self._refreshed())).value

    async def recent(self, wait_s: float) -> Known[_T]:
        """The answer, from memory if refreshing it takes longer than this or fails.

        Only the very first answer is waited for however long it takes.

        Raises:
            PiwheelsError: what the first refresh raised.
        """
        looking = self._refreshed()
        if self._known is None:
            return await asyncio.shield(looking)
        await asyncio.wait({looking}, timeout=wait_s)
        return self._known

    def expire(self) -> None:
        """Refresh the answer when it is asked for next: what it tells has just changed.

        A refresh still rests as long as it took, so that frequent changes do not make a large
        database do nothing but count.
        """
        self._until = self._earliest
        self._expired = self._looking is not None and not self._looking.done()

    def _refreshed(self) -> asyncio.Task[Known[_T]]:
        looking = self._looking
        if looking is None or (looking.done() and self._is_due(looking)):
            looking = self._looking = asyncio.create_task(self._refresh())
            looking.add_done_callback(_mark_failure_as_seen)
        return looking

    def _is_due(self, looked: asyncio.Task[Known[_T]]) -> bool:
        failed = looked.cancelled() or looked.exception() is not None
        return failed or time.monotonic() >= self._until

    async def _refresh(self) -> Known[_T]:
        began = time.monotonic()
        self._known = known = Known(await self._look_up(), began)
        now = time.monotonic()
        self._until = now + min((now - began) * self._rest, self._longest_rest_s)
        self._earliest = now + (now - began)
        if self._expired:  # during this refresh, which may have seen what was before
            self.expire()
            self._expired = False
        return known


def _mark_failure_as_seen(looked: asyncio.Task[Any]) -> None:
    """Keep asyncio from reporting a failure that all who asked have stopped waiting for."""
    if not looked.cancelled():
        looked.exception()
