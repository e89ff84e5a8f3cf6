"""A terminal that goes away ends the process, even where SIGHUP is ignored.

Without it the input thread would spin on a descriptor that is always readable, and the
output thread would block the loop: so the watch is a thread of its own that needs neither.
"""

import os
import select
import threading
from collections.abc import Callable

#: What a shell reports for a process that SIGHUP ended.
EXIT_CODE = 129

# Poll reports these whether asked for or not.
_HANGUP_EVENTS = select.POLLHUP | select.POLLERR | select.POLLNVAL


def exit_on_hangup(
    descriptor: int,
    *,
    before_exit: Callable[[], None] = lambda: None,
    exit_process: Callable[[int], None] = os._exit,
) -> threading.Thread:
    """End the process when the terminal of a descriptor is hung up.

    `before_exit` is called before that, in the watching thread; it must not touch the terminal.
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
