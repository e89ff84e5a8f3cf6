"""What it means that a header, a file, a library or a program was not found."""

import re

from piwheels.causes.context import Context, Judgment, one_missing
from piwheels.causes.findings import Finding
from piwheels.causes.header_names import FOREIGN_HEADERS, GENERIC_HEADERS, PRIVATE_PYTHON_HEADERS
from piwheels.causes.log_text import Line, PlainLog
from piwheels.causes.missing import CYTHON, Missing, MissingKind
from piwheels.causes.rule import Rank
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
_CARGO = re.compile(r"[Cc]argo, the|edition|lock file|version of Cargo|\bcargo\b")
#: The file with the result of a build backend, which pip reads when the backend has ended.
_BACKEND_RESULT = "output.json"
#: Where pip unpacks an sdist.
_BUILD_DIR = re.compile(r"^.*/pip-[\w-]+-[a-z0-9_]{8}/(?:[\w.-]+-\d[\w.]*/)?")


def judge_header(context: Context, finding: Finding) -> Judgment:
    """A header: of the system, of Python, or of the project itself."""
    name = finding.name
    bare = name.rpartition("/")[2]
    if bare in FOREIGN_HEADERS:
        return one_missing(finding, C.COMPILER_ERROR, MissingKind.HEADER, name)
    if bare == "longintrepr.h" and _is_included_by_cython(context.log, finding.line):
        return Judgment(C.PYTHON_TOO_NEW, (CYTHON,), finding.line)
    if bare in PRIVATE_PYTHON_HEADERS or bare.startswith("pycore_"):
        return one_missing(finding, C.PYTHON_TOO_NEW, MissingKind.HEADER, name)
    if name.startswith("numpy/"):
        return one_missing(finding, C.UNDECLARED_REQUIREMENT, MissingKind.MODULE, "numpy")
    missing = Missing(MissingKind.HEADER, name)
    if _is_source_of_cython(context.log, finding):
        return Judgment(C.TOOLS_TOO_NEW, (), finding.line)
    if _is_own_header(context, finding, missing):
        return one_missing(finding, C.BAD_SDIST, MissingKind.FILE, name)
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


def _is_source_of_cython(log: PlainLog, finding: Finding) -> bool:
    """Whether only `# distutils: sources` of a .pyx file names it, which Cython 0.29 did not read."""
    is_source = finding.line.text.startswith("cc1") and finding.name.startswith("../")
    return is_source and "] Cythonizing " in log.text


def _is_included_by_cython(log: PlainLog, line: Line) -> bool:
    """Whether a file of an old Cython includes it: indented, in the branch of an #if."""
    return any('|   #include "' in following.text for following in log.after(line, 1))


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


def judge_file(context: Context, finding: Finding) -> Judgment:
    """A file that Python did not find: of the sdist, or a program that it tried to start."""
    name = finding.name
    bare = name.rpartition("/")[2]
    if bare == _BACKEND_RESULT:
        return Judgment(C.NO_WHEEL, (), finding.line)
    if _is_program(context.log, finding):
        return judge_program(context, finding)
    if name.startswith("/usr/include/"):
        header = name.removeprefix("/usr/include/")
        return one_missing(finding, C.MISSING_PACKAGE, MissingKind.HEADER, header)
    if name.startswith("/usr/") and (".so" in bare or bare.endswith(".a")):
        return one_missing(finding, C.MISSING_PACKAGE, MissingKind.LIBRARY, library_name(bare))
    return one_missing(finding, C.BAD_SDIST, MissingKind.FILE, _BUILD_DIR.sub("", name))


def _is_program(log: PlainLog, finding: Finding) -> bool:
    name = finding.name
    traceback = traceback_above(log, finding.line)
    if traceback is not None and "subprocess.py" in traceback.frames:
        return True
    if name in COMPILERS or name.endswith(("-config", "_config")):
        return True
    is_plain = "/" not in name and "." not in name and bool(name) and name == name.lower()
    return traceback is None and is_plain and not _DOCUMENT.match(name)


def judge_program(_: Context, finding: Finding) -> Judgment:
    """A program that could not be started."""
    bare = finding.name.rpartition("/")[2]
    name = _PROGRAM_ALIASES.get(finding.name, _PROGRAM_ALIASES.get(bare, bare))
    failure_class = C.MISSING_TOOLCHAIN if name in COMPILERS else C.MISSING_PACKAGE
    return one_missing(finding, failure_class, MissingKind.PROGRAM, name)


def judge_compiler(_: Context, finding: Finding) -> Judgment:
    """No compiler, or one that does not work."""
    language = finding.match.groupdict().get("language") or ""
    text = finding.line.text
    name = "gfortran" if language == "Fortran" or "ortran" in text else ""
    name = name or ("g++" if language == "CXX" or "C++" in text else "gcc")
    return one_missing(finding, C.MISSING_TOOLCHAIN, MissingKind.PROGRAM, name)


def judge_rust(_: Context, finding: Finding) -> Judgment:
    """No Rust, or one that is too old."""
    name = "cargo" if _CARGO.search(finding.line.text) else "rustc"
    return one_missing(finding, C.MISSING_TOOLCHAIN, MissingKind.PROGRAM, name)


def judge_library(context: Context, finding: Finding) -> Judgment:
    """A library that the linker, or Python, did not find."""
    missing = Missing(MissingKind.LIBRARY, finding.name)
    return Judgment(C.MISSING_PACKAGE, (missing, *_others(context, finding)), finding.line)


def library_name(file: str) -> str:
    """The name of a library as it is linked: xml2 for libxml2.so.2."""
    match = _SHARED_OBJECT.match(file)
    return match["name"] if match else file


def judge_cmake_module(_: Context, finding: Finding) -> Judgment:
    """What find_package() of CMake did not find."""
    name = finding.name
    if f"{name.upper()}_EXECUTABLE" in finding.line.text.upper():
        return one_missing(finding, C.MISSING_PACKAGE, MissingKind.PROGRAM, name.lower())
    return one_missing(finding, C.MISSING_PACKAGE, MissingKind.CMAKE, name)


def judge_meson_version(_: Context, finding: Finding) -> Judgment:
    """A Meson that is too old, or too new."""
    failure_class = C.TOOLS_TOO_NEW if finding.version.startswith("<") else C.MISSING_TOOLCHAIN
    return one_missing(finding, failure_class, MissingKind.PROGRAM, "meson")
