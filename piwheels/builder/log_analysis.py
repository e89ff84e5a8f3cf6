"""Analysis of the end of a build's log: the line that tells why it failed, signs of shortage.

pip indents the output of a build, so no pattern here relies on the start of a line. The cost is
linear in the length of the log: only the first characters of a line are examined, and a pattern
is matched only with lines that contain its literal text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from piwheels.model import Outcome

_MAX_LINE_CHARS = 300
#: The number of characters of a line that are examined.
_EXAMINED_CHARS = 1000
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,300}(?:\x07|\x1b\\))?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]+")

#: The start of the phase lines that sandbox_entry.py prints.
_PHASE_PREFIX = "--- piwheels: "

#: Lines that come with any failure, and lines that only quote source or point into it.
_UNINFORMATIVE = re.compile(
    r"subprocess-exited-with-error|metadata-generation-failed|legacy-install-failure"
    r"|Failed to build |Failed building wheel|Could not build wheels|exited with \d"
    r"|failed-wheel-build|installing-build-dependencies|See above for output"
    r"|command '?\S+'? failed with exit (?:code|status)"
    r"|returned non-zero exit status|CalledProcessError|did not run successfully"
    r"|finished with status '|Encountered error while generating|compilation terminated"
    r"|Configuring incomplete, errors occurred|some warnings being treated as errors"
    r"|^ERROR: Exception:$"
    r"|_COMPILER not set, after EnableLanguage|errors? generated\.|exit code: |end of output"
    r"|^(?:note|hint|full command|cwd|╰─>):? |: note: |^collect2:|^file \"[^\"]*\", line \d"
    r"|^[\W_]*$|^\d*\s*\||^https?://\S*$",
    re.IGNORECASE,
)
#: Quoted source: gcc and rustc print it after a bar, Python after the line of a frame.
_QUOTED_WITH_BAR = re.compile(r"\d*\s*\|")
_TRACEBACK_FRAME = re.compile(r'File "[^"]*", line \d')
#: A compiler's message about a place in the source; only fatal errors can be about the machine.
_COMPILER_DIAGNOSTIC = re.compile(r"\S+:\d+(?::\d+)?: (?!fatal error)")
#: A message of CMake whose text is in the indented lines that follow.
_CMAKE_HEADER = re.compile(r"CMake Error (?:at|in) .*:$")
#: An exception whose message begins on the next line.
_EXCEPTION_HEADER = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*:$")
_MAX_LINES_BETWEEN = 5  # a header and its message: empty ones, or rows of asterisks
_CMAKE_NO_PACKAGE = ("A required package was not found", "The following required packages were not")
#: Messages of pkg-config, and its successor pkgconf, about a package that is not found.
_PKG_CONFIG = ("No package '", "Package '")


@dataclass(frozen=True, slots=True)
class _Rule:
    """A kind of line that tells why a build failed.

    `pattern` is matched at a line's first visible character, if the line contains one of
    `literals`. Of several matching lines the first is reported, or the last if `prefer_last`.
    """

    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    prefer_last: bool = False


def _rule(literals: str | tuple[str, ...], pattern: str, *, prefer_last: bool = False) -> _Rule:
    return _Rule(
        (literals,) if isinstance(literals, str) else literals, re.compile(pattern), prefer_last
    )


_KILLED_RULE = _rule("Killed signal", r".*fatal error: Killed signal terminated program")

#: Packages whose exceptions have other names than *Error (InvalidVersion, DistributionNotFound).
_PACKAGING_MODULES = ("pip._", "pkg_resources.", "packaging.", "setuptools.", "distutils.")

#: The most informative kind first.
_RULES = (
    _KILLED_RULE,
    _rule(
        "fatal error: ",
        r"(?:(?!fatal error: ).)*fatal error: .*(?:No such file|file not found)",
    ),
    _rule("rror: ", r"\S+:\d+(?::\d+)?: (?:fatal |internal compiler )?error: "),
    _rule(
        "error: ",
        r"(?:\S*/)?(?:\w+-)*(?:cc1\w*|cc|[cg]\+\+|gcc|clang|clang\+\+)(?:-[\d.]+)?: "
        r"(?:fatal )?error: ",
    ),
    _rule("able to find ", r"\S*ld(?:\.\w+)?: error: unable to find "),
    _rule("cannot find ", r"\S*ld(?:\.\w+)?: cannot find "),
    _rule(("undefined reference to ", "multiple definition of "), r""),
    _rule(
        "error", r"error(?:\[E\d+\])?: (?:linker|failed to run custom build|no matching package)"
    ),
    _rule("error[E", r"error\[E\d+\]: "),
    _rule("Rust", r".*(?:can't find|requires) (?:the )?Rust"),
    _rule("rustc", r"(?:(?!rustc).)*rustc.* not (?:found|installed)"),
    _rule("ERROR: ", r"\S*meson\.build:\d+:\d+: ERROR: "),
    _rule("CMake Error", r"CMake Error", prefer_last=True),
    _rule("configure: error: ", r"configure: error: "),
    _rule(": *** ", r"g?make(?:\[\d+\])?: \*\*\* (?!.*\bError \d|Waiting for )"),
    _rule("inconsistent ", r".*inconsistent (?:name|version)\b"),
    _rule("No matching distribution found for ", r"", prefer_last=True),
    _rule("Could not find a version that satisfies ", r"", prefer_last=True),
    _rule(
        ("ModuleNotFoundError: ", "ImportError: "),
        r"(?:ModuleNotFound|Import)Error: ",
        prefer_last=True,
    ),
    _rule(
        ("Error", "Exception", "Exit", "Interrupt", "Iteration", *_PACKAGING_MODULES),
        r"(?:[A-Za-z_]\w*\.)*(?:_*[A-Z]\w*)?(?:Error|Exception|Exit|Interrupt|Iteration)"
        r"(?:: |:?$)|(?:[a-z_]\w*\.)+[A-Z]\w*: ",
        prefer_last=True,
    ),
    _rule(("ERROR: ", "error: ", "Error: "), r"(?:ERROR|error|Error): ", prefer_last=True),
    _rule(
        ("not found", "Permission denied", "Read-only file system"),
        r".*(?:command not found|: not found$|Permission denied|Read-only file system)",
        prefer_last=True,
    ),
)
#: Uninformative beside any other failure, but the only line if a program failed silently.
_FALLBACK_RULE = _rule(
    "CalledProcessError: Command ",
    r"(?:[A-Za-z_]\w*\.)*CalledProcessError: Command ",
    prefer_last=True,
)

_OUT_OF_MEMORY_RULES = (
    _KILLED_RULE,
    _rule(
        "annot allocate memory", r".*: Cannot allocate memory\.?$|.*\[Errno 12\] Cannot allocate"
    ),
    _rule(
        "out of memory",
        r"(?:.*\berror: |LLVM ERROR: |\S+: |.*runtime: )?out of memory(?: allocating|: cannot|$)",
    ),
    _rule("memory exhausted", r".*\bld(?:\.\w+)?: .*: memory exhausted$"),
    _rule(
        "bad_alloc", r"terminate called after throwing .*'std::bad_alloc'|what\(\):  std::bad_alloc"
    ),
    _rule("memory allocation of ", r".*memory allocation of \d+ bytes failed"),
    _rule("OutOfMemoryError", r"(?:Exception .*)?java\.lang\.OutOfMemoryError"),
    _rule("heap out of memory", r"FATAL ERROR: .*heap out of memory"),
    _rule("SIGKILL", r".*(?:\(signal: 9, SIGKILL: kill\)|died with <Signals\.SIGKILL: 9>)"),
    _rule("-9", r".*\bexit(?:ed with)? (?:code|status):? -9\b"),
    _rule("MemoryError", r"(?:[A-Za-z_]\w*\.)*(?:_*[A-Z]\w*)?MemoryError(?:: |$)"),
)
_DISK_FULL_RULES = (
    _rule("[Errno 28]", r"(?:(?:[A-Za-z_]\w*\.)*\w+: .*)?\[Errno 28\]"),
    _rule(
        ("No space left on device", "Disk quota exceeded"),
        r".*: '?(?:No space left on device|Disk quota exceeded)'?(?: \(os error \d+\))?\.?$",
    ),
    _rule("ENOSPC", r"(?:\w+ )?(?:[A-Z]\w*: )?ENOSPC: no space left on device"),
)


def find_error_line(tail: bytes) -> str:
    """The line of a failed build's log that best tells why it failed; "" if there is none.

    Args:
        tail: the end of the log; escape sequences are ignored.
    """
    log = _Log(_to_plain_text(tail))
    for rule in _RULES:
        for line in log.matches(rule):
            if not _is_uninformative(line.text):
                return log.message(line).text[:_MAX_LINE_CHARS]
    resort = next(log.matches(_FALLBACK_RULE), None)
    if resort is not None:
        return resort.text[:_MAX_LINE_CHARS]
    return _last_informative_line(log.text, include_uninformative=False) or _last_informative_line(
        log.text, include_uninformative=True
    )


def last_line(tail: bytes) -> str:
    """The last line of a log that is not blank; "" if there is none."""
    lines = _to_plain_text(tail).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:_MAX_LINE_CHARS]


def resource_shortage(tail: bytes) -> Outcome | None:
    """OUT_OF_MEMORY or DISK_FULL, if the end of a failed build's log shows signs of it.

    Quoted source and compilers' messages about the source do not count as signs.
    """
    log = _Log(_to_plain_text(tail))
    for outcome, rules in (
        (Outcome.DISK_FULL, _DISK_FULL_RULES),
        (Outcome.OUT_OF_MEMORY, _OUT_OF_MEMORY_RULES),
    ):
        if any(not log.is_quoted(line) for rule in rules for line in log.matches(rule)):
            return outcome
    return None


class _Line(NamedTuple):
    """A line without surrounding space; `start` is its offset in the text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Log:
    """The text of a log, and its lines that match rules."""

    text: str
    _starts_by_literal: dict[str, list[int]] = field(default_factory=dict)
    _lines_by_start: dict[int, _Line] = field(default_factory=dict)

    def matches(self, rule: _Rule) -> Iterator[_Line]:
        """The lines that match a rule, the most informative first."""
        starts = self._line_starts(rule.literals[0])
        if len(rule.literals) > 1:
            starts = sorted({start for word in rule.literals for start in self._line_starts(word)})
        for start in reversed(starts) if rule.prefer_last else starts:
            line = self.line_at(start)
            if rule.pattern.match(line.text) and not line.text.startswith(_PHASE_PREFIX):
                yield line

    def line_at(self, start: int) -> _Line:
        """The line that starts at an offset."""
        line = self._lines_by_start.get(start)
        if line is None:
            end = self.text.find("\n", start)
            end = len(self.text) if end < 0 else end
            # Indentation counts as examined characters: pip and CMake indent by a few.
            line = _Line(start, end, self.text[start : min(end, start + _EXAMINED_CHARS)].strip())
            self._lines_by_start[start] = line
        return line

    def message(self, line: _Line) -> _Line:
        """The line itself, or for a header the first informative line of its message."""
        if _CMAKE_HEADER.match(line.text):
            first = next((place for place in self._next_lines(line) if place.text), line)
            return (
                self._missing_package_line(first)
                if self._indent(first) > self._indent(line)
                else line
            )
        if _EXCEPTION_HEADER.match(line.text):
            return next(
                (place for place in self._next_lines(line) if not _is_uninformative(place.text)),
                line,
            )
        return line

    def _next_lines(self, line: _Line) -> Iterator[_Line]:
        """The next few lines."""
        for _ in range(_MAX_LINES_BETWEEN):
            if line.end >= len(self.text):
                return
            line = self.line_at(line.end + 1)
            yield line

    def _missing_package_line(self, line: _Line) -> _Line:
        """For CMake's message that a package is missing, the earlier message of pkg-config.

        FindPkgConfig.cmake prints the missing package while it searches, and fails at the end.
        """
        if not line.text.startswith(_CMAKE_NO_PACKAGE):
            return line
        starts = [start for word in _PKG_CONFIG for start in self._line_starts(word)]
        before = max((start for start in starts if start < line.start), default=line.start)
        return self.line_at(before)

    def is_quoted(self, line: _Line) -> bool:
        """Whether a line is quoted source, or a message about it."""
        if _QUOTED_WITH_BAR.match(line.text) or _COMPILER_DIAGNOSTIC.match(line.text):
            return True
        return line.start > 0 and bool(
            _TRACEBACK_FRAME.match(self.line_at(self.text.rfind("\n", 0, line.start - 1) + 1).text)
        )

    def _indent(self, line: _Line) -> int:
        return self.text.find(line.text[:1], line.start) - line.start

    def _line_starts(self, word: str) -> list[int]:
        """The offsets of the lines that contain a word."""
        starts = self._starts_by_literal.get(word)
        if starts is None:
            starts = self._starts_by_literal[word] = list(_find_line_starts(self.text, word))
        return starts


def _find_line_starts(text: str, word: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield text.rfind("\n", 0, place) + 1
        end = text.find("\n", place)
        place = text.find(word, end) if end >= 0 else -1


def _last_informative_line(text: str, *, include_uninformative: bool) -> str:
    """The last informative line, or the last line of any kind that the build printed."""
    for line in reversed(text.split("\n")):
        candidate = line[:_EXAMINED_CHARS].strip()
        if (
            candidate
            and not candidate.startswith(_PHASE_PREFIX)
            and (include_uninformative or not _is_uninformative(candidate))
        ):
            return candidate[:_MAX_LINE_CHARS]
    return ""


def _is_uninformative(text: str) -> bool:
    return _UNINFORMATIVE.search(text) is not None


def _to_plain_text(tail: bytes) -> str:
    text = tail.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text) if "\x1b" in text else text)
