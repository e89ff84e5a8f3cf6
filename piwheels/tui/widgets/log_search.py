"""The search in a log: the matching lines, and the current one."""

import re
from bisect import bisect_left, bisect_right

from piwheels.formatting import format_count, pluralize
from piwheels.tui.widgets.log_buffer import LogBuffer


def compile_search(text: str) -> re.Pattern[str]:
    """A pattern for a text; it is case-sensitive if the text has capitals."""
    return re.compile(re.escape(text), re.IGNORECASE if text == text.lower() else 0)


class LogSearch:
    """The lines of a log that match a pattern, by number; new lines are added with `extend`."""

    def __init__(self, log_buffer: LogBuffer) -> None:
        self._buffer = log_buffer
        self.end()

    def end(self) -> None:
        """Search for nothing."""
        self.pattern: re.Pattern[str] | None = None
        self.current: int | None = None  # the number of the current match's line
        self._label = ""
        self._matches: list[int] = []

    def start(self, pattern: re.Pattern[str], label: str) -> None:
        """Search for a pattern; `label` names it."""
        self.pattern, self._label, self.current = pattern, label, None
        self._matches = self._buffer.find(pattern)

    @property
    def match_count(self) -> int:
        """How many lines match so far."""
        return len(self._matches)

    def extend(self, changed: int) -> None:
        """Add matches of the lines from number `changed` on, and remove those of dropped ones."""
        if not self.pattern:
            return
        del self._matches[bisect_left(self._matches, changed) :]
        self._matches += self._buffer.find(self.pattern, changed)
        if self._matches and self._matches[0] < self._buffer.first_line_number:
            del self._matches[: bisect_left(self._matches, self._buffer.first_line_number)]

    def next(self, top: int) -> int | None:
        """The match after the current one, else from line `top` on; after the last, the first."""
        at = top - 1 if self.current is None else self.current
        return self._select(bisect_right(self._matches, at))

    def previous(self, top: int) -> int | None:
        """The match before the current one, else before line `top`; before the first, the last."""
        at = top if self.current is None else self.current
        return self._select(bisect_left(self._matches, at) - 1)

    def _select(self, index: int) -> int | None:
        if not self._matches:
            return None
        self.current = self._matches[index % len(self._matches)]
        return self.current

    @property
    def summary(self) -> str:
        """What is searched and where the current match is: `libpq: 2 of 7`."""
        return f"{self._label}: {self._position()}"

    def _position(self) -> str:
        if not self._matches:
            return "not found"
        if self.current is None:
            return pluralize(len(self._matches), "line")
        place = bisect_right(self._matches, self.current)
        return f"{format_count(place)} of {format_count(len(self._matches))}"
