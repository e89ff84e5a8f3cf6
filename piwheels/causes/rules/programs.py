"""Lines about programs that are not installed, by the shells and tools that start them."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import NO_SUCH_FILE, Rank, rule
from piwheels.model import FailureClass as C

_PROGRAM = r"(?P<name>[A-Za-z0-9_][\w.+-]*)"

RULES = (
    rule(
        "no-compiler",
        (
            "o acceptable C compiler",
            "o acceptable C++",
            "compiler cannot create executables",
            "COMPILER could be found",
            "Unknown compiler(s)",
            "is not a full path to an existing compiler",
            "no C compiler",
            "o C compiler",
            "o acceptable Fortran",
            "o Fortran compiler",
            "o usable C",
            "CompilerNotFound",
            "cannot run C compiled",
            "linker `cc` not found",
            "linker `",
            "GCC is required",
            "C++ compiler",
            "C compiler",
        ),
        r"no acceptable (?:C|C\+\+|Fortran) compiler|compiler cannot create executables"
        r"|No CMAKE_(?P<language>\w+)_COMPILER could be found|Unknown compiler\(s\): "
        r"|CMAKE_\w+_COMPILER.* is not a full path|[Nn]o (?:usable |working )?(?:C|C\+\+|Fortran) "
        r"compiler|CompilerNotFound|linker `\w+` not found"
        r"|(?:C|C\+\+|Fortran) compiler (?:was |is )?(?:not found|not available|missing)",
        C.MISSING_TOOLCHAIN,
        weight=0,
    ),
    rule(
        "command-failed-to-start",
        ("failed: No such file or directory", "unable to execute '"),
        r"error: command '(?:\S*/)?(?P<name>[\w.+-]+)' failed: No such file or directory"
        r"|unable to execute '(?:\S*/)?(?P<name2>[\w.+-]+)': No such file",
        C.MISSING_PACKAGE,
        kind=MissingKind.PROGRAM,
        weight=0,
    ),
    rule(
        "shell-not-found",
        ("ot found", NO_SUCH_FILE),
        r"^(?:/?(?:usr/)?(?:bin/)?(?:ba|da|z|k)?sh|\S*/sh|\S+\.sh|\./\w+)(?:: line \d+|: \d+)?: "
        r"(?:\d+: )?(?:exec: )?(?:\S*/)?"
        + _PROGRAM
        + r": (?:command not found|not found|No such file or directory)$"
        r"|^(?:\S+: )?(?:line \d+: )?(?:\S*/)?(?P<name2>[\w.+-]+): command not found$",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PROGRAM,
        weight=2,
        prefer_last=True,
    ),
    rule(
        "make-not-found",
        (NO_SUCH_FILE, "ommand not found"),
        r"^(?:\S*make)(?:\[\d+\])?: (?:\S*/)?"
        + _PROGRAM
        + r": (?:No such file or directory|Command not found|Permission denied)$",
        C.MISSING_PACKAGE,
        Rank.ERROR,
        kind=MissingKind.PROGRAM,
        weight=1,
    ),
    rule(
        "env-not-found",
        NO_SUCH_FILE,
        r"^(?:/usr/bin/)?env: ['‘\"]?" + _PROGRAM + r"['’\"]?: No such file or directory",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PROGRAM,
        weight=1,
        prefer_last=True,
    ),
    rule(
        "exec-not-found",
        (
            'Cannot run program "',
            "Can't exec \"",
            "could not execute process `",
            "No such file or dir",
        ),
        r"Cannot run program \"(?P<name>[\w.+-]+)\"|Can't exec \"(?P<name2>[\w.+-]+)\""
        r"|could not execute process `(?:\S*/)?(?P<name3>[\w.+-]+)",
        C.MISSING_PACKAGE,
        Rank.ERROR,
        kind=MissingKind.PROGRAM,
        weight=2,
    ),
    rule(
        "config-program",
        ("-config", "_config"),
        r"\b(?P<name>(?!pkg-config)[A-Za-z][\w.]*[-_]config)\b['\"`]?(?: (?:executable|program"
        r"|script|command|utility))?,? (?:was |is |could |can )?(?:not|n't|missing)"
        r"|(?:[Cc]ould not|[Cc]an(?:not|'t)|[Uu]nable to|[Ff]ailed to|not) "
        r"(?:find|run|execute|locate|call|found|exec)\b.{0,40}?['\"`/ ]"
        r"(?P<name2>(?!pkg-config)[A-Za-z][\w.]*[-_]config)\b"
        r"|(?:[Pp]rovide|[Ss]pecify|[Ss]et) (?:a |the )?path (?:to|of) (?:the )?['\"`]?"
        r"(?P<name4>(?!pkg-config)[A-Za-z][\w.]*[-_]config)\b"
        r"|: ['\"]?(?P<name3>[A-Za-z][\w.]*[-_]config)['\"]?(?: not found|: command not found)",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PROGRAM,
        weight=3,
        prefer_last=True,
    ),
    rule(
        "java-home",
        "JAVA_HOME",
        r"(?:determine|find|locate|define|set|guess)\b.{0,30}JAVA_HOME|JAVA_HOME\b.{0,30}\b(?:not|must)\b",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PROGRAM,
        weight=5,
        subject="javac",
    ),
    rule(
        "no-mpi-compiler",
        "annot compile MPI",
        r"[Cc]annot compile MPI programs",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PROGRAM,
        weight=5,
        subject="mpicc",
    ),
    rule(
        "program-required",
        (
            "ot found",
            "ot find",
            "ot installed",
            "equired",
            "ust be installed",
            "nable to find",
            "o executable",
            "annot locate",
        ),
        r"\b(?P<name>swig|cmake|ninja|make|gmake|java|javac|bison|flex|autoreconf|automake|autoconf"
        r"|libtool|libtoolize|gperf|nasm|yasm|perl|patch|git|hg|svn|go|npm|node|nodejs|yarn"
        r"|protoc|msgfmt|xgettext|doxygen|pandoc|m4|meson|scons|bazel|qmake|sip|moc|unzip|wget|curl"
        r"|pkg-config|pkgconfig|ghostscript|R|mpicc|mpicxx|nvcc|help2man|re2c|ragel|gawk|bc"
        r"|CMake|SWIG|Ninja|Java|Bison|FLEX|Flex|Doxygen|Perl|NASM|Git)\b['\"`]?"
        r"(?: \S+)?(?: (?:executable|program|command|tool|binary|compiler))?,? (?:"
        r"(?:was |is |could |cannot |can )?(?:not|n't) (?:be )?(?:found|installed|available|on)"
        r"|must be installed|is required|not found|(?:is )?missing|executable not found)"
        r"|(?:[Cc]ould not|[Cc]an(?:not|'t)|[Uu]nable to) (?:find|locate|run) (?:an? |the |working )*"
        r"['\"`]?(?P<name2>swig|cmake|ninja|make|java|javac|bison|flex|autoreconf|automake"
        r"|autoconf|nasm|yasm|protoc|qmake|git|perl|mpicc|nvcc|CMake|SWIG|pkg-config|gfortran)\b",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PROGRAM,
        weight=4,
        prefer_last=True,
    ),
)
