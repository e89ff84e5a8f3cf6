"""The row below a log: where one is, how much was read, and what the log reports."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from piwheels.formatting import format_count, pluralize


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """Where a reader of a log is. Numbers of lines begin with 0."""

    line: int  # the line that was gone to, else the last one in view
    lines: int  # read so far
    new_lines: int = 0  # since following stopped
    dropped: int = 0  # the oldest lines, which are not kept
    ended: bool = False  # all is read
    following: bool = True
    read_share: float = 0.0  # of a log that has ended; 0: unknown
    errors: Sequence[int] = ()  # the lines that report errors
    warnings: int = 0
    search: str = ""  # what is searched, and where its current match is

    def text(self, dot: str) -> str:
        """All of it, in one line: what counts most comes first."""
        return dot.join(self._parts())

    def _parts(self) -> Iterator[str]:
        reports = ", ".join(self._reports())
        yield f"{self._where()}{self._progress()}{'; ' if reports else ''}{reports}"
        if self.search:
            yield self.search
        if self.dropped:
            yield f"the first {format_count(self.dropped)} were dropped"
        if not self.ended or not self.following:
            yield from self._state()

    def _where(self) -> str:
        line = min(self.line + 1, self.lines)
        return f"line {format_count(line)} of {format_count(self.lines)}"

    def _progress(self) -> str:
        if self.ended:
            return ", all read"
        return f", {self.read_share:.0%} read" if self.read_share else " so far"

    def _reports(self) -> Iterator[str]:
        if self.errors:
            place = bisect_right(self.errors, self.line)
            at_error = place > 0 and self.errors[place - 1] == self.line
            of = f"{format_count(place)} of " if at_error else ""
            yield f"errors {of}{format_count(len(self.errors))}"
        if self.warnings:
            yield f"warnings {format_count(self.warnings)}"

    def _state(self) -> Iterator[str]:
        if self.following:
            yield "following"
        elif self.new_lines > 0:
            yield f"PAUSED: {pluralize(self.new_lines, 'new line')} below, f follows"
        elif not self.ended:
            yield "paused, f follows"
