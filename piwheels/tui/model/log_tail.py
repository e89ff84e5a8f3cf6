"""The end of a log as the master tells it (TailLog), for pages and panes."""

from piwheels.protocol.messages import MAX_TAIL_BYTES, LogTail
from piwheels.sanitize import strip_terminal_codes


class TailBuffer:
    """The last bytes of a log; each answer continues it, or replaces it after a gap."""

    def __init__(self) -> None:
        self._data = b""
        self.end = 0  # where in the log it ends, in bytes: what is asked for next begins there

    def add(self, tail: LogTail) -> None:
        """An answer to a request for what follows `end`."""
        kept = self._data if tail.offset == self.end else b""
        self._data = (kept + tail.data)[-MAX_TAIL_BYTES:]
        self.end = tail.offset + len(tail.data)

    @property
    def lines(self) -> list[str]:
        """Its lines, without one that has lost its beginning; none of an empty log."""
        if not self._data:
            return []
        text = self._data.decode(errors="replace")
        lines = [strip_terminal_codes(line) for line in text.removesuffix("\n").split("\n")]
        return lines[1:] if self.end > len(self._data) and len(lines) > 1 else lines
