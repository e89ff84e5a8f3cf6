"""The texts of every failure class: what was wrong, and what a retry or its absence means."""

from collections.abc import Mapping
from dataclasses import dataclass

from piwheels.model import FailureClass


@dataclass(frozen=True, slots=True)
class ClassText:
    """Clauses without a period.

    cause: what was wrong.
    retried: what happens if the policy retries it; "" for classes that are never retried.
    final: why it is not retried, and what can help; "" for classes that are never final.
    """

    cause: str
    retried: str = ""
    final: str = ""


_ELSEWHERE = "another builder gets it, if there is one"
_ELSEWHERE_ONCE = "another builder tries it once more, if there is one"
_NO_FAULT_OF_RELEASE = "which does not count as a failure of the release"
_PERIOD_TOOLS = "it is built again with the build tools of the time of its release"
_NEEDS_NEW_RELEASE = "only a newer release can correct that"

CLASS_TEXTS: Mapping[FailureClass, ClassText] = {
    FailureClass.UNKNOWN: ClassText(
        cause="it failed for a reason that the farm does not recognize",
        final="the log tells more",
    ),
    FailureClass.MISSING_PACKAGE: ClassText(
        cause="a package of the system is missing",
        retried="the farm adds the package, or finds a builder that has it, and builds again",
        final="no package is known that helps; a recipe can name one",
    ),
    FailureClass.MISSING_TOOLCHAIN: ClassText(
        cause="a compiler or another build tool is missing or too old",
        retried="it is built again where the tool is there or can be added",
        final="no builder of this target has the tool",
    ),
    FailureClass.COMPILER_ERROR: ClassText(
        cause="the compiler rejects the source",
        retried=_PERIOD_TOOLS,
        final="a newer release, or a patch in a recipe, has to correct the source",
    ),
    FailureClass.PYTHON_TOO_NEW: ClassText(
        cause="the source uses what this Python no longer has",
        retried=_PERIOD_TOOLS,
        final="for this Python and newer ones; other targets go on",
    ),
    FailureClass.TOOLS_TOO_NEW: ClassText(
        cause="the source uses what today's build tools no longer have",
        retried=_PERIOD_TOOLS,
        final="a recipe can name older build tools, or a date for them",
    ),
    FailureClass.BUILD_REQUIREMENT: ClassText(
        cause=(
            "a build requirement is not on the index, not available for this Python, or in "
            "conflict with another"
        ),
        retried="it waits for a new release of that requirement, and is built again",
        final="a new release of that requirement can change it",
    ),
    FailureClass.UNDECLARED_REQUIREMENT: ClassText(
        cause="the build imports what the source does not declare as a build requirement",
        retried="it is built again with that as a build requirement",
        final="a newer release has to declare it",
    ),
    FailureClass.NEEDS_NETWORK: ClassText(
        cause="the build wants to download from elsewhere than the package index",
        final="builds reach nothing but the package index",
    ),
    FailureClass.TESTS_IN_BUILD: ClassText(
        cause="the build runs the project's tests, and they fail", final=_NEEDS_NEW_RELEASE
    ),
    FailureClass.REFUSED: ClassText(
        cause="its authors made the build stop with a message",
        final="the message says what to use instead",
    ),
    FailureClass.METADATA: ClassText(cause="its metadata is invalid", final=_NEEDS_NEW_RELEASE),
    FailureClass.BAD_SDIST: ClassText(
        cause="the sdist cannot be read, or lacks files", final=_NEEDS_NEW_RELEASE
    ),
    FailureClass.WRONG_NAME: ClassText(
        cause="the wheel has the name of another project", final=_NEEDS_NEW_RELEASE
    ),
    FailureClass.WRONG_VERSION: ClassText(
        cause="the wheel has another version than the release", final=_NEEDS_NEW_RELEASE
    ),
    FailureClass.NO_WHEEL: ClassText(
        cause="the build ended without an error and without a wheel", final=_NEEDS_NEW_RELEASE
    ),
    FailureClass.SEVERAL_WHEELS: ClassText(
        cause="the build made several wheels", final=_NEEDS_NEW_RELEASE
    ),
    FailureClass.EMPTY_WHEEL: ClassText(
        cause="the wheel lacks code that the source has", final=_NEEDS_NEW_RELEASE
    ),
    FailureClass.REJECTED: ClassText(
        cause="the master rejected the wheel", final="the same wheel would be rejected again"
    ),
    FailureClass.LIMIT: ClassText(
        cause="it needs more processes, more open files or larger files than a build may have",
        retried="another builder, with larger limits, tries it",
        final="the limits of the builders are too low for it",
    ),
    FailureClass.TIMED_OUT: ClassText(
        cause="it was not done in time",
        retried="it is built once more, with twice the time",
        final="a recipe can give it more time",
    ),
    FailureClass.OUT_OF_MEMORY: ClassText(
        cause="it ran out of memory",
        retried="it is built again, where there is more memory if there is such a builder",
        final="no builder of this target has enough memory for it",
    ),
    FailureClass.DISK_FULL: ClassText(
        cause="the disk was full",
        retried="another builder gets it, or this one when it has space",
        final="it needs more disk space than the builders have",
    ),
    FailureClass.KILLED: ClassText(
        cause="a signal from outside ended the build",
        retried=_ELSEWHERE_ONCE,
        final="that happened twice",
    ),
    FailureClass.CRASHED: ClassText(
        cause="a program crashed during the build",
        retried=_ELSEWHERE_ONCE,
        final="that happened twice",
    ),
    FailureClass.INDEX_FAULT: ClassText(
        cause=f"the package index did not answer properly, {_NO_FAULT_OF_RELEASE}",
        retried="it is built again when the index answers",
    ),
    FailureClass.FILE_GONE: ClassText(
        cause="the package index lists a file and does not have it",
        retried="it is built again when the index may have the file",
    ),
    FailureClass.DAMAGED_DOWNLOAD: ClassText(
        cause="a download has other bytes than the package index promises",
        retried="it is downloaded again, past all caches",
        final="builders received the same wrong bytes",
    ),
    FailureClass.BUILDER_FAULT: ClassText(
        cause=f"the builder itself failed, {_NO_FAULT_OF_RELEASE}",
        retried=_ELSEWHERE,
    ),
    FailureClass.MASTER_FAULT: ClassText(
        cause=f"the master could not store the wheel, {_NO_FAULT_OF_RELEASE}",
        retried="it is stored or built again when the master can store it",
    ),
    FailureClass.LOST: ClassText(
        cause="the builder disappeared during the build",
        retried=_ELSEWHERE,
    ),
    FailureClass.CANCELED: ClassText(
        cause="an operator canceled the build", retried="it is built again later"
    ),
}
