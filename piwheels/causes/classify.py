"""Judges a failed build: by what was measured first, then by its log."""

import re
from collections.abc import Iterable, Sequence

from piwheels.causes.cause import Cause, Evidence, IndexRecord, Limit
from piwheels.causes.context import Context, Judgment
from piwheels.causes.findings import Finding, find_all
from piwheels.causes.judgment import judge
from piwheels.causes.log_text import Line, PlainLog, read_log
from piwheels.causes.missing import Missing, PackageLookup
from piwheels.causes.rule import Rank, Rule
from piwheels.causes.rules import RULES
from piwheels.causes.selection import last_step, select
from piwheels.causes.uninformative_lines import BUILDER_PREFIX, is_uninformative
from piwheels.model import FailureClass as C

_MAX_LINE_CHARS = 500
_MAX_LAST_LINES = 2000
_SIGKILL = 9
_CRASH_SIGNALS = frozenset({4, 5, 6, 7, 8, 11})
_CLASS_OF_LIMIT = {
    Limit.TIME: C.TIMED_OUT,
    Limit.MEMORY: C.OUT_OF_MEMORY,
    Limit.PROCESSES: C.LIMIT,
    Limit.DISK: C.DISK_FULL,
}
#: Classes that a fault of the index explains.
_INDEX_DEPENDENT = frozenset(
    {C.BUILD_REQUIREMENT, C.UNDECLARED_REQUIREMENT, C.NEEDS_NETWORK, C.INDEX_FAULT, C.UNKNOWN}
)
#: Classes that say of a build requirement that it cannot be built.
_OF_BUILD_REQUIREMENT = frozenset({C.COMPILER_ERROR, C.METADATA, C.UNKNOWN, C.BAD_SDIST})
_BY_SIGNAL_9 = frozenset({"compiler-killed", "killed-by-9"})
_REQUIREMENTS_FAILED = re.compile(
    r"(?:pip subprocess to install build dependencies|[Ii]nstalling build dependencies for \S+) "
    r"did not run successfully|when installing build dependencies"
)
_REQUIREMENTS_WORDS = ("did not run successfully", "when installing build dependencies")
_SUCCESS = re.compile(r"Successfully (?:built|installed) \S")
_PROJECT = re.compile(
    r"--- piwheels: (?P<name>\S+) \S+ for |Building wheels for collected packages: (?P<name2>[^\s,]+)$"
    r"|Processing (?:\S*/)?(?P<name3>[A-Za-z][\w.-]*?)-\d[\w.!+-]*\.(?:tar|zip)"
)
_PROJECT_WORDS = ("--- piwheels: ", "Building wheels for collected", "Processing ")


def classify(
    log: str, evidence: Evidence | None = None, packages: PackageLookup | None = None
) -> Cause:
    """Judge a build by its log and by what was measured; never raises.

    Args:
        log: the output of pip, or its end.
        evidence: facts besides the log; None if there are none.
        packages: which packages have what is missing.
    """
    return classify_with(RULES, log, evidence or Evidence(), packages)


def classify_with(
    rules: Iterable[Rule], log: str, evidence: Evidence, packages: PackageLookup | None
) -> Cause:
    """As `classify`, with other rules."""
    text = read_log(log)
    if _succeeded(text, evidence):
        return _without_failure(text, evidence)
    findings = find_all(text, [rule for rule in rules if _applies(rule, evidence)])
    step = last_step(text, findings)
    partial = evidence.index is not None and evidence.index.partial
    context = Context(text, step, packages, _project(text), partial)
    finding = select(text, findings)
    judgment = judge(context, finding) if finding else None
    line = judgment.line if judgment else _last_informative_line(text)
    failure_class = _failure_class(text, judgment, finding, evidence)
    missing = judgment.missing if judgment and failure_class is judgment.failure_class else ()
    repairable = missing if failure_class.lacks_packages else ()
    return Cause(
        failure_class=failure_class,
        missing=missing,
        packages=_packages(context, repairable, finding),
        line=line.text[:_MAX_LINE_CHARS] if line else "",
        line_number=text.line_number(line) if line and line.text else 0,
        evidence=evidence,
    )


def _applies(rule: Rule, evidence: Evidence) -> bool:
    """A text about the index proves nothing where the index is known to have been well."""
    index_was_well = evidence.index is not None and evidence.index.was_well
    return not (index_was_well and rule.failure_class is C.INDEX_FAULT)


def _succeeded(log: PlainLog, evidence: Evidence) -> bool:
    if evidence.exit_status is not None:
        return evidence.exit_status == 0 and evidence.limit is None
    if evidence.limit or evidence.signal:
        return False
    starts = log.starts(("Successfully ",), 10)
    succeeded = [start for start in starts if _SUCCESS.match(log.line_at(start).text)]
    return bool(succeeded) and "ERROR: " not in log.text[succeeded[-1] :]


def _without_failure(log: PlainLog, evidence: Evidence) -> Cause:
    wheels = evidence.wheels
    if wheels is None or len(wheels) == 1:
        return Cause(failure_class=None, evidence=evidence)
    line = _last_informative_line(log)
    return Cause(
        failure_class=C.SEVERAL_WHEELS if wheels else C.NO_WHEEL,
        line=line.text[:_MAX_LINE_CHARS] if line else "",
        line_number=log.line_number(line) if line else 0,
        evidence=evidence,
    )


# --- the class ---


def _failure_class(
    log: PlainLog, judgment: Judgment | None, finding: Finding | None, evidence: Evidence
) -> C:
    if measured := _measured_class(evidence):
        return measured
    told = judgment.failure_class if judgment else C.UNKNOWN
    if evidence.index is not None and told in _INDEX_DEPENDENT and not evidence.index.was_well:
        return _class_of_index(evidence.index)
    if finding and finding.rule.name in _BY_SIGNAL_9 and _had_memory_left(evidence):
        return C.KILLED
    if told is C.UNKNOWN and (signal := _signal(evidence)):
        return _class_of_signal(signal, evidence)
    if told in _OF_BUILD_REQUIREMENT and _requirements_failed(log):
        return C.BUILD_REQUIREMENT
    return told


def _measured_class(evidence: Evidence) -> C | None:
    """The class that the facts tell without the log; None if they tell none."""
    if evidence.limit is not None:
        return _CLASS_OF_LIMIT[evidence.limit]
    if evidence.out_of_memory_events:
        return C.OUT_OF_MEMORY
    if evidence.digest and evidence.expected_digest and evidence.digest != evidence.expected_digest:
        return C.DAMAGED_DOWNLOAD
    return None


def _signal(evidence: Evidence) -> int:
    if evidence.signal:
        return evidence.signal
    status = evidence.exit_status or 0
    return status - 128 if 128 < status < 160 else 0


def _class_of_index(index: IndexRecord) -> C:
    if index.faulty:
        return C.INDEX_FAULT
    return C.DAMAGED_DOWNLOAD if index.damaged else C.FILE_GONE


def _had_memory_left(evidence: Evidence) -> bool:
    """Whether it is known that a process was not killed for its memory."""
    peak, limit = evidence.peak_memory_bytes, evidence.memory_limit_bytes
    if evidence.out_of_memory_events is not None:
        return evidence.out_of_memory_events == 0
    return bool(peak and limit) and 2 * (peak or 0) < (limit or 0)


def _class_of_signal(signal: int, evidence: Evidence) -> C:
    if signal == _SIGKILL and not _had_memory_left(evidence):
        return C.OUT_OF_MEMORY
    return C.CRASHED if signal in _CRASH_SIGNALS else C.KILLED


def _requirements_failed(log: PlainLog) -> bool:
    """Whether what failed last is the installation of build requirements."""
    starts = log.starts(_REQUIREMENTS_WORDS, 200)
    lines = [log.line_at(start).text for start in starts]
    return bool(lines) and _REQUIREMENTS_FAILED.search(lines[-1]) is not None


# --- packages ---


def _packages(
    context: Context, missing: Sequence[Missing], finding: Finding | None
) -> tuple[str, ...]:
    """The first choice for each missing thing; for want of any, those of lines before it."""
    found = [context.candidates(each) for each in missing]
    names = dict.fromkeys(candidates[0] for candidates in found if candidates)
    if names or not missing or finding is None or context.packages is None:
        return tuple(names)
    before = [
        other
        for other in context.findings
        if other.rank is Rank.HINT and other.line.start < finding.line.start
    ]
    for other in reversed(before):
        hinted = [context.candidates(each) for each in judge(context, other).missing]
        if names := dict.fromkeys(candidates[0] for candidates in hinted if candidates):
            return tuple(names)
    return ()


# --- lines ---


def _last_informative_line(log: PlainLog) -> Line | None:
    """The last line that tells something, or the last one of any kind that the build printed."""
    fallback: Line | None = None
    for line in log.last_lines(_MAX_LAST_LINES):
        if not line.text or line.text.startswith(BUILDER_PREFIX):
            continue
        if not is_uninformative(line.text):
            return line
        fallback = fallback or line
    return fallback


def _project(log: PlainLog) -> str:
    """The name of the project that is built, in lower case; "" if the log does not tell."""
    for start in log.starts(_PROJECT_WORDS, 50):
        if match := _PROJECT.match(log.line_at(start).text):
            name = match["name"] or match["name2"] or match["name3"]
            return str(name).lower().replace("_", "-")
    return ""
