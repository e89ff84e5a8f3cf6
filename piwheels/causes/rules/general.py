"""Lines that are errors of any kind: what no other rule knows."""

from piwheels.causes.rule import Rank, rule

#: Packages whose exceptions have other names than *Error (InvalidVersion, DistributionNotFound).
_PACKAGING_MODULES = ("pip._", "pkg_resources.", "packaging.", "setuptools.", "distutils.")

RULES = (
    rule(
        "called-process-error",
        ("CalledProcessError", "returned non-zero exit status"),
        r"CalledProcessError: |returned non-zero exit status",
        None,
        Rank.CONSEQUENCE,
        weight=8,
        prefer_last=True,
    ),
    rule(
        "build-step-error",
        ("CompileError", "LinkError", "ExecError", "BuildError", "BuildFailed"),
        r"^(?:\w+\.)*(?:CompileError|LinkError|DistutilsExecError|ExecError|BuildFailed\w*)(?:: |:?$)",
        None,
        Rank.CONSEQUENCE,
        weight=8,
        prefer_last=True,
    ),
    rule(
        "exception",
        ("Error", "Exception", "Exit", "Interrupt", "Iteration", "Invalid", *_PACKAGING_MODULES),
        r"^(?:[A-Za-z_]\w*\.)*(?:_*[A-Z]\w*)?(?:Error|Exception|Exit|Interrupt|Iteration|Failed|Failure)"
        r"(?:: |:?$)|^(?:[a-z_]\w*\.)+[A-Z]\w*: ",
        None,
        Rank.EXCEPTION,
        weight=7,
        prefer_last=True,
    ),
    rule(
        "error",
        ("ERROR: ", "error: ", "Error: ", "FATAL: ", "fatal: "),
        r"^(?:[\w./-]+: )?(?:\*+ ?)?(?:ERROR|error|Error|FATAL|fatal|fatal error|Fatal error): ",
        None,
        Rank.EXCEPTION,
        weight=8,
        prefer_last=True,
    ),
    rule(
        "no-access",
        ("ermission denied", "ead-only file system", "peration not permitted", "ust be superuser"),
        r"[Pp]ermission denied|[Rr]ead-only file system|[Oo]peration not permitted|must be superuser",
        None,
        Rank.HINT,
        weight=8,
        prefer_last=True,
    ),
)
