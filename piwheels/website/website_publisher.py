"""What the publishers of the website share: a connection, a render process, and their turn.

The index, which installers read, comes first: nothing is started while pages of it are queued.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from piwheels.db import page_queue
from piwheels.db.database import Database
from piwheels.rendering.subprocess_query import run_in_process
from piwheels.rendering.write_retries import retry_until_written
from piwheels.webroot import Webroot
from piwheels.website.page_data import Site

_POLL_S = 1.0
_BUSY_POLL_S = 0.05

_T = TypeVar("_T")


@dataclass(slots=True)
class WebsitePublisher(ABC):
    """Writes some of the website's pages, until canceled.

    db: a connection that no other task uses.
    executor: processes that no other publisher waits for.
    """

    db: Database
    webroot: Webroot
    executor: Executor
    site: Site

    async def run(self) -> None:
        """Write pages until canceled."""
        while True:
            await retry_until_written(self.write_pending, self.webroot.root)
            await asyncio.sleep(_POLL_S)

    @abstractmethod
    async def write_pending(self) -> int:
        """Write all pages that are due; returns how many."""

    async def _wait_for_index(self) -> None:
        while await page_queue.index_pages_pending(self.db):  # noqa: ASYNC110 - another service writes them
            await asyncio.sleep(_BUSY_POLL_S)

    async def _in_render_process(self, work: Callable[..., _T], *arguments: Any) -> _T:
        await asyncio.to_thread(self.webroot.check_writer)
        return await run_in_process(self.executor, work, self.webroot.root, *arguments)
