"""What a finding means: the class of the failure, and what was missing.

For most rules that is in the rule itself; for headers, files, modules and requirements it depends
on what is missing and on the lines around.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from piwheels.causes import python_names
from piwheels.causes.findings import Finding
from piwheels.causes.header_names import FOREIGN_HEADERS, GENERIC_HEADERS, PRIVATE_PYTHON_HEADERS
from piwheels.causes.hollow import is_hollow
from piwheels.causes.log_text import Line, PlainLog
from piwheels.causes.missing import SYSTEM_KINDS, Missing, MissingKind, PackageLookup
from piwheels.causes.rule import Rank
from piwheels.causes.rules import network
from piwheels.causes.rules.prose import named_in, software_in
from piwheels.causes.tracebacks import traceback_above
from piwheels.model import FailureClass as C

COMPILERS = frozenset(
    """
    cc gcc g++ c++ clang clang++ c99 cpp ld as ar ranlib rustc cargo rustup f77 f95 gfortran flang
    """.split()  # noqa: SIM905 - a table is read more easily
) | {
    f"{triplet}-{program}"
    for triplet in (
        "x86_64-linux-gnu",
        "aarch64-linux-gnu",
        "arm-linux-gnueabihf",
        "riscv64-linux-gnu",
    )
    for program in ("gcc", "g++", "gfortran")
}
_PROGRAM_ALIASES = {
    "Unix Makefiles": "make", "Ninja": "ninja", "CMake": "cmake", "SWIG": "swig", "Java": "java",
    "Bison": "bison", "FLEX": "flex", "Flex": "flex", "Doxygen": "doxygen", "Perl": "perl",
    "NASM": "nasm", "Git": "git", "pkgconfig": "pkg-config", "Pkg-config": "pkg-config",
}  # fmt: skip
_DOCUMENT = re.compile(
    r"^(?:README|VERSION|LICEN[CS]E|CHANGE|HISTORY|AUTHORS|NEWS|MANIFEST|COPYING)"
)
_INCLUDED = re.compile(r"#\s*(?:include|import)(?:_next)?\s*([<\"])")
_SHARED_OBJECT = re.compile(r"^(?:lib)?(?P<name>.+?)(?:\.so[\d.]*|\.a)?$")
_PINNED = re.compile(r"===?\s*(?P<version>[\w.!+-]+)")
_IGNORED = re.compile(r"(?P<version>[\w.!+-]+) Requires-Python (?P<python>[^;]+)")
_CMAKE_HEADER = re.compile(r"CMake Error (?:at|in) .*:$")
_CMAKE_NO_PACKAGE = ("A required package was not found", "The following required packages were not")
_LISTED = re.compile(r"- (?P<name>[A-Za-z0-9][\w.+-]*)(?:[<>=]\S*)?$")
_EXCEPTION_HEADER = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit):?$")
_CARGO = re.compile(r"[Cc]argo, the|edition|lock file|version of Cargo|\bcargo\b")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?P<version>[^;]*)")
_URL = re.compile(r"(?:https?|git|ssh|ftp)://(?:[\w.-]+@)?(?P<host>[A-Za-z0-9][\w-]*(?:\.[\w-]+)+)")
_MAX_LINES_TO_URL = 40
#: The file with the result of a build backend, which pip reads when the backend has ended.
_BACKEND_RESULT = "output.json"
#: Where pip unpacks an sdist.
_BUILD_DIR = re.compile(r"^.*/pip-[\w-]+-[a-z0-9_]{8}/(?:[\w.-]+-\d[\w.]*/)?")
_MACROS_OF_PYTHON = re.compile(r"\bPy_(?:TYPE|SIZE|REFCNT)\b")
_PANIC_HEADER = re.compile(r"panicked at \S+:\d+:\d+:$")
_MAX_MESSAGE_LINES = 6
_IGNORED_LINES_BEFORE = 6
#: An index without these is no index: what it answered was something else.
_ON_EVERY_INDEX = frozenset({"setuptools", "wheel", "pip"})
_INDEX_WARNINGS = frozenset({"pip-retry", "index-html", "index-connection"})


@dataclass(frozen=True, slots=True)
class Context:
    """What a judgment depends on besides the finding."""

    log: PlainLog
    findings: Sequence[Finding]  # of the same step
    packages: PackageLookup | None
    project: str  # that is built, in lower case; "" if it is not known
    index_is_partial: bool  # shown as of a day: it may lack what every index has

    def candidates(self, missing: Missing) -> Sequence[str]:
        """The packages that have something; empty if that is not known."""
        if self.packages is None or missing.kind not in SYSTEM_KINDS:
            return ()
        bare = missing.name.removesuffix("-config").removesuffix("_config")
        for kind, name in (
            (missing.kind, missing.name),
            (MissingKind.SOFTWARE, missing.name),
            (MissingKind.PKG_CONFIG, bare),
        ):
            if found := self.packages.find_packages(kind, name):
                return found
        return ()


@dataclass(frozen=True, slots=True)
class Judgment:
    """The class of a failure, what was missing, and the line that tells."""

    failure_class: C
    missing: tuple[Missing, ...]
    line: Line


def judge(context: Context, finding: Finding) -> Judgment:
    """What a finding means."""
    return _JUDGES.get(finding.rule.name, _by_rule)(context, finding)


def _by_rule(context: Context, finding: Finding) -> Judgment:
    rule, name = finding.rule, finding.name
    if rule.failure_class is None:
        return _by_message(context, finding)
    missing = (Missing(rule.kind, name, finding.version),) if rule.kind and name else ()
    return Judgment(rule.failure_class, missing, finding.line)


def _one(finding: Finding, failure_class: C, kind: MissingKind, name: str) -> Judgment:
    return Judgment(failure_class, (Missing(kind, name, finding.version),), finding.line)


# --- headers and files ---


def _header(context: Context, finding: Finding) -> Judgment:
    name = finding.name
    bare = name.rpartition("/")[2]
    if bare in FOREIGN_HEADERS:
        return _one(finding, C.COMPILER_ERROR, MissingKind.HEADER, name)
    if bare in PRIVATE_PYTHON_HEADERS or bare.startswith("pycore_"):
        return _one(finding, C.PYTHON_TOO_NEW, MissingKind.HEADER, name)
    if name.startswith("numpy/"):
        return _one(finding, C.UNDECLARED_REQUIREMENT, MissingKind.MODULE, "numpy")
    missing = Missing(MissingKind.HEADER, name)
    if _is_own_header(context, finding, missing):
        return _one(finding, C.BAD_SDIST, MissingKind.FILE, name)
    return Judgment(C.MISSING_PACKAGE, (missing, *_others(context, finding)), finding.line)


def _is_own_header(context: Context, finding: Finding, missing: Missing) -> bool:
    """Whether a header belongs to the project: its sdist lacks it."""
    name = missing.name
    if ".." in name or name.endswith((".c", ".cpp", ".cc", ".inc", ".inl", ".cxx")):
        return True
    if not _is_included_with_quotes(context.log, finding.line):
        return False
    if name in GENERIC_HEADERS:
        return True
    if context.packages is not None:
        return not context.candidates(missing)
    folder, _, _ = name.rpartition("/")
    source = finding.line.text.partition(":")[0].split("/")[:-1]
    own = {*source, context.project, context.project.replace("-", "_")} - {""}
    stem = name.rpartition("/")[2].partition(".")[0].lower()
    return bool(own & set(folder.split("/"))) or any(stem.startswith(word) for word in own)


def _is_included_with_quotes(log: PlainLog, line: Line) -> bool:
    for following in log.after(line, 3):
        if found := _INCLUDED.search(following.text):
            return found[1] == '"'
    return False


def _others(context: Context, finding: Finding) -> tuple[Missing, ...]:
    """What else the same step did not find: compilers that run in parallel each report one."""
    names = {
        Missing(rule.kind, other.name): None
        for other in context.findings
        if (rule := other.rule).kind and other.name and other.rank is Rank.ERROR
        if rule.kind in {MissingKind.HEADER, MissingKind.LIBRARY}
        if rule.failure_class is C.MISSING_PACKAGE and other.name != finding.name
        if other.name not in FOREIGN_HEADERS
    }
    return tuple(names)[:10]


def _file(context: Context, finding: Finding) -> Judgment:
    """A file that Python did not find: of the sdist, or a program that it tried to start."""
    name = finding.name
    bare = name.rpartition("/")[2]
    if bare == _BACKEND_RESULT:
        return Judgment(C.NO_WHEEL, (), finding.line)
    if _is_program(context.log, finding):
        return _program(context, finding)
    if name.startswith("/usr/include/"):
        header = name.removeprefix("/usr/include/")
        return _one(finding, C.MISSING_PACKAGE, MissingKind.HEADER, header)
    if name.startswith("/usr/") and (".so" in bare or bare.endswith(".a")):
        return _one(finding, C.MISSING_PACKAGE, MissingKind.LIBRARY, library_name(bare))
    return _one(finding, C.BAD_SDIST, MissingKind.FILE, _BUILD_DIR.sub("", name))


def _is_program(log: PlainLog, finding: Finding) -> bool:
    name = finding.name
    traceback = traceback_above(log, finding.line)
    if traceback is not None and "subprocess.py" in traceback.frames:
        return True
    if name in COMPILERS or name.endswith(("-config", "_config")):
        return True
    is_plain = "/" not in name and "." not in name and bool(name) and name == name.lower()
    return traceback is None and is_plain and not _DOCUMENT.match(name)


def _program(_: Context, finding: Finding) -> Judgment:
    bare = finding.name.rpartition("/")[2]
    name = _PROGRAM_ALIASES.get(finding.name, _PROGRAM_ALIASES.get(bare, bare))
    failure_class = C.MISSING_TOOLCHAIN if name in COMPILERS else C.MISSING_PACKAGE
    return _one(finding, failure_class, MissingKind.PROGRAM, name)


def _compiler(_: Context, finding: Finding) -> Judgment:
    language = finding.match.groupdict().get("language") or ""
    text = finding.line.text
    name = "gfortran" if language == "Fortran" or "ortran" in text else ""
    name = name or ("g++" if language == "CXX" or "C++" in text else "gcc")
    return _one(finding, C.MISSING_TOOLCHAIN, MissingKind.PROGRAM, name)


def _rust(_: Context, finding: Finding) -> Judgment:
    name = "cargo" if _CARGO.search(finding.line.text) else "rustc"
    return _one(finding, C.MISSING_TOOLCHAIN, MissingKind.PROGRAM, name)


def _library(context: Context, finding: Finding) -> Judgment:
    missing = Missing(MissingKind.LIBRARY, finding.name)
    return Judgment(C.MISSING_PACKAGE, (missing, *_others(context, finding)), finding.line)


def library_name(file: str) -> str:
    """The name of a library as it is linked: xml2 for libxml2.so.2."""
    match = _SHARED_OBJECT.match(file)
    return match["name"] if match else file


# --- Python's modules ---


def _module(context: Context, finding: Finding) -> Judgment:
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
    return _one(finding, failure_class, MissingKind.MODULE, name)


def _host(context: Context, finding: Finding) -> Judgment:
    """A host that cannot be reached, as the line or the lines around it name it."""
    hosts = [finding.name] if finding.name else _hosts_near(context.log, finding.line)
    missing = tuple(Missing(MissingKind.HOST, host) for host in hosts[:1])
    return Judgment(C.NEEDS_NETWORK, missing, finding.line)


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
    failure_class = C.COMPILER_ERROR
    if "lvalue required" in finding.line.text:
        quoted = " ".join(line.text for line in context.log.after(finding.line, 3))
        failure_class = C.PYTHON_TOO_NEW if _MACROS_OF_PYTHON.search(quoted) else failure_class
    return Judgment(failure_class, (), finding.line)


def _cmake_module(_: Context, finding: Finding) -> Judgment:
    name = finding.name
    if f"{name.upper()}_EXECUTABLE" in finding.line.text.upper():
        return _one(finding, C.MISSING_PACKAGE, MissingKind.PROGRAM, name.lower())
    return _one(finding, C.MISSING_PACKAGE, MissingKind.CMAKE, name)


def _meson_version(_: Context, finding: Finding) -> Judgment:
    failure_class = C.TOOLS_TOO_NEW if finding.version.startswith("<") else C.MISSING_TOOLCHAIN
    return _one(finding, failure_class, MissingKind.PROGRAM, "meson")


def _module_part(context: Context, finding: Finding) -> Judgment:
    """A module that lacks a name: of Python itself, or of the tools."""
    top = finding.name.partition(".")[0]
    failure_class = C.TOOLS_TOO_NEW
    if python_names.is_stdlib(top) and top != "distutils":
        failure_class = C.PYTHON_TOO_NEW
    elif context.project and top.lower() == context.project.replace("-", "_"):
        failure_class = C.METADATA  # a version that setuptools reads from the project's module
    return Judgment(failure_class, (), finding.line)


# --- requirements ---


def _requirement(context: Context, finding: Finding) -> Judgment:
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


def _conflict(_: Context, finding: Finding) -> Judgment:
    return Judgment(C.BUILD_REQUIREMENT, _requirements(finding.name), finding.line)


def _ignored_line(log: PlainLog, line: Line) -> Line | None:
    for before in log.before(line, _IGNORED_LINES_BEFORE):
        if "Ignored the following versions that require a different python" in before.text:
            return before
    return None


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
    missing = _named(context, [each.text for each in lines[1:] or lines])
    return Judgment(C.MISSING_PACKAGE if missing else C.UNKNOWN, missing, line)


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
        return [line, *[each for each in log.after(line, 5) if not is_hollow(each.text)][:3]]
    return [line]


def _named(context: Context, texts: Sequence[str]) -> tuple[Missing, ...]:
    """The software that a message names as missing."""
    text = " ".join(texts)
    words = named_in(text)
    if words is None:
        return ()
    headers = [word for word in words if word.endswith((".h", ".hpp"))]
    if headers:
        return (Missing(MissingKind.HEADER, headers[0]),)
    if known := software_in(text):
        return known
    for word in words:
        for kind in (MissingKind.PKG_CONFIG, MissingKind.LIBRARY, MissingKind.HEADER):
            if kind is MissingKind.HEADER and "." not in word:
                continue
            missing = Missing(kind, library_name(word) if kind is MissingKind.LIBRARY else word)
            if context.packages and context.packages.find_packages(kind, missing.name):
                return (missing,)
    return ()


def _software(_: Context, finding: Finding) -> Judgment:
    return Judgment(C.MISSING_PACKAGE, software_in(finding.line.text), finding.line)


_NETWORK_RULES = [each.name for each in network.RULES if each.failure_class is C.NEEDS_NETWORK]

Judge = Callable[[Context, Finding], Judgment]

_JUDGES: Mapping[str, Judge] = {
    "header": _header,
    "header-error": _header,
    "fortran-include": _header,
    "swig-include": _header,
    "errno-2": _file,
    "errno-2-setuptools": _file,
    "command-failed-to-start": _program,
    "shell-not-found": _program,
    "make-not-found": _program,
    "env-not-found": _program,
    "exec-not-found": _program,
    "config-program": _program,
    "program-required": _program,
    "meson-program": _program,
    "cmake-no-build-program": _program,
    "no-compiler": _compiler,
    "no-rust": _rust,
    "rust-too-old": _rust,
    "library": _library,
    "shared-object": _library,
    "no-module": _module,
    "no-module-of-python": _module,
    "cannot-import": _module_part,
    "module-attribute": _module_part,
    "no-matching-distribution": _requirement,
    "no-version": _requirement,
    "software": _software,
    "conflict": _conflict,
    "source-error": _source_error,
    "cmake-find-package": _cmake_module,
    "meson-too-old": _meson_version,
    **dict.fromkeys(_NETWORK_RULES, _host),
}
