"""What it means that a module of Python or a build requirement is missing."""

import re

from piwheels.causes import python_names
from piwheels.causes.context import Context, Judgment, one_missing
from piwheels.causes.findings import Finding
from piwheels.causes.log_text import Line, PlainLog
from piwheels.causes.missing import Missing, MissingKind
from piwheels.model import FailureClass as C

_PINNED = re.compile(r"===?\s*(?P<version>[\w.!+-]+)")
_IGNORED = re.compile(r"(?P<version>[\w.!+-]+) Requires-Python (?P<python>[^;]+)")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?P<version>[^;]*)")
_IGNORED_LINES_BEFORE = 6
#: An index without these is no index: what it answered was something else.
_ON_EVERY_INDEX = frozenset({"setuptools", "wheel", "pip"})
_INDEX_WARNINGS = frozenset({"pip-retry", "index-html", "index-connection"})


def judge_module(context: Context, finding: Finding) -> Judgment:
    """A module that is not installed: removed from Python, or of another project."""
    name = finding.name
    top, _, rest = name.partition(".")
    failure_class = C.UNDECLARED_REQUIREMENT
    if name.startswith("numpy.distutils") or (top == "distutils" and not rest):
        failure_class = C.PYTHON_TOO_NEW
    elif (
        top == "pkg_resources"
        or (top in python_names.SETUPTOOLS_MODULES and rest)
        or (top in {"pip", "Cython", "wheel", "numpy"} and rest)
    ):
        failure_class = C.TOOLS_TOO_NEW
    elif python_names.is_removed_module(name):
        failure_class = C.PYTHON_TOO_NEW
    elif context.project and top.lower() == context.project.replace("-", "_"):
        failure_class = C.BAD_SDIST
    return one_missing(finding, failure_class, MissingKind.MODULE, name)


def judge_module_part(context: Context, finding: Finding) -> Judgment:
    """A module that lacks a name: of Python itself, or of the tools."""
    top = finding.name.partition(".")[0]
    failure_class = C.TOOLS_TOO_NEW
    if python_names.is_stdlib(top) and top != "distutils":
        failure_class = C.PYTHON_TOO_NEW
    elif context.project and top.lower() == context.project.replace("-", "_"):
        failure_class = C.METADATA  # a version that setuptools reads from the project's module
    return Judgment(failure_class, (), finding.line)


def judge_requirement(context: Context, finding: Finding) -> Judgment:
    """A requirement that pip cannot satisfy: the index was faulty, or has no such version."""
    name = finding.name.partition(" (from")[0].strip()
    missing = _requirements(name)
    retries = [other for other in context.findings if other.rule.name in _INDEX_WARNINGS]
    if retries:
        return Judgment(C.INDEX_FAULT, (), retries[0].line)
    if (
        missing
        and not context.index_is_partial
        and missing[0].name in _ON_EVERY_INDEX
        and "from versions: none" in _around(context.log, finding.line)
    ):
        return Judgment(C.INDEX_FAULT, (), finding.line)
    ignored = _ignored_line(context.log, finding.line)
    if ignored is None:
        return Judgment(C.BUILD_REQUIREMENT, missing, finding.line)
    pinned = _PINNED.search(name)
    versions = {found["version"]: found["python"] for found in _IGNORED.finditer(ignored.text)}
    # pip does not tell of which project the versions are: only the very version is a sign.
    python = versions.get(pinned["version"]) if pinned else None
    if python is None:
        return Judgment(C.BUILD_REQUIREMENT, missing, finding.line)
    is_too_new = "<" in python or "!=" in python
    return Judgment(C.PYTHON_TOO_NEW if is_too_new else C.BUILD_REQUIREMENT, missing, ignored)


def _around(log: PlainLog, line: Line) -> str:
    return " ".join(each.text for each in (line, *log.before(line, 1)))


def _requirements(text: str) -> tuple[Missing, ...]:
    match = _REQUIREMENT.match(text)
    if match is None:
        return ()
    return (Missing(MissingKind.REQUIREMENT, match["name"], match["version"].strip()),)


def judge_conflict(_: Context, finding: Finding) -> Judgment:
    """Requirements that contradict each other."""
    return Judgment(C.BUILD_REQUIREMENT, _requirements(finding.name), finding.line)


def _ignored_line(log: PlainLog, line: Line) -> Line | None:
    for before in log.before(line, _IGNORED_LINES_BEFORE):
        if "Ignored the following versions that require a different python" in before.text:
            return before
    return None
