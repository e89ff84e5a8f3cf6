"""Runs the commit of one block while the next block is parsed: one at a time, in order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, Self

_P = ParamSpec("_P")


class CommitPipeline:
    """An async context manager; at its end all work is done, or its exception is raised."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def submit(
        self, work: Callable[_P, Awaitable[None]], *arguments: _P.args, **options: _P.kwargs
    ) -> None:
        """Start work after the previous work is done.

        Raises:
            Exception: of the previous work; the new work is not started.
        """
        await self._finish()
        self._task = asyncio.ensure_future(work(*arguments, **options))

    async def _finish(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: object, __: object) -> None:
        if self._task is not None and isinstance(error, asyncio.CancelledError):
            self._task.cancel()
            await asyncio.wait({self._task})
            return
        await self._finish()
