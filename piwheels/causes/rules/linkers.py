"""Lines of linkers."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import rule
from piwheels.model import FailureClass as C

RULES = (
    rule(
        "library",
        ("annot find -l", "unable to find library -l", "library not found for -l", "library 'lib"),
        r"(?:cannot find|unable to find library|library not found for) -l:?(?P<name>[^\s:]+)",
        C.MISSING_PACKAGE,
        kind=MissingKind.LIBRARY,
        weight=1,
    ),
    rule(
        "multiple-definition",
        "ultiple definition of ",
        r"multiple definition of ",
        C.COMPILER_ERROR,
        weight=4,
    ),
    rule(
        "undefined-reference",
        ("undefined reference to ", "undefined symbol: "),
        r"undefined reference to |\bld(?:\.\w+)?: error: undefined symbol: ",
        C.COMPILER_ERROR,
        weight=4,
    ),
    rule(
        "linker-error",
        ("ld: ", "ld.lld: ", "ld.gold: ", "ld.bfd: "),
        r"\bld(?:\.\w+)?: (?:error: |.*(?:relocation .* can not be used|file format not recognized"
        r"|file in wrong format|incompatible with|cannot open output|hidden symbol"
        r"|No such file: No such file|cannot find (?!-l)|unrecognized option|DSO missing))",
        C.COMPILER_ERROR,
        weight=5,
    ),
)
