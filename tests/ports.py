"""TCP ports for servers that tests start, each given out once."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path

#: Below what Linux gives to whoever asks for any port.
_FIRST, _LAST = 15_000, 30_000


def free_port() -> int:
    """A TCP port without a listener, which is not given out again for a long time."""
    while True:
        port = _FIRST + _next_number() % (_LAST - _FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _next_number() -> int:
    """Counts on, over all processes that run tests for this account."""
    path = Path(tempfile.gettempdir()) / f"piwheels-tests-ports-{os.getuid()}"
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        number = int(text) + 1 if text.isdecimal() else 0
        file.truncate(0)
        file.write(str(number))
    return number
