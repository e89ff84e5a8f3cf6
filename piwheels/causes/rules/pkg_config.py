"""Lines of pkg-config and of programs like it (mysql_config, xml2-config)."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import Rank, rule
from piwheels.model import FailureClass as C

_NAME = r"(?P<name>[A-Za-z0-9][\w.+-]*)"

RULES = (
    rule(
        "required-by",
        "required by '",
        r"Package '(?P<name>[^',]+)', required by '[^']+', not found",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PKG_CONFIG,
        weight=0,
        prefer_last=True,
    ),
    rule(
        "pc-too-old",
        (
            "Requested '",
            "Package dependency requirement '",
            "but version of ",
            "' has version '",
            "required version is '",
        ),
        r"Requested '(?P<name>[^\s']+) (?P<version>[<>=!]+ ?[^']+)' but version of"
        r"|Package dependency requirement '(?P<name2>\S+) (?P<version2>[<>=!]+ ?[^']+)' could not",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PKG_CONFIG,
        weight=0,
        prefer_last=True,
    ),
    rule(
        "pc-own-message",
        "pkg-config",
        r"pkg-config (?:package|module|file) ['\"`](?P<name>[\w.+-]+)(?: (?P<version>[<>=!]+ ?[^'\"`]+))?['\"`].*"
        r"not found",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PKG_CONFIG,
        prefer_last=True,
    ),
    rule(
        "pc-not-found",
        (
            "The system library `",
            "No package '",
            "in the pkg-config search path",
            "containing `",
            "Package '",
        ),
        r"No package '(?P<name>[^']+)' found"
        r"|Package '?(?P<name2>[\w.+-]+)'? was not found in the pkg-config search path"
        r"|Perhaps you should add the directory containing [`'](?P<name3>[\w.+-]+)\.pc'"
        r"|The system library `(?P<name5>[^`]+)` required by crate"
        r"|Package '(?P<name4>[^',]+)' not found",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PKG_CONFIG,
        prefer_last=True,
    ),
    rule(
        "pkg-config-command",
        ("pkg-config", "pkgconf"),
        r"(?:Command|command) ['\"\[(]+(?:\S*/)?pkg-?conf(?:ig)?['\"]?,?\s+.*?"
        r"['\"]?" + _NAME + r"['\"]?\]?['\")]* (?:returned non-zero|failed|exited)"
        r"|pkg-config (?:could not find|cannot find|did not find|couldn't find) (?:package |library )?"
        r"['\"`]?(?P<name2>[A-Za-z0-9][\w.+-]*)",
        C.MISSING_PACKAGE,
        Rank.HINT,
        kind=MissingKind.PKG_CONFIG,
        weight=6,
        prefer_last=True,
    ),
    rule(
        "python-pkgconfig",
        ("PackageNotFoundError: ",),
        r"pkgconfig\.pkgconfig\.PackageNotFoundError: (?P<name>\S+) not found",
        C.MISSING_PACKAGE,
        Rank.EXCEPTION,
        kind=MissingKind.PKG_CONFIG,
    ),
)
