"""The process that renders pages, so that a large one never delays a heartbeat of the master."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import ParamSpec, TypeVar

from piwheels.errors import ConfigError

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RenderPool(Executor):
    """A pool of one process, which is replaced when it died (for want of memory, say).

    Work that was under way then ends with BrokenExecutor, and can be submitted again.
    """

    def __init__(self, niceness: int = 0) -> None:
        """`niceness` is how far the process stands back for others (nice(2)).

        Raises:
            ConfigError: this system has no shared memory.
        """
        self._niceness = niceness
        self._pool = self._new_pool()

    def submit(
        self, work: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> Future[_T]:
        """Have the work done in the process."""
        try:
            return self._pool.submit(work, *arguments, **named)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
            return self._pool.submit(work, *arguments, **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the process."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _new_pool(self) -> ProcessPoolExecutor:
        # A fork of the master would take its sockets and connections along.
        try:
            return ProcessPoolExecutor(
                max_workers=1,
                mp_context=get_context("spawn"),
                initializer=_init_worker,
                initargs=(self._niceness,),
            )
        except (OSError, ImportError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"the process that writes pages needs shared memory in /dev/shm, and cannot have "
                f"any ({why}): `mount -t tmpfs tmpfs /dev/shm`, or give the container its own"
            ) from error


def _init_worker(niceness: int) -> None:
    os.nice(niceness)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    # A killed parent tells nobody, and the pool's process would wait for work for ever.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
