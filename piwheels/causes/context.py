"""What a judgment depends on, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

from piwheels.causes.findings import Finding
from piwheels.causes.log_text import Line, PlainLog
from piwheels.causes.missing import SYSTEM_KINDS, Missing, MissingKind, PackageLookup
from piwheels.model import FailureClass


@dataclass(frozen=True, slots=True)
class Context:
    """What a judgment depends on besides the finding."""

    log: PlainLog
    findings: Sequence[Finding]  # of the same step
    packages: PackageLookup | None
    project: str  # that is built, in lower case; "" if it is not known
    index_is_partial: bool  # shown as of a day: it may lack what every index has

    def candidates(self, missing: Missing) -> Sequence[str]:
        """The packages that have something; empty if that is not known."""
        if self.packages is None or missing.kind not in SYSTEM_KINDS:
            return ()
        bare = missing.name.removesuffix("-config").removesuffix("_config")
        for kind, name in (
            (missing.kind, missing.name),
            (MissingKind.SOFTWARE, missing.name),
            (MissingKind.PKG_CONFIG, bare),
            (MissingKind.SOFTWARE, bare),
        ):
            if found := self.packages.find_packages(kind, name):
                return found
        return ()


@dataclass(frozen=True, slots=True)
class Judgment:
    """The class of a failure, what was missing, and the line that tells."""

    failure_class: FailureClass
    missing: tuple[Missing, ...]
    line: Line


def one_missing(
    finding: Finding, failure_class: FailureClass, kind: MissingKind, name: str
) -> Judgment:
    """One thing that a finding names as missing."""
    return Judgment(failure_class, (Missing(kind, name, finding.version),), finding.line)
