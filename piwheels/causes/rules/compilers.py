"""Lines of compilers: C, C++, Fortran, Cython, SWIG and assemblers."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import NO_SUCH_FILE, Rank, rule
from piwheels.model import FailureClass as C

_QUOTE = r"['\"`‘’“”]"
_PLACE = (
    r"^(?:\S+?:\d+(?::\d+)?|\S+\(\d+\)|<[\w-]+>|cc1\w*|(?:\S*/)?(?:\w+-)*(?:cc|[cg]\+\+|gcc"
    r"|clang|clang\+\+|gfortran|nvcc)(?:-[\d.]+)?): ?"
)
_CYTHON_HEADER = "Error compiling Cython file"
#: Parts of the C API; those of Python 2 begin in the same way.
_C_API = rf"{_QUOTE}(?:struct )?(?:_?Py[A-Z_]\w*|_Py_\w+|_is|_ts|_frame|_longobject|PyObject)\b"

RULES = (
    rule(
        "header",
        ("fatal error: ",),
        rf"fatal error: {_QUOTE}?(?P<name>[^\s:'‘\"]+){_QUOTE}?(?:: No such file| file not found)",
        C.MISSING_PACKAGE,
        kind=MissingKind.HEADER,
        weight=0,
    ),
    rule(
        "header-error",
        (": No such file or directory", "ile not found"),
        r"^\S+?:\d+:(?:\d+:)? (?:error: )?(?P<name>[\w./+-]+\.h(?:h|pp|xx)?): No such file or dir",
        C.MISSING_PACKAGE,
        kind=MissingKind.HEADER,
        weight=0,
    ),
    rule(
        "fortran-include",
        ("annot open included file", "annot open module file"),
        rf"Cannot open (?:included file|module file) {_QUOTE}(?P<name>[^'’\"]+)",
        C.MISSING_PACKAGE,
        kind=MissingKind.HEADER,
        weight=0,
    ),
    rule(
        "swig-include",
        "Unable to find ",
        r"^\S+:\d+: (?:Error: )?Unable to find '(?P<name>[^']+)'",
        C.MISSING_PACKAGE,
        kind=MissingKind.HEADER,
        weight=0,
    ),
    rule(
        "source-missing",
        NO_SUCH_FILE,
        r"^(?:cc1\w*|(?:\S*/)?(?:\w+-)*(?:cc|[cg]\+\+|gcc|clang|clang\+\+|gfortran)(?:-[\d.]+)?|"
        r"\S*(?:clang|cc1)\S*): (?:fatal )?error: (?:no such file or directory: )?"
        r"'?(?P<name>[^\s:']+)'?(?:: No such file|$)",
        C.BAD_SDIST,
        kind=MissingKind.FILE,
        weight=0,
    ),
    rule(
        "c-api",
        "rror: ",
        _PLACE + r"(?:fatal )?error: .*" + _C_API,
        C.PYTHON_TOO_NEW,
        weight=2,
    ),
    # setup.py passed what a shell said to the compiler: "/bin/sh: 1: PROGRAM: not found".
    rule(
        "shell-not-found-as-argument",
        ":: linker input file not found",
        r": error: (?P<name>[A-Za-z_][\w.+-]*):: linker input file not found",
        C.MISSING_PACKAGE,
        kind=MissingKind.PROGRAM,
        weight=0,
    ),
    rule(
        "source-error",
        "rror: ",
        _PLACE + r"(?:fatal |catastrophic )?error: (?!ld returned|linker command|no input files)",
        C.COMPILER_ERROR,
        weight=3,
    ),
    rule(
        "assembler-error",
        "Error: ",
        r"^\S+\.\w+:\d+: Error: |^\{standard input\}:\d+: Error: ",
        C.COMPILER_ERROR,
        weight=3,
    ),
    rule(
        "fortran-error",
        "Error: ",
        r"^(?:Fatal )?Error: .*(?:\(\d\)|at \(1\))",
        C.COMPILER_ERROR,
        weight=3,
    ),
    rule(
        "cython-numpy",
        (".pxd' not found",),
        r"'numpy(?:\.pxd|/\S+)' not found",
        C.UNDECLARED_REQUIREMENT,
        kind=MissingKind.MODULE,
        subject="numpy",
        weight=1,
        context=_CYTHON_HEADER,
    ),
    rule(
        "cython-definitions",
        (".pxd' not found", ".pxi' not found"),
        r":\d+:\d+: '(?P<name>[^']+\.px[di])' not found",
        C.BAD_SDIST,
        kind=MissingKind.FILE,
        weight=1,
        context=_CYTHON_HEADER,
    ),
    rule(
        "cython-error",
        (".pyx:", ".pxd:", ".pxi:", ".py:"),
        r"^[^\s:]+\.(?:pyx|pxd|pxi|py):\d+:\d+: (?!warning)",
        C.TOOLS_TOO_NEW,
        weight=2,
        context=_CYTHON_HEADER,
    ),
    rule(
        "cython-compile-error",
        "CompileError: ",
        r"^Cython\.Compiler\.Errors\.CompileError: ",
        C.TOOLS_TOO_NEW,
        Rank.CONSEQUENCE,
        weight=4,
    ),
)
