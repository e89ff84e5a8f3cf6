"""Lines of setuptools, distutils and other build backends."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import Rank, rule
from piwheels.model import FailureClass as C

RULES = (
    # Removed from setuptools
    rule(
        "use-2to3",
        "use_2to3",
        r"error in .* setup command: use_2to3 is invalid|use_2to3 is (?:invalid|no longer supported)",
        C.TOOLS_TOO_NEW,
        Rank.PRECISE,
    ),
    rule(
        "removed-options",
        ("nvalid dash-separated", "description-file", "nvalid uppercase key", "InvalidConfigError"),
        r"Invalid dash-separated key |Invalid uppercase key |InvalidConfigError",
        C.TOOLS_TOO_NEW,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "invalid-command-wheel",
        "invalid command ",
        r"error: invalid command 'bdist_(?P<name>wheel)'",
        C.UNDECLARED_REQUIREMENT,
        Rank.EXCEPTION,
        kind=MissingKind.MODULE,
    ),
    rule(
        "invalid-command",
        "invalid command ",
        r"error: invalid command '(?P<command>\w+)'",
        C.TOOLS_TOO_NEW,
        Rank.EXCEPTION,
    ),
    # Cython 0.29 left it out.
    rule(
        "pxd-source",
        "unknown file type '.pxd'",
        r"error: unknown file type '\.pxd'",
        C.TOOLS_TOO_NEW,
        Rank.EXCEPTION,
    ),
    rule(
        "removed-distribution-attribute",
        ("has no attribute", "unexpected keyword argument", "got an unexpected"),
        r"AttributeError: (?:type object )?'?(?:Distribution|Command|build_ext|install|egg_info"
        r"|bdist_egg|develop|easy_install|HTTPMessage|PackageIndex|NoneType)'? (?:object |type )?"
        r"has no attribute '(?:_finalize_feature_opts|convert_2to3_doctests|use_2to3|_patched_dist"
        r"|cython_\w+|swig_opts|install_layout|run_2to3|tests_require|get_requires|test_suite"
        r"|_extension_modules|ext_map|try_link)'",
        C.TOOLS_TOO_NEW,
        Rank.EXCEPTION,
    ),
    rule(
        "legacy-resolver",
        ("install_layout",),
        r"AttributeError: install_layout",
        C.TOOLS_TOO_NEW,
        Rank.EXCEPTION,
    ),
    # Metadata
    rule(
        "setup-command",
        "error in ",
        r"^error in .+ setup command: ",
        C.METADATA,
        Rank.EXCEPTION,
        weight=1,
    ),
    rule(
        "configuration-error",
        ("configuration error: ", "invalid pyproject.toml config", "`project", "`tool."),
        r"configuration error: `?|invalid pyproject\.toml config: ",
        C.METADATA,
        Rank.EXCEPTION,
        weight=1,
    ),
    rule(
        "flat-layout",
        ("Multiple top-level ", "packages discovered in a flat-layout"),
        r"Multiple top-level (?:packages|modules) discovered in a (?:flat|src)-layout",
        C.METADATA,
        Rank.EXCEPTION,
        weight=1,
    ),
    rule(
        "scm-version",
        (
            "setuptools-scm was unable",
            "setuptools_scm was unable",
            "unable to detect version",
            "Versioning for this project requires",
            "not determine version",
            "not determine the version",
            "unable to compute version",
            "Unable to determine version",
            "vcs-versioning",
            "version from SCM",
            "could not get version",
        ),
        r"setuptools[-_]scm was unable to detect version|unable to detect version for"
        r"|Versioning for this project requires either|not determine (?:the )?version"
        r"|unable to (?:compute|determine) version|could not get version",
        C.METADATA,
        Rank.EXCEPTION,
    ),
    rule(
        "hatch-metadata",
        (
            "Unable to determine which files to ship",
            "Error getting the version from source",
            "Unknown classifier in field",
            "field `project",
            "Field `project",
            "Metadata field",
        ),
        r"Unable to determine which files to ship|Error getting the version from source"
        r"|Unknown classifier in field|[Ff]ield `project\.\S+|Metadata field `",
        C.METADATA,
        Rank.EXCEPTION,
    ),
    rule(
        "flit-metadata",
        ("flit_core", "NoVersionError", "NoDocstringError", "InvalidVersion", "ConfigError"),
        r"flit(?:_core)?\.\S*(?:ConfigError|NoVersionError|NoDocstringError|InvalidVersion)",
        C.METADATA,
        Rank.EXCEPTION,
    ),
    rule(
        "poetry-configuration",
        ("he Poetry configuration is invalid", "is required in package mode", "poetry."),
        r"The Poetry configuration is invalid|is required in package mode"
        r"|(?:RuntimeError|ValueError): .*\[tool\.poetry",
        C.TOOLS_TOO_NEW,
        Rank.EXCEPTION,
        weight=1,
    ),
    # The sdist lacks files
    rule(
        "readme-missing",
        (
            "does not exist",
            "doesn't exist",
            "doesn't match any files",
            "not a regular file",
            "is not a directory",
        ),
        r"Readme file does not exist: (?P<name>\S+)"
        r"|package directory '(?P<name2>[^']+)' does not exist"
        r"|can't copy '(?P<name3>[^']+)': doesn't exist"
        r"|ValueError: '(?P<name4>[^']+)' doesn't match any files"
        r"|(?:File|file) (?P<name5>\S+) (?:does not exist|doesn't exist)$"
        r"|[Ll]icense file .*(?:does not|doesn't) exist|Readme file .*does not exist",
        C.BAD_SDIST,
        Rank.EXCEPTION,
        kind=MissingKind.FILE,
    ),
    rule(
        "poetry-no-package",
        ("No file/folder found for package ", "No module named ", "does not contain any element"),
        r"No file/folder found for package (?P<name>\S+)|(?P<name2>\S+) does not contain any element",
        C.BAD_SDIST,
        Rank.EXCEPTION,
        kind=MissingKind.FILE,
    ),
    rule(
        "flit-no-module",
        "No file/folder found for module ",
        r"No file/folder found for module (?P<name>\S+)",
        C.BAD_SDIST,
        Rank.EXCEPTION,
        kind=MissingKind.FILE,
    ),
    rule(
        "not-a-repository",
        "ot a git repository",
        r"not a git repository",
        C.METADATA,
        Rank.HINT,
        weight=9,
    ),
    # Tests
    rule(
        "tests-failed",
        ("FAILED (", " failed in ", " failed, ", "est failed: ", "tests failed", "FAIL: "),
        r"^FAILED \((?:failures|errors)=\d+|^=+ .*\b\d+ (?:failed|errors?)\b.* in [\d.]+s"
        r"|^error: Test failed: |^Test failed: |^\d+% tests passed, \d+ tests? failed"
        r"|^\d+ of \d+ tests? failed|^FAIL: \w",
        C.TESTS_IN_BUILD,
        Rank.ERROR,
        weight=0,
    ),
    # Refusals
    rule(
        "not-for-this-system",
        ("upported on ", "orks on ", "nly for ", "rom source", "nly works", "ot supported"),
        r"\b(?:only (?:supported|works?|available|runs?|for)|supports? only|requires?) (?:on |for )?"
        r"(?:Microsoft )?(?:Windows|macOS|Mac ?OS|OS ?X|Darwin)\b"
        r"|(?:[Bb]uild(?:ing)?|[Ii]nstall(?:ing|ation)?).{0,60} from (?:source|an sdist|the sdist).{0,40}"
        r"(?:is not|not|isn't|unsupported)",
        C.REFUSED,
        Rank.HINT,
        weight=3,
    ),
    rule(
        "placeholder",
        (
            "placeholder",
            "not meant to be installed",
            "install this package",
            "is a dummy",
            "no longer maintained",
        ),
        r"[Tt]his (?:package|project|distribution|name) is (?:only )?(?:an? )?(?:placeholder|dummy|not meant)"
        r"|(?:[Dd]o not|DO NOT|[Dd]on't) install this|no longer maintained",
        C.REFUSED,
        Rank.HINT,
        weight=3,
    ),
    rule(
        "use-instead",
        (" instead", " rather than ", "renamed to", "superseded by", "is deprecated"),
        r"(?:[Pp]ackage|[Pp]roject|[Dd]istribution).{0,80}\b(?:is deprecated|renamed|superseded)"
        r"|\b(?:[Uu]se|[Ii]nstall|[Tt]ry|USE|INSTALL)\b.{1,80}\b(?:instead|rather than)\b"
        r"|(?:[Rr]enamed to|superseded by) ['\"`]?[\w-]+",
        C.REFUSED,
        Rank.HINT,
        weight=3,
    ),
)
