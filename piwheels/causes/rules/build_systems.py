"""Lines of CMake, meson, configure scripts and make."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import Rank, rule
from piwheels.model import FailureClass as C

RULES = (
    # CMake
    rule(
        "cmake-compatibility",
        ("Compatibility with CMake < ", "of policy CMP"),
        r"Compatibility with CMake < \S+ has been removed"
        r"|OLD behavior (?:for|of) policy CMP\d+ .*removed|Policy CMP\d+ may not be set to OLD",
        C.TOOLS_TOO_NEW,
        Rank.PRECISE,
    ),
    rule(
        "cmake-too-old",
        (" or higher is required",),
        r"CMake (?P<version>[\d.]+) or higher is required",
        C.MISSING_TOOLCHAIN,
        kind=MissingKind.PROGRAM,
        subject="cmake",
        weight=0,
    ),
    rule(
        "cmake-no-build-program",
        "unable to find a build program corresponding",
        r"unable to find a build program corresponding to \"(?P<name>Ninja|Unix Makefiles)",
        C.MISSING_PACKAGE,
        kind=MissingKind.PROGRAM,
        weight=0,
    ),
    rule(
        "cmake-find-package",
        (
            "Could NOT find ",
            "Could not find a package configuration file",
            'By not providing "Find',
            "package configuration file provided by",
        ),
        r"Could NOT find (?P<name>\w+)|package configuration file provided by \"(?P<name2>[^\"]+)\""
        r"|By not providing \"Find(?P<name3>[^\"]+)\.cmake\"",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.CMAKE,
        weight=6,
        prefer_last=True,
    ),
    rule(
        "cmake-source",
        (
            "annot find source file",
            "does not appear to contain CMakeLists.txt",
            "is not an existing directory",
            "does not contain a CMakeLists.txt",
            "o SOURCES given",
            "could not find load file",
            "could not find requested file",
            "does not exist",
        ),
        r"Cannot find source file:|does not appear to contain CMakeLists\.txt"
        r"|(?:given source|source directory) .*is not an existing directory"
        r"|does not contain a CMakeLists\.txt|No SOURCES given"
        r"|(?:include could not find (?:load|requested) file)",
        C.BAD_SDIST,
        weight=1,
    ),
    rule("cmake-error", "CMake Error", r"^CMake Error", None, weight=6, prefer_last=True),
    # meson
    rule(
        "meson-dependency",
        ('Dependency "', "Dependency '", "Dependency lookup for "),
        r"ERROR: Dependency ['\"](?P<name>[^'\"]+)['\"](?: is required but)? (?:not found|is required)"
        r"|ERROR: Dependency lookup for (?P<name2>\S+) with method",
        C.MISSING_PACKAGE,
        kind=MissingKind.PKG_CONFIG,
        weight=1,
    ),
    rule(
        "meson-program",
        ("ERROR: Program", "ERROR: Pkg-config", "ERROR: Git program", "ERROR: Could not find"),
        r"ERROR: Program\(?s?\)? [\['\"]+(?P<name>[^'\"]+)['\"].* not found"
        r"|ERROR: (?P<name2>[Pp]kg-config)\b.* not found",
        C.MISSING_PACKAGE,
        kind=MissingKind.PROGRAM,
        weight=1,
    ),
    rule(
        "meson-library",
        ("shared or static library '", "library '"),
        r"ERROR: (?:C|C\+\+) (?:shared or static )?library ['\"](?P<name>[^'\"]+)['\"] not found",
        C.MISSING_PACKAGE,
        kind=MissingKind.LIBRARY,
        weight=1,
    ),
    rule(
        "meson-too-old",
        "Meson version is ",
        r"ERROR: Meson version is \S+ but project requires (?P<version>\S+)",
        C.MISSING_TOOLCHAIN,
        kind=MissingKind.PROGRAM,
        subject="meson",
        weight=1,
    ),
    rule(
        "meson-removed",
        (
            "nknown options: ",
            'Module "python3"',
            "has been removed",
            "does not take",
            "nknown variable",
            "Unknown function",
            "got unknown keyword",
        ),
        r"meson\.build:\d+:\d+: ERROR: (?:Unknown (?:options|function|variable)|Module \"python3\""
        r"|.*has been removed|.*does not take|.*got unknown keyword)"
        r"|ERROR: Unknown options: ",
        C.TOOLS_TOO_NEW,
        weight=1,
    ),
    rule(
        "meson-file",
        "does not exist",
        r"meson\.build:\d+:\d+: ERROR: (?:File|Include dir|Nonexistent build file)? ?"
        r"(?P<name>\S+) (?:does not exist|not found)",
        C.BAD_SDIST,
        kind=MissingKind.FILE,
        weight=1,
    ),
    rule(
        "meson-error",
        "ERROR: ",
        r"meson(?:\.build|\.options|_options\.txt):\d+:\d+: ERROR: ",
        None,
        weight=6,
    ),
    # configure
    rule(
        "configure-prerequisite",
        "equirements (",
        r"configure: error: Package requirements \((?P<name>[\w.+-]+)",
        C.MISSING_PACKAGE,
        kind=MissingKind.PKG_CONFIG,
        weight=5,
    ),
    rule("configure-error", "rror: ", r"^configure: error: ", None, weight=6),
    # make
    rule(
        "make-no-rule",
        "No rule to make target",
        r"\*\*\* No rule to make target ['`](?P<name>[^']+)'",
        C.BAD_SDIST,
        kind=MissingKind.FILE,
        weight=6,
    ),
    rule(
        "make-error",
        ": *** ",
        r"^(?:g?make|\S+Makefile:\d+|Makefile:\d+)(?:\[\d+\])?: \*\*\* "
        r"(?!.*\bError (?:-?\d|0x)|Waiting for |\[)",
        None,
        weight=7,
    ),
    rule(
        "ninja-missing-input",
        "missing and no known rule to make it",
        r"ninja: error: '(?P<name>[^']+)',.* missing and no known rule",
        C.BAD_SDIST,
        kind=MissingKind.FILE,
        weight=6,
    ),
    rule(
        "scons-error",
        "scons: *** ",
        r"^scons: \*\*\* (?!\[.*\] Error)",
        None,
        weight=7,
    ),
)
