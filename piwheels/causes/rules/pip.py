"""Lines of pip and of other frontends: requirements, names, versions, archives."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import Rank, rule
from piwheels.model import FailureClass as C

RULES = (
    rule(
        "wrong-name",
        ("inconsistent name", "inconsistent Name"),
        r"has inconsistent [Nn]ame:|inconsistent [Nn]ame: (?:filename|expected)",
        C.WRONG_NAME,
        Rank.PRECISE,
    ),
    rule(
        "wrong-version",
        ("inconsistent version", "inconsistent Version"),
        r"has inconsistent [Vv]ersion:|inconsistent version: (?:filename|expected)",
        C.WRONG_VERSION,
        Rank.PRECISE,
    ),
    rule(
        "requires-python",
        "requires a different Python",
        r"Package '(?P<name>[^']+)' requires a different Python: \S+ not in '(?P<version>[^']*)'",
        C.PYTHON_TOO_NEW,
        Rank.PRECISE,
    ),
    rule(
        "conflict",
        ("Cannot install ", "conflicting dependencies", "because these package versions have"),
        r"Cannot install (?P<name>\S+).* because these package versions have conflicting dependencies",
        C.BUILD_REQUIREMENT,
        Rank.PRECISE,
    ),
    rule(
        "conflict-with-pep-518",
        "conflict with PEP 517/518",
        r"Some build dependencies .*conflict with PEP 517/518 supported requirements: ?(?P<name>.*)",
        C.BUILD_REQUIREMENT,
        Rank.PRECISE,
        kind=MissingKind.REQUIREMENT,
    ),
    rule(
        "no-matching-distribution",
        ("No matching distribution found for ", "Could not find suitable distribution for "),
        r"No matching distribution found for (?P<name>.+?)(?: \(from .*)?$"
        r"|Could not find suitable distribution for Requirement\.parse\('(?P<name2>[^']+)'\)",
        C.BUILD_REQUIREMENT,
        Rank.ERROR,
        kind=MissingKind.REQUIREMENT,
        weight=1,
        prefer_last=True,
    ),
    rule(
        "no-version",
        "Could not find a version that satisfies ",
        r"Could not find a version that satisfies the requirement (?P<name>.+?)(?: \(from .*)?$",
        C.BUILD_REQUIREMENT,
        Rank.ERROR,
        kind=MissingKind.REQUIREMENT,
        weight=2,
        prefer_last=True,
    ),
    rule(
        "uv-no-solution",
        ("No solution found when resolving", "requirements are unsatisfiable"),
        r"No solution found when resolving|requirements are unsatisfiable",
        C.BUILD_REQUIREMENT,
        Rank.ERROR,
        weight=3,
    ),
    rule(
        "distribution-not-found",
        ("DistributionNotFound: ", "VersionConflict: ", "PackageNotFoundError: "),
        r"DistributionNotFound: The '(?P<name>[^']+)' distribution was not found"
        r"|PackageNotFoundError: (?:No package metadata was found for )?(?P<name2>[\w.-]+)",
        C.UNDECLARED_REQUIREMENT,
        Rank.EXCEPTION,
        kind=MissingKind.REQUIREMENT,
    ),
    rule(
        "version-conflict",
        "VersionConflict: ",
        r"(?:Contextual)?VersionConflict: \(.*Requirement\.parse\('(?P<name>[^']+)'\)",
        C.BUILD_REQUIREMENT,
        Rank.EXCEPTION,
        kind=MissingKind.REQUIREMENT,
    ),
    rule(
        "backend-unavailable",
        ("BackendUnavailable", "Cannot import '"),
        r"BackendUnavailable: Cannot import '(?P<name>[\w.]+)|BackendUnavailable$"
        r"|Cannot import '(?P<name2>[\w.]+)'$",
        C.UNDECLARED_REQUIREMENT,
        Rank.EXCEPTION,
        kind=MissingKind.MODULE,
    ),
    # The archive
    rule(
        "not-a-project",
        (
            "does not appear to be a Python project",
            "is not installable. Neither",
            "not installable",
        ),
        r"does not appear to be a Python project|is not installable\. Neither 'setup\.py'",
        C.BAD_SDIST,
        Rank.PRECISE,
    ),
    rule(
        "outside-target",
        ("outside target directory", "outside the destination"),
        r"outside target directory|is outside the destination",
        C.BAD_SDIST,
        Rank.PRECISE,
    ),
    rule(
        "unreadable-sdist",
        "the sdist cannot be read: ",
        r"^the sdist cannot be read: ",
        C.BAD_SDIST,
        Rank.PRECISE,
    ),
    rule(
        "broken-archive",
        (
            "tarfile.",
            "zipfile.",
            "zlib.error",
            "BadZipFile",
            "BadGzipFile",
            "EOFError: Compressed",
            "Cannot unpack file ",
            "Cannot determine archive format",
            "OutsideDestinationError",
            "LinkOutsideDestinationError",
            "InvalidHeaderError",
        ),
        r"^(?:pip\S+)?(?:tarfile\.\w+|zipfile\.BadZipFile|zlib\.error|gzip\.BadGzipFile)(?:: |$)"
        r"|^EOFError: Compressed file ended|Cannot unpack file |Cannot determine archive format",
        C.BAD_SDIST,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "invalid-pyproject",
        (
            "TOMLDecodeError",
            "Error parsing ",
            "tomli",
            "toml.decoder.TomlDecodeError",
            "InvalidPyProjectBuildRequires",
            "pyproject.toml",
        ),
        r"TOMLDecodeError: |TomlDecodeError: |Error parsing .*pyproject\.toml"
        r"|InvalidPyProjectBuildRequires|invalid-pyproject-build-system-requires"
        r"|has a pyproject\.toml file that does not comply with PEP 518"
        r"|Can not process .* in .*pyproject\.toml",
        C.METADATA,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "generated-metadata",
        (
            "generated metadata",
            "nvalid-installed-package",
            "requirements has invalid",
            "nvalid metadata",
            "nvalid requirement",
            "InvalidRequirement: ",
            "nvalid wheel filename",
        ),
        r"has invalid metadata|invalid metadata entry|Invalid requirement: |[Ii]nvalid wheel filename"
        r"|InvalidRequirement: ",
        C.METADATA,
        Rank.ERROR,
        prefer_last=True,
    ),
    rule(
        "invalid-version",
        ("nvalid version: ", "nvalidVersion", "not a valid version", "not a valid PEP 440"),
        r"[Ii]nvalid version: |InvalidVersion: |not a valid (?:PEP 440 )?version",
        C.METADATA,
        Rank.EXCEPTION,
        prefer_last=True,
    ),
    rule(
        "no-wheel-built",
        ("produced no wheel", "made no wheel", "did not produce a wheel", "Wheel not found"),
        r"(?:produced|made|did not produce) (?:a|no) wheel|^Wheel not found",
        C.NO_WHEEL,
        Rank.ERROR,
    ),
)
