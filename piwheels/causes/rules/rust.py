"""Lines of cargo, rustc, maturin and setuptools-rust."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import rule
from piwheels.model import FailureClass as C

RULES = (
    rule(
        "no-rust",
        (
            "Rust compiler",
            "Rust package manager",
            "rust compiler",
            "Rust toolchain",
            "Rust not found",
            "equires Rust",
            "rustc",
            "cargo",
            "Cargo",
        ),
        r"can't find Rust compiler|Cargo, the Rust package manager, is not installed"
        r"|rustc, the rust compiler, is not installed|(?:No|Could not find) (?:a )?Rust (?:compiler"
        r"|toolchain)|Rust (?:compiler|toolchain)?.{0,20}not (?:found|installed|available)"
        r"|\b(?:rustc|cargo)\b['`]?(?: is)? not (?:found|installed)",
        C.MISSING_TOOLCHAIN,
        weight=0,
    ),
    rule(
        "rust-too-old",
        (
            "equires rustc ",
            "is not supported by the following",
            "feature `edition",
            "lock file version",
            "older than the `",
            "rustc ",
            "requires Rust",
            "rust-version",
            "supported edition values",
        ),
        r"requires rustc (?P<version>[\d.]+)|rustc [\d.]+ is not supported by the following"
        r"|feature `edition\d+` is required|lock file version `?\d+`? (?:requires|was found)"
        r"|(?:version of Cargo|cargo) is older than the `\d+` edition|supported edition values are"
        r"|Rust version .* (?:or (?:newer|later|higher)|required)",
        C.MISSING_TOOLCHAIN,
        weight=0,
    ),
    rule(
        "rust-error",
        "error",
        r"^error\[E\d+\]: ",
        C.COMPILER_ERROR,
        weight=3,
    ),
    rule(
        "rust-linker",
        "error: linking with `",
        r"^error: linking with `\w+` failed",
        C.COMPILER_ERROR,
        weight=6,
    ),
    rule(
        "rust-source-missing",
        (
            "couldn't read `",
            "failed to read `",
            "failed to load manifest",
            "could not find `Cargo.toml`",
        ),
        r"couldn't read `(?P<name>[^`]+)`|failed to read `(?P<name2>[^`]+)`"
        r"|could not find `(?P<name3>Cargo\.toml)`",
        C.BAD_SDIST,
        kind=MissingKind.FILE,
        weight=2,
    ),
    rule(
        "build-script-panic",
        ("panicked at ",),
        r"^thread 'main'.* panicked at ",
        None,
        weight=6,
    ),
    rule(
        "build-script",
        "failed to run custom build command",
        r"^error: failed to run custom build command for `",
        C.COMPILER_ERROR,
        weight=8,
    ),
)
