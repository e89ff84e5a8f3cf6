"""Work in order for each key, and concurrently for different keys."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class KeyedQueue(Generic[_Item]):
    """Hands items to a handler: those of one key one after the other, in the order of `put`.

    Items of different keys do not wait for each other, so a slow one delays only its own key.
    """

    def __init__(self, handler: Callable[[_Item], Awaitable[None]]) -> None:
        self._handler = handler
        self._items: dict[str, deque[_Item]] = {}
        self._new_keys: asyncio.Queue[str] = asyncio.Queue()

    def put(self, key: str, item: _Item) -> None:
        """Queue an item; never waits."""
        if key not in self._items:
            self._items[key] = deque()
            self._new_keys.put_nowait(key)
        self._items[key].append(item)

    async def run(self) -> None:
        """Work until canceled; an error of the handler ends all work and is raised."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._work_off(await self._new_keys.get()))

    async def run_pending(self) -> None:
        """Do what is queued now, and what that queues, one item after the other (for tests)."""
        while not self._new_keys.empty():
            await self._work_off(self._new_keys.get_nowait())

    async def _work_off(self, key: str) -> None:
        items = self._items[key]
        while items:
            await self._handler(items.popleft())
        del self._items[key]
