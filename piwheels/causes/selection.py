"""Which of the findings is the cause of the failure.

A log is a sequence of steps. What was printed before a step succeeded, or before the build said
that it does without, is not the cause. In the last step with findings, an error of a tool wins over
an exception that only reports it, and an exception of the project over lines before it.
"""

import re
from collections.abc import Sequence

from piwheels.causes.findings import Finding, lightest, of_rank
from piwheels.causes.log_text import PlainLog
from piwheels.causes.rule import Rank
from piwheels.causes.rules.prose import named_in
from piwheels.causes.tracebacks import traceback_above

#: Lines after which what was printed before does not matter any more.
_RESET_WORDS = ("finished with status 'done'", "... done", "extension", "xtensions", "ure Python",
                "ure-Python", "ithout ", "optional", "speedups", "fall", "removing: _configtest")  # fmt: skip
_RESET = re.compile(
    r"finished with status 'done'|^(?:Installing|Getting|Preparing|Building) .* \.\.\. done$"
    r"|building extension ['\"].*['\"] failed"
    r"|(?:WARNING|[Ww]arning|\*\*\*).*(?:[Ee]xtension|speedup|module).*(?:could not be (?:compiled|built)"
    r"|failed|not be built|cannot be built|skipp|disabled|not enabled)"
    r"|[Tt]he C extension could not be (?:compiled|built)|[Ss]peedups are not enabled"
    r"|[Rr]etrying .*without|(?:[Ff]alling|[Ff]all) back (?:to|on)|[Pp]lain-[Pp]ython build"
    r"|[Pp]ure[- ][Pp]ython (?:build|version|implementation|fallback|mode)"
    r"|(?:[Cc]ontinuing|[Pp]roceeding|[Bb]uilding|[Ii]nstalling) without|[Ss]kipping (?:the )?"
    r"(?:optional|build of|extension|C extension)|removing: _configtest"
)
#: How setuptools reports that a compiler failed.
_COMMAND_FAILED = ("error: command '", "error: Command '[")
_COMMAND = re.compile(
    r"(?:\S*/)?(?:ccache )?(?:[\w.]+-)*(?:cc|c\+\+|gcc|g\+\+|clang|clang\+\+|gfortran|f95|swig|nvcc)"
    r"(?:-[\d.]+)? "
)
_MAX_COMMANDS = 50
#: Exceptions that show that the output of a program is not as expected.
_SWALLOWED = re.compile(
    r"IndexError|KeyError|TypeError|UnboundLocalError|ValueError: (?:not enough values|need more"
    r"|too many values|invalid literal|could not convert)|AttributeError: 'NoneType'"
    r"|AssertionError|json\.decoder"
)
_LINES_BEFORE_SWALLOWED = 30
#: What exceptions say that only report an error of a tool.
_REPORTS_ERROR = re.compile(
    r"fail|compil|build|exit|status|error(?!:)|returned|abort|cmake|\bmake\b|meson|ninja|install|^\w+$",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit): ")
_IMPORT_ERROR = re.compile(r"(?:ModuleNotFound|Import)Error: ")


def select(log: PlainLog, findings: Sequence[Finding]) -> Finding | None:
    """The finding that tells the cause; None if no line does."""
    step = last_step(log, findings)
    if precise := of_rank(step, Rank.PRECISE):
        return lightest(precise)
    failures = of_rank(step, Rank.ERROR, Rank.EXCEPTION)
    if not failures:
        rest = of_rank(step, Rank.HINT) or step
        return lightest(rest) if rest else None
    last = failures[-1]
    if last.rank is Rank.ERROR:
        return _tool_error(log, of_rank(step, Rank.ERROR))
    return _exception(log, step, last)


def last_step(log: PlainLog, findings: Sequence[Finding]) -> list[Finding]:
    """The findings of the last step that has any."""
    steps: list[list[Finding]] = [[]]
    resets = _resets(log)
    for finding in findings:
        while resets and resets[0] <= finding.line.start:
            if resets.pop(0) >= 0 and steps[-1]:
                steps.append([])
        steps[-1].append(finding)
    return next((step for step in reversed(steps) if step), [])


def _resets(log: PlainLog) -> list[int]:
    return [
        start
        for start in log.starts(_RESET_WORDS, 2000)
        if _RESET.search(log.line_at(start).text) and not log.is_quoted(log.line_at(start))
    ]


def _tool_error(log: PlainLog, errors: Sequence[Finding]) -> Finding:
    """The error of the command that setuptools says failed, or else the first of the step."""
    anchor = max(log.text.rfind(words) for words in _COMMAND_FAILED)
    if anchor >= errors[-1].line.start:
        start = _last_command(log, anchor, errors[0].line.start)
        own = [error for error in errors if error.line.start >= start]
        return lightest(own or errors)
    return lightest(errors)


def _last_command(log: PlainLog, before: int, earliest: int) -> int:
    """The offset of the last command of a compiler before a place; 0 if there is none."""
    place = before
    for _ in range(_MAX_COMMANDS):
        place = max(log.text.rfind(word, earliest, place) for word in (" -c ", " -shared ", " -o "))
        if place < 0:
            return 0
        start = log.text.rfind("\n", 0, place) + 1
        if _COMMAND.match(log.line_at(start).text):
            return start
    return 0


def _exception(log: PlainLog, step: Sequence[Finding], last: Finding) -> Finding:
    original = _original_of(log, step, last)
    before = [finding for finding in step if finding.line.start < original.line.start]
    reports_error = _only_reports_error(original)
    if reports_error and (errors := of_rank(before, Rank.ERROR)):
        return _tool_error(log, errors)
    if reports_error or _SWALLOWED.match(original.line.text):
        return _hint_above(log, before, original) or original
    return original


def _only_reports_error(finding: Finding) -> bool:
    """Whether an exception only says that something failed."""
    message = finding.line.text.partition(": ")[2] or "error"
    return (
        finding.rule.failure_class is None
        and finding.rule.kind is None
        and bool(_REPORTS_ERROR.search(message))
        and named_in(message) is None
    )


def _hint_above(log: PlainLog, before: Sequence[Finding], exception: Finding) -> Finding | None:
    """A line just above a traceback that tells why the output of a program was not as expected."""
    traceback = traceback_above(log, exception.line)
    start = traceback.start if traceback else exception.line.start
    above = list(log.telling_before(log.line_at(start), _LINES_BEFORE_SWALLOWED))
    earliest = above[-1].start if above else start
    near = [
        finding
        for finding in before
        if finding.rule.rank in {Rank.HINT, Rank.ERROR} and earliest <= finding.line.start < start
    ]
    return lightest(near) if near else None


def _original_of(log: PlainLog, step: Sequence[Finding], last: Finding) -> Finding:
    """The exception that a chain of exceptions began with, if it tells more than the last."""
    chain = [last]
    exceptions = [finding for finding in step if _is_exception(finding)]
    for finding in reversed(exceptions[: exceptions.index(last)]):
        traceback = traceback_above(log, chain[-1].line)
        if traceback is None or not traceback.chained:
            break
        if finding.line.start < traceback.start:
            chain.append(finding)
    return next((finding for finding in chain if _tells(finding, chain)), last)


def _is_exception(finding: Finding) -> bool:
    """Whether a line is an exception, also if a rule takes it as an error of a tool."""
    return finding.rank is Rank.EXCEPTION or (
        finding.rank is Rank.ERROR and _EXCEPTION.match(finding.line.text) is not None
    )


def _tells(finding: Finding, chain: Sequence[Finding]) -> bool:
    """Whether an exception of a chain, the last one first, tells the cause."""
    if finding.rule.failure_class is None and finding.rule.kind is None:
        return False
    if not _IMPORT_ERROR.match(finding.line.text):
        return True
    # A module that is imported only to handle an exception is not the cause.
    return all(_IMPORT_ERROR.match(other.line.text) for other in chain)
