"""Collects the events of a source, and waits for further ones."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from piwheels.protocol.client import end_tasks
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.source_events import SourceEvent
from piwheels.tui.model.state import FarmState
from tests.timeouts import WAIT_S

_T = TypeVar("_T")


async def wait_until(condition: Callable[[], object], within_s: float = WAIT_S) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any state, of any object
            await asyncio.sleep(0.01)


class SourceProbe:
    """Collects all events of a source in a list and in a state."""

    def __init__(self, source: EventSource) -> None:
        self.state = FarmState()
        self.received: list[SourceEvent] = []
        self._source = source
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._collect())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            async with asyncio.timeout(WAIT_S):
                await end_tasks(self._task)

    async def _collect(self) -> None:
        async for event in self._source.events():
            self.received.append(event)
            self.state.apply(event)

    def now(self) -> float:
        """The source's time."""
        return self._source.now()

    def events_of(self, kind: type[_T]) -> list[_T]:
        """All events of a kind."""
        return [event for event in self.received if isinstance(event, kind)]

    async def next(self, kind: type[_T], within_s: float = WAIT_S) -> _T:
        """The next event of a kind that has not arrived yet."""
        known = len(self.events_of(kind))
        await wait_until(lambda: len(self.events_of(kind)) > known, within_s)
        return self.events_of(kind)[known]
