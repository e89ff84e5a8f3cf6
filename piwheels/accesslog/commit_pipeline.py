"""Work that goes on while its giver does the next: one at a time, in order, ended with a block."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import ParamSpec, Self

_P = ParamSpec("_P")


class CommitPipeline:
    """Within `async with`; at its end all work is done, or has raised what it raises there."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def submit(
        self, work: Callable[_P, Awaitable[None]], *arguments: _P.args, **options: _P.kwargs
    ) -> None:
        """Begin work as soon as what was given before it is done.

        Raises:
            Exception: what the work before it raised; then this is not begun.
        """
        await self._finish()
        self._task = asyncio.ensure_future(work(*arguments, **options))

    async def _finish(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None and isinstance(error, asyncio.CancelledError):
            self._task.cancel()
            await asyncio.wait({self._task})
            return
        await self._finish()
