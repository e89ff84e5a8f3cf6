"""The processes that render pages, so that a large page never blocks the master's event loop."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import ParamSpec, TypeVar

from piwheels.errors import ConfigError
from piwheels.rendering import subprocess_query

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RenderPool(Executor):
    """A pool of processes, which are replaced when one dies (killed for its memory, for example).

    Running work then raises BrokenExecutor, and can be submitted again.
    """

    def __init__(self, niceness: int = 0, processes: int = 1) -> None:
        """Start processes when there is work for them.

        Args:
            niceness: the increment of their niceness (nice(2)).
            processes: how many there are at most.

        Raises:
            ConfigError: the system has no shared memory.
        """
        self._niceness = niceness
        self._processes = processes
        self._pool = self._new_pool()

    def submit(
        self, work: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> Future[_T]:
        """Run work in a process."""
        try:
            return self._pool.submit(work, *arguments, **named)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
            return self._pool.submit(work, *arguments, **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop the processes."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _new_pool(self) -> ProcessPoolExecutor:
        # A forked process would inherit the master's sockets and connections.
        try:
            return ProcessPoolExecutor(
                max_workers=self._processes,
                mp_context=get_context("spawn"),
                initializer=_init_worker,
                initargs=(self._niceness,),
            )
        except (OSError, ImportError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"the render process needs shared memory in /dev/shm ({why}): "
                "run `mount -t tmpfs tmpfs /dev/shm`, or give the container a /dev/shm"
            ) from error


def _init_worker(niceness: int) -> None:
    os.nice(niceness)
    subprocess_query.keep_connection()
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    # If the parent is killed, the pool's process would wait for work forever.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
