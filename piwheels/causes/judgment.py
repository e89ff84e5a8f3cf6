"""What a finding means: the class of the failure, and what was missing.

For most rules that is in the rule itself; for headers, files, modules and requirements it depends
on what is missing and on the lines around.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from piwheels.causes import missing_files, missing_modules
from piwheels.causes.context import Context, Judgment
from piwheels.causes.downloaders import find_downloader
from piwheels.causes.findings import Finding
from piwheels.causes.log_text import Line, PlainLog
from piwheels.causes.missing import CYTHON, SYSTEM_KINDS, Missing, MissingKind
from piwheels.causes.rule import Rank
from piwheels.causes.rules import network
from piwheels.causes.rules.prose import named_in, software_in
from piwheels.causes.tracebacks import traceback_above
from piwheels.causes.uninformative_lines import is_uninformative
from piwheels.model import FailureClass as C

_CMAKE_HEADER = re.compile(r"CMake Error (?:at|in) .*:$")
_CMAKE_NO_PACKAGE = ("A required package was not found", "The following required packages were not")
_LISTED_WORDS = re.compile(r"\*\s+([\w+.-]+(?:, *[\w+.-]+)*)$")
_LISTED = re.compile(r"- (?P<name>[A-Za-z0-9][\w.+-]*)(?:[<>=]\S*)?$")
_EXCEPTION_HEADER = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit):?$")
_URL = re.compile(r"(?:https?|git|ssh|ftp)://(?:[\w.-]+@)?(?P<host>[A-Za-z0-9][\w-]*(?:\.[\w-]+)+)")
_MAX_LINES_TO_URL = 40
#: Other words of a message are names of libraries only by chance.
_LIBRARY_WORD = re.compile(r"lib\w|\w*[\d_+]")
_LINES_ABOVE_TRACEBACK = 15
#: Exceptions that show that an interface has changed.
_USED_WRONGLY = re.compile(r"(?:Attribute|Type|Name|Import)Error: ")
_FRAME_FILE = re.compile(r'^\s*File "([^"]+)", line \d+, in ', re.MULTILINE)
_FILE_OF_TOOLS = re.compile(
    r"/site-packages/(?:setuptools|pkg_resources|Cython|wheel|skbuild|mesonpy|hatchling|poetry|flit_core"
    r"|pbr|numpy/f2py)/|/_?distutils/"
)
_MAX_LINES_TO_FRAME = 120
_DOWNLOADS_SETUPTOOLS = re.compile(r"/(?:ez_setup|distribute_setup)\.py\"")
_MACROS_OF_PYTHON = re.compile(r"\bPy_(?:TYPE|SIZE|REFCNT)\b")
_PANIC_HEADER = re.compile(r"panicked at (?:\S+:\d+:\d+:|')$")
_MAX_MESSAGE_LINES = 6


def judge(context: Context, finding: Finding) -> Judgment:
    """What a finding means."""
    return _JUDGES.get(finding.rule.name, _by_rule)(context, finding)


def _by_rule(context: Context, finding: Finding) -> Judgment:
    rule, name = finding.rule, finding.name
    if rule.failure_class is None:
        return _by_message(context, finding)
    missing = (Missing(rule.kind, name, finding.version),) if rule.kind and name else ()
    return Judgment(rule.failure_class, missing, finding.line)


def _host(context: Context, finding: Finding) -> Judgment:
    """A host that cannot be reached, and the program that tried, as the lines around name them.

    Scripts that were common before pip download a setuptools if they do not find pkg_resources.
    """
    if _downloads_setuptools(context.log, finding.line):
        missing_module = Missing(MissingKind.MODULE, "pkg_resources")
        return Judgment(C.TOOLS_TOO_NEW, (missing_module,), finding.line)
    hosts = [finding.name] if finding.name else _hosts_near(context.log, finding.line)
    missing = [Missing(MissingKind.HOST, host) for host in hosts[:1]]
    if program := find_downloader(context.log, finding.line):
        missing.append(Missing(MissingKind.DOWNLOADER, program))
    return Judgment(C.NEEDS_NETWORK, tuple(missing), finding.line)


def _downloads_setuptools(log: PlainLog, line: Line) -> bool:
    frames = (*log.before(line, _MAX_LINES_TO_FRAME), *log.after(line, _MAX_LINES_TO_FRAME))
    return any(_DOWNLOADS_SETUPTOOLS.search(each.text) for each in frames)


def _hosts_near(log: PlainLog, line: Line) -> list[str]:
    near = [
        line,
        *log.telling_before(line, _MAX_LINES_TO_URL),
        *log.telling_after(line, _MAX_LINES_TO_URL),
    ]
    found = [match["host"] for each in near if (match := _URL.search(each.text))]
    return [host for host in found if not host.startswith("127.")]


def _source_error(context: Context, finding: Finding) -> Judgment:
    """An error in the source; macros of the C API that became functions are not assigned to."""
    if _is_generated_by_cython(context.log, finding.line):
        return _generated_source(context, finding)
    failure_class = C.COMPILER_ERROR
    if "lvalue required" in finding.line.text:
        quoted = " ".join(line.text for line in context.log.after(finding.line, 3))
        failure_class = C.PYTHON_TOO_NEW if _MACROS_OF_PYTHON.search(quoted) else failure_class
    return Judgment(failure_class, (), finding.line)


# --- messages ---


def _by_message(context: Context, finding: Finding) -> Judgment:
    """An error in the words of a project or a build system."""
    lines = _message_lines(context.log, finding.line)
    inner = [
        other
        for other in context.findings
        if other.line in lines[1:] and other.rule.failure_class is not None
    ]
    if inner:
        return judge(context, inner[0])
    line = next(iter(lines[1:]), lines[0]) if len(lines) > 1 else lines[0]
    if named := [match["name"] for each in lines if (match := _LISTED.match(each.text))]:
        missing = tuple(Missing(MissingKind.PKG_CONFIG, name) for name in named)
        return Judgment(C.MISSING_PACKAGE, missing, line)
    if line.text.startswith(_CMAKE_NO_PACKAGE):
        before = [
            other
            for other in context.findings
            if other.rule.name == "pc-not-found" and other.line.start < line.start
        ]
        if before:
            return judge(context, before[-1])
    missing = _named(context, [each.text for each in lines[1:] or lines], finding.line)
    if not missing and _is_raised_by_tools(context.log, finding.line):
        return Judgment(C.TOOLS_TOO_NEW, (), line)
    return Judgment(C.MISSING_PACKAGE if missing else C.UNKNOWN, missing, line)


def _is_raised_by_tools(log: PlainLog, line: Line) -> bool:
    """Whether an exception comes from code of build tools that the project uses in a wrong way."""
    traceback = traceback_above(log, line) if _USED_WRONGLY.match(line.text) else None
    if traceback is None:
        return False
    frames = _FRAME_FILE.findall(traceback.frames)
    return bool(frames) and _FILE_OF_TOOLS.search(frames[-1]) is not None


def _message_lines(log: PlainLog, line: Line) -> list[Line]:
    """A line, with the lines of the message that it heads."""
    if _CMAKE_HEADER.match(line.text):
        indent = log.indent(line)
        message: list[Line] = []
        for each in log.after(line, _MAX_MESSAGE_LINES + 2):
            if each.text and log.indent(each) <= indent:
                break
            if each.text:
                message.append(each)
        return [line, *message]
    if _EXCEPTION_HEADER.match(line.text) or _PANIC_HEADER.search(line.text):
        return [line, *[each for each in log.after(line, 5) if not is_uninformative(each.text)][:3]]
    return [line]


def _named(context: Context, texts: Sequence[str], line: Line) -> tuple[Missing, ...]:
    """The software that a message on a line names as missing."""
    text = " ".join(texts)
    words = named_in(text)
    if words is None:
        return ()
    headers = [word for word in words if word.endswith((".h", ".hpp"))]
    if headers:
        return (Missing(MissingKind.HEADER, headers[0]),)
    if known := software_in(text):
        return known
    return _found_missing_above(context, line) or _known_files(context, words)


def _found_missing_above(context: Context, line: Line) -> tuple[Missing, ...]:
    """What programs did not find just before an exception that does not name it."""
    traceback = traceback_above(context.log, line)
    if traceback is None:
        return ()
    near = list(context.log.before(context.log.line_at(traceback.start), _LINES_ABOVE_TRACEBACK))
    for hint in reversed(context.findings):
        if hint.rule.kind in SYSTEM_KINDS and hint.rank is Rank.HINT and hint.line in near:
            missing = judge(context, hint).missing
            if any(context.candidates(each) for each in missing):
                return missing
    return ()


def _known_files(context: Context, words: Sequence[str]) -> tuple[Missing, ...]:
    """The first word that is the name of a library, or of a file of one."""
    for word in words:
        for kind in (MissingKind.PKG_CONFIG, MissingKind.LIBRARY, MissingKind.HEADER):
            if kind is MissingKind.HEADER and "." not in word:
                continue
            if kind is MissingKind.LIBRARY and not _LIBRARY_WORD.match(word):
                continue
            missing = Missing(
                kind, missing_files.library_name(word) if kind is MissingKind.LIBRARY else word
            )
            if context.packages and context.packages.find_packages(kind, missing.name):
                return (missing,)
    return ()


def _c_api(context: Context, finding: Finding) -> Judgment:
    if _is_generated_by_cython(context.log, finding.line):
        return _generated_source(context, finding)
    return Judgment(C.PYTHON_TOO_NEW, (), finding.line)


def _is_generated_by_cython(log: PlainLog, line: Line) -> bool:
    near = (line, *log.before(line, 1), *log.after(line, 6))
    return any("__pyx_" in each.text or "__Pyx_" in each.text for each in near)


def _generated_source(_: Context, finding: Finding) -> Judgment:
    """An sdist with C files of an older Cython: a newer one may generate better ones."""
    return Judgment(C.PYTHON_TOO_NEW, (CYTHON,), finding.line)


def _required_packages(context: Context, finding: Finding) -> Judgment:
    """A list of what a project requires and did not find, on the next line."""
    for line in context.log.after(finding.line, 1):
        if words := _LISTED_WORDS.match(line.text):
            names = [name.strip() for name in words[1].split(",")]
            missing = tuple(Missing(MissingKind.SOFTWARE, name) for name in names if name)
            return Judgment(C.MISSING_PACKAGE, missing, line)
    return Judgment(C.MISSING_PACKAGE, (), finding.line)


def _software(_: Context, finding: Finding) -> Judgment:
    return Judgment(C.MISSING_PACKAGE, software_in(finding.line.text), finding.line)


_NETWORK_RULES = [each.name for each in network.RULES if each.failure_class is C.NEEDS_NETWORK]

Judge = Callable[[Context, Finding], Judgment]

_JUDGES: Mapping[str, Judge] = {
    "header": missing_files.judge_header,
    "header-error": missing_files.judge_header,
    "fortran-include": missing_files.judge_header,
    "swig-include": missing_files.judge_header,
    "errno-2": missing_files.judge_file,
    "errno-2-setuptools": missing_files.judge_file,
    "command-failed-to-start": missing_files.judge_program,
    "shell-not-found": missing_files.judge_program,
    "shell-not-found-as-argument": missing_files.judge_program,
    "make-not-found": missing_files.judge_program,
    "env-not-found": missing_files.judge_program,
    "exec-not-found": missing_files.judge_program,
    "config-program": missing_files.judge_program,
    "program-required": missing_files.judge_program,
    "meson-program": missing_files.judge_program,
    "cmake-no-build-program": missing_files.judge_program,
    "no-compiler": missing_files.judge_compiler,
    "no-rust": missing_files.judge_rust,
    "rust-too-old": missing_files.judge_rust,
    "library": missing_files.judge_library,
    "shared-object": missing_files.judge_library,
    "no-module": missing_modules.judge_module,
    "no-module-of-python": missing_modules.judge_module,
    "cannot-import": missing_modules.judge_module_part,
    "module-attribute": missing_modules.judge_module_part,
    "no-matching-distribution": missing_modules.judge_requirement,
    "no-version": missing_modules.judge_requirement,
    "software": _software,
    "required-packages": _required_packages,
    "conflict": missing_modules.judge_conflict,
    "c-api": _c_api,
    "source-error": _source_error,
    "cmake-find-package": missing_files.judge_cmake_module,
    "meson-too-old": missing_files.judge_meson_version,
    **dict.fromkeys(_NETWORK_RULES, _host),
}
