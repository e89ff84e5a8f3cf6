"""Publishes events to all subscribers within the master."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from piwheels.protocol.messages import Event

_MAX_QUEUED = 10_000


class EventBus:
    """Gives every event to every subscriber. A subscriber that falls far behind is dropped."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Event | None]] = set()
        self._has_subscriber = asyncio.Event()

    async def wait_for_subscriber(self) -> None:
        """Wait until there is a subscriber."""
        await self._has_subscriber.wait()

    @property
    def has_subscribers(self) -> bool:
        """Whether there is a subscriber."""
        return bool(self._queues)

    def publish(self, event: Event) -> None:
        """Give an event to all subscribers; never waits."""
        for queue in list(self._queues):
            if queue.qsize() >= _MAX_QUEUED:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[Event | None]]:
        """A queue of events from now on; None means that the subscriber fell behind."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._queues.add(queue)
        self._has_subscriber.set()
        try:
            yield queue
        finally:
            self._queues.discard(queue)
            if not self._queues:
                self._has_subscriber.clear()
