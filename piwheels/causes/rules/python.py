"""Lines of Python itself: exceptions, and what former versions of Python had."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.python_names import PYTHON2_BUILTINS
from piwheels.causes.rule import NO_SUCH_FILE, Rank, rule
from piwheels.model import FailureClass as C

_BUILTINS = "|".join(sorted(PYTHON2_BUILTINS))

RULES = (
    rule(
        "no-module",
        "No module named ",
        r"(?:ModuleNotFoundError|ImportError|[A-Z]\w*): .*?No module named ['\"]?(?P<name>[\w.]+)",
        C.UNDECLARED_REQUIREMENT,
        Rank.EXCEPTION,
        kind=MissingKind.MODULE,
        prefer_last=True,
    ),
    rule(
        "no-module-of-python",
        ": No module named ",
        r"^\S*python[\d.]*: No module named (?P<name>[\w.]+)",
        C.UNDECLARED_REQUIREMENT,
        Rank.ERROR,
        kind=MissingKind.MODULE,
    ),
    rule(
        "cannot-import",
        "cannot import name ",
        r"ImportError: cannot import name '?(?P<attribute>\w+)'? from "
        r"(?:partially initialized module )?'(?P<name>[\w.]+)'",
        None,
        Rank.EXCEPTION,
        kind=MissingKind.MODULE,
        prefer_last=True,
    ),
    rule(
        "module-attribute",
        ("' has no attribute '",),
        r"AttributeError: (?:partially initialized )?module '(?P<name>[\w.]+)' has no attribute ",
        None,
        Rank.EXCEPTION,
        kind=MissingKind.MODULE,
        prefer_last=True,
    ),
    rule(
        "python2-attribute",
        "' object has no attribute '",
        r"AttributeError: '(?:dict|str|bytes|file|list|HTMLParser|_io\.TextIOWrapper"
        r"|dict_\w+|EntryPoints?|ElementTree|Element|Thread|array)' object has no attribute "
        r"'(?:iteritems|itervalues|iterkeys|has_key|decode|encode|next|unescape|sort|getchildren"
        r"|isAlive|tostring|fromstring|get)'",
        C.PYTHON_TOO_NEW,
        Rank.EXCEPTION,
    ),
    rule(
        "python2-name",
        " is not defined",
        rf"NameError: (?:global )?name '(?:{_BUILTINS})' is not defined",
        C.PYTHON_TOO_NEW,
        Rank.EXCEPTION,
    ),
    # exec() in a function sees its locals no more (PEP 667).
    rule(
        "exec-locals",
        "KeyError: '",
        r"^KeyError: '__?\w*version\w*__?'$",
        C.PYTHON_TOO_NEW,
        Rank.EXCEPTION,
    ),
    rule(
        "syntax",
        ("SyntaxError: ", "TabError: ", "IndentationError: "),
        r"^(?:\w+\.)*(?:Syntax|Tab|Indentation)Error: ",
        C.PYTHON_TOO_NEW,
        Rank.EXCEPTION,
    ),
    rule(
        "open-mode",
        ("ValueError: invalid mode: ", "EnvironmentError", "universal newlines"),
        r"ValueError: invalid mode: '[rw]*U|'encoding' is an invalid keyword argument",
        C.PYTHON_TOO_NEW,
        Rank.EXCEPTION,
    ),
    rule(
        "python2-print",
        " for >>: ",
        r"TypeError: unsupported operand type\(s\) for >>: 'builtin_function",
        C.PYTHON_TOO_NEW,
        Rank.EXCEPTION,
    ),
    rule(
        "python-versions",
        (
            "ython version",
            "ython 2",
            "ython 3",
            "versions of Python",
            "this version of Python",
            "Python >=",
            "Python <",
            "Python <=",
            "for Python",
            "under Python",
            "with Python",
        ),
        r"Cannot install on Python version|only versions .* are supported"
        r"|[Pp]ython version .*(?:not supported|unsupported|required|is needed|or (?:older|lower))"
        r"|(?:does not|doesn't|not) (?:yet )?support(?:ed)?(?: on| for| by| with| under)? "
        r"(?:this version of )?[Pp]ython"
        r"|(?:requires?|needs?|only (?:supports?|works? (?:on|with|for|under))|supports? only"
        r"|must be (?:run|used|installed) (?:on|with|under)) (?:at least )?[Pp]ython"
        r"(?: version)? ?(?:2|<|3\.\d+ or (?:older|lower|earlier))"
        r"|[Uu]nsupported [Pp]ython version|[Pp]ython 3 is not supported"
        r"|[Pp]ython interpreter version .* is newer than PyO3's maximum supported version",
        C.PYTHON_TOO_NEW,
        Rank.HINT,
        weight=1,
    ),
    rule(
        "pyo3-version",
        "newer than PyO3's maximum supported version",
        r"Python interpreter version .* is newer than PyO3's maximum supported version",
        C.PYTHON_TOO_NEW,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "shared-object",
        ("cannot open shared object file", "annot load library '", "o library named "),
        r"(?:OSError|ImportError|^[Ee]rror): (?P<name>lib[^\s:/]+): cannot open shared object file"
        r"|error while loading shared libraries: (?P<name2>lib[^\s:/]+): cannot open"
        r"|[Cc]annot load library '(?P<name3>[^'/]+)'|[Nn]o library named (?P<name4>[\w.+-]+)",
        C.MISSING_PACKAGE,
        Rank.EXCEPTION,
        kind=MissingKind.LIBRARY,
    ),
    rule(
        "undefined-symbol",
        ": undefined symbol: ",
        r"(?:ImportError|OSError): .*: undefined symbol: (?P<symbol>\w+)",
        C.COMPILER_ERROR,
        Rank.EXCEPTION,
    ),
    rule(
        "errno-2",
        ("[Errno 2] No such file or directory: ", "[Errno 2] No such file or directory"),
        r"(?:^|: )\[Errno 2\] No such file or directory: b?['\"](?P<name>[^'\"]*)['\"]",
        C.BAD_SDIST,
        Rank.EXCEPTION,
        kind=MissingKind.FILE,
        prefer_last=True,
    ),
    rule(
        "errno-2-setuptools",
        NO_SUCH_FILE,
        r"^error: (?:\[Errno 2\] )?(?P<name>[^\s:'\"]+): No such file or directory$",
        C.BAD_SDIST,
        Rank.EXCEPTION,
        kind=MissingKind.FILE,
        prefer_last=True,
    ),
)
