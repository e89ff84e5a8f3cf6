"""Reproductions: a published wheel is built again, and both wheels are compared."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from piwheels.model.base import Struct
from piwheels.model.builds import Job

#: The most differing members, and the most differing inputs, that are kept of a reproduction.
MAX_DIFFERENCES = 50

_Text = Annotated[str, Meta(max_length=400)]


class ReproductionResult(StrEnum):
    """How a reproduction ended."""

    PENDING = "pending"  # it waits, or is being built
    SAME = "same"  # every byte of the wheel
    SAME_CONTENTS = "same-contents"  # every member; times, modes, order or compression differ
    DIFFERS = "differs"
    FAILED = "failed"  # it could not be built, or not be compared


class MemberChange(StrEnum):
    """How a member of the rebuilt wheel differs from that of the published one."""

    MISSING = "missing"  # only the published wheel has it
    EXTRA = "extra"  # only the rebuilt wheel has it
    CONTENT = "content"
    METADATA = "metadata"  # of the archive alone: its time, mode, compression or place


class MemberDifference(Struct, frozen=True, kw_only=True):
    """One member that differs, and how, in words."""

    member: _Text
    change: MemberChange
    how: _Text = ""


class WheelComparison(Struct, frozen=True, kw_only=True):
    """What differs between a published wheel and the one that was built again."""

    differences: Annotated[tuple[MemberDifference, ...], Meta(max_length=MAX_DIFFERENCES)] = ()
    unlisted: Annotated[int, Meta(ge=0)] = 0  # further members that differ
    members: Annotated[int, Meta(ge=0)] = 0  # of the published wheel

    @property
    def result(self) -> ReproductionResult:
        """Whether the contents differ, of two wheels whose bytes do."""
        kinds = {difference.change for difference in self.differences}
        if self.unlisted or kinds - {MemberChange.METADATA}:
            return ReproductionResult.DIFFERS
        return ReproductionResult.SAME_CONTENTS


class ReproductionJob(Job, frozen=True, kw_only=True):
    """A job whose wheel is compared with a published one, and never published itself.

    Its builder gets it as a plain Job. `original_inputs` are those of the build that made it.
    """

    reproduction_id: int
    filename: str  # of the published wheel
    sha256: str
    original_inputs: tuple[str, ...] = ()


class Reproduction(Struct, frozen=True, kw_only=True):
    """A request to build a published wheel again, and its result."""

    reproduction_id: int
    filename: str
    project: str
    version: str
    target: str
    sha256: str  # of the published wheel
    original_builder: str  # that built the published wheel
    asked_by: str  # '' if the farm chose it at an idle time
    asked_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    builder: str = ""  # that builds it again, or did
    attempts: int = 0
    result: ReproductionResult = ReproductionResult.PENDING
    reason: str = ""  # why it failed
    rebuilt_sha256: str = ""
    differences: tuple[MemberDifference, ...] = ()
    unlisted: int = 0  # further members that differ
    changed_inputs: tuple[str, ...] = ()  # "+" or "-", and an input that one build alone had

    @property
    def summary(self) -> str:
        """The result, as a sentence without its end."""
        elsewhere = "another builder" if self.is_elsewhere else "the same builder"
        match self.result:
            case ReproductionResult.PENDING:
                return (
                    f"{self.builder} is building it again"
                    if self.builder
                    else "it waits for a builder"
                )
            case ReproductionResult.SAME:
                return f"{elsewhere} made the same bytes"
            case ReproductionResult.SAME_CONTENTS:
                return f"{elsewhere} made the same contents in an archive that differs"
            case ReproductionResult.DIFFERS:
                count = len(self.differences) + self.unlisted
                members = "1 member that differs" if count == 1 else f"{count} members that differ"
                return f"{elsewhere} made a wheel with {members}"
            case ReproductionResult.FAILED:
                return f"it could not be reproduced: {self.reason}"

    @property
    def is_elsewhere(self) -> bool:
        """Whether another builder built it again than the one that built it first."""
        return self.builder != self.original_builder
