"""Retries the writing of pages after a full disk or the death of a render process."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

log = logging.getLogger(__name__)

_FULL_DISK_DELAY_S = 10.0
_POOL_RESTART_DELAY_S = 0.5


async def retry_until_written(work: Callable[[], Awaitable[object]], root: Path) -> None:
    """Do work that writes pages; retry after a full disk or the death of the render process."""
    while True:
        try:
            await work()
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            what = "the disk is full" if full else error
            log.error("pages in %s cannot be written: %s; retrying", root, what)
            await asyncio.sleep(_FULL_DISK_DELAY_S)
        except BrokenExecutor:
            log.warning("the render process died; starting another")
            await asyncio.sleep(_POOL_RESTART_DELAY_S)
        else:
            return
