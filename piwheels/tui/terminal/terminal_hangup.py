"""Ends the process when its terminal hangs up, even where SIGHUP is ignored.

Otherwise the input thread would spin on a descriptor that is always readable, and the output thread
would block the event loop. A separate thread watches, which needs neither.
"""

import os
import select
import threading
from collections.abc import Callable

#: The exit status that a shell reports for SIGHUP.
EXIT_CODE = 129

# Poll always reports these.
_HANGUP_EVENTS = select.POLLHUP | select.POLLERR | select.POLLNVAL


def exit_on_hangup(
    descriptor: int,
    *,
    before_exit: Callable[[], None] = lambda: None,
    exit_process: Callable[[int], None] = os._exit,
) -> threading.Thread:
    """End the process when the terminal of a descriptor hangs up.

    `before_exit` is called first, in the watching thread; it must not use the terminal.
    """
    thread = threading.Thread(
        target=_watch, args=(descriptor, before_exit, exit_process), name="hang-up", daemon=True
    )
    thread.start()
    return thread


def _watch(
    descriptor: int, before_exit: Callable[[], None], exit_process: Callable[[int], None]
) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)
    for _, event in poll.poll():
        if event & _HANGUP_EVENTS:
            try:
                before_exit()
            finally:
                exit_process(EXIT_CODE)
