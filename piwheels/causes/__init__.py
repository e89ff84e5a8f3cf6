"""Why a build failed: its class, what was missing, and the line of the log that tells."""

from piwheels.causes.cause import Cause, Evidence, IndexRecord, Limit
from piwheels.causes.classify import classify
from piwheels.causes.missing import CYTHON, Missing, MissingKind, PackageLookup
from piwheels.model import FailureClass

__all__ = [
    "CYTHON",
    "Cause",
    "Evidence",
    "FailureClass",
    "IndexRecord",
    "Limit",
    "Missing",
    "MissingKind",
    "PackageLookup",
    "classify",
]
