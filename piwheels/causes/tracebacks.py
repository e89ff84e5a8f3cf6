"""Tracebacks of Python in a log: the frames above an exception, and chains of exceptions."""

from dataclasses import dataclass

from piwheels.causes.log_text import Line, PlainLog

_HEADER = "Traceback (most recent call last):"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_MAX_LINES = 200
_LINES_BETWEEN = 4  # the text that links two tracebacks, and empty lines


@dataclass(frozen=True, slots=True)
class Traceback:
    """The frames above an exception; `chained` is whether it was raised while handling another."""

    start: int
    frames: str
    chained: bool


def traceback_above(log: PlainLog, exception: Line) -> Traceback | None:
    """The traceback that ends with a line; None if there is none."""
    for line in log.before(exception, _MAX_LINES):
        if line.text == _HEADER:
            linking = [each.text for each in log.before(line, _LINES_BETWEEN)]
            chained = any(text.startswith(_CHAINED) for text in linking)
            return Traceback(line.start, log.text[line.start : exception.start], chained)
    return None
