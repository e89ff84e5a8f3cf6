"""What the lines of a log are: errors, warnings, and noise of pip and of files that are copied."""

import re
from bisect import bisect_left
from enum import IntEnum

from piwheels.tui.widgets.log_buffer import LogBuffer

#: A line that reports an error, as compilers, Python, make, CMake, Rust and pip write them.
ERROR_PATTERN = re.compile(
    r"(?:^|[\s:>*])(?:fatal |internal compiler )?error(?:\[E\d+\])?:"
    r"|^Traceback \(most recent call last\)"
    r"|^\s*(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception): "
    r"|\bfatal: |CMake Error|undefined reference to |\*\*\* \[.*\] Error "
    r"|exit(?:ed with)? (?:status|code):? -?[1-9]|exited with -?[1-9]"
    r"|No space left on device|out of memory|Killed signal",
    re.IGNORECASE,
)

#: A line that reports a warning.
WARNING_PATTERN = re.compile(
    r"(?:^|[\s:>*])warning(?: C\d+)?:|CMake Warning|Warning: ", re.IGNORECASE
)


class LineKind(IntEnum):
    """What a line is; noise is folded."""

    OTHER = 0
    ERROR = 1
    WARNING = 2
    PIP = 3
    FETCHING = 4
    UNPACKING = 5


#: The kinds of noise, with their words.
NOISE = {
    LineKind.PIP: "pip",
    LineKind.FETCHING: "fetching",
    LineKind.UNPACKING: "unpacking and copying",
}
#: The first words of noise, each with how such lines begin.
_NOISE_LINES: dict[LineKind, tuple[str, ...]] = {
    LineKind.FETCHING: (
        *("Looking in indexes:", "Looking in links:", "Collecting ", "Downloading "),
        *("Using cached ", "Obtaining ", "Fetched ", "Link requires a different Python"),
        *("Skipping link:", "Found link ", "Fetching project page "),
    ),
    LineKind.UNPACKING: (
        *("copying ", "creating ", "adding ", "writing ", "reading manifest", "removing "),
        *("Unpacking ", "hard linking ", "changing mode ", "installing to "),
        *("running egg_info", "running dist_info", "running install", "running build_py"),
    ),
    LineKind.PIP: (
        *("Using pip ", "Processing ", "Requirement already satisfied:"),
        *("Installing build dependencies", "Installing backend dependencies"),
        *("Installing collected packages", "Successfully installed ", "Running command "),
        *("Getting requirements to build ", "Preparing metadata ", "Source in "),
        *("Building wheels for collected packages", "Created temporary directory"),
        *("Added ", "Removed ", "Given no hashes", "Initialized build tracking"),
        *("Entered build tracker", "Created build tracker"),
    ),
}
_BY_FIRST_WORD: dict[str, list[tuple[str, LineKind]]] = {}
for _kind, _beginnings in _NOISE_LINES.items():
    for _text in _beginnings:
        _BY_FIRST_WORD.setdefault(_text.split(maxsplit=1)[0], []).append((_text, _kind))


def line_kind(line: str) -> LineKind:
    """What a line is; what reports an error, a warning or a failed step is never noise."""
    if _may_report(line):
        if ERROR_PATTERN.search(line):
            return LineKind.ERROR
        if WARNING_PATTERN.search(line):
            return LineKind.WARNING
        if "status 'error'" in line:
            return LineKind.OTHER
    text = line.lstrip(" ")
    beginnings = _BY_FIRST_WORD.get(text.partition(" ")[0], ())
    return next((kind for begin, kind in beginnings if text.startswith(begin)), LineKind.OTHER)


def _may_report(line: str) -> bool:
    """Whether a line has a word of the two patterns: most lines need neither."""
    low = line.lower()
    return (
        "error" in low
        or "warning" in low
        or "exit" in low
        or "fatal: " in low
        or "exception: " in low
        or "traceback" in low
        or "undefined reference" in low
        or "no space left" in low
        or "out of memory" in low
        or "killed signal" in low
    )


class LogMarks:
    """The kinds of a log's lines, by their number, and which report errors and warnings."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """For another log."""
        self._first = 0
        self._kinds = bytearray()
        self.errors: list[int] = []
        self.warnings: list[int] = []

    def kind(self, number: int) -> LineKind:
        """What the line of this number is."""
        return LineKind(self._kinds[number - self._first])

    def is_noise(self, number: int) -> bool:
        """Whether the line of this number may be folded."""
        return self._first <= number and self._kinds[number - self._first] >= LineKind.PIP

    def update(self, log_buffer: LogBuffer, changed: int) -> None:
        """Look at the lines from number `changed` on, and forget those that were dropped."""
        del self._kinds[: log_buffer.first_line_number - self._first]
        self._first = log_buffer.first_line_number
        del self._kinds[max(0, changed - self._first) :]
        for numbers in (self.errors, self.warnings):
            del numbers[bisect_left(numbers, changed) :]
            del numbers[: bisect_left(numbers, self._first)]
        start = self._first + len(self._kinds)
        for number, line in enumerate(log_buffer.lines_from(start), start):
            kind = line_kind(line)
            self._kinds.append(kind)
            if kind is LineKind.ERROR:
                self.errors.append(number)
            elif kind is LineKind.WARNING:
                self.warnings.append(number)
