"""The status of a release for a target, and what it depends on."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from piwheels.model import (
    FailureCause,
    FailureClass,
    FreeDisk,
    ProjectStatusRow,
    ReleaseStatusRow,
    State,
    Struct,
)


class ReleaseStatus(Struct, frozen=True, kw_only=True):
    """The state of one release for one target (either "" when it says more)."""

    project: str
    version: str = ""
    target: str = ""
    state: State
    text: str  # without a period
    hint: str = ""  # what an operator can do now, without a period
    notes: tuple[str, ...] = ()  # sentences that apply in any state
    build: int | None = None
    file: str = ""
    built_for_target: bool = False  # the file was made by the last build for this target
    cause: FailureCause | None = None  # why the last build failed, if that counts in this state
    next_step: str = ""  # what follows from that
    detail: str = ""  # only the wheel or the reason, for a table; "": use the text

    @property
    def as_text(self) -> str:
        """Text, hint, class of the failure and notes as sentences, for operators."""
        first = f"{self.text}; {self.hint}" if self.hint else self.text
        notes = [*self._class_notes(), *self.notes]
        return " ".join([f"{first}.", *(f"({note})" for note in notes)])

    def _class_notes(self) -> Iterator[str]:
        """The class of a failure that the text tells of, by which operators select failures."""
        cause = self.cause if self.next_step else None
        if cause is not None and cause.failure_class is not FailureClass.UNKNOWN:
            yield f"Failure class {cause.failure_class}."

    @property
    def label(self) -> str:
        """The state for a table; "built" for a wheel that was built for this target."""
        return "built" if self.built_for_target and self.state is State.COVERED else self.state


class ReleaseStatuses(Struct, frozen=True, kw_only=True):
    """The status of a release: what blocks all of it, and each target."""

    release_blocker: ReleaseStatus | None
    targets: Mapping[str, ReleaseStatus]  # by target; only covered ones if it is blocked

    def for_target(self, target: str) -> ReleaseStatus | None:
        """The status for one target."""
        return self.targets.get(target) or self.release_blocker


class StatusContext(Struct, frozen=True, kw_only=True):
    """What a status depends on besides the database.

    served_targets: targets for which a builder is connected.
    targets_with_compiler: targets for which a connected builder has a C compiler; None is unknown.
    memory_bytes: by target, the most memory that a builder which takes jobs gives to a build.
    known_memory_bytes: likewise, of builders that were lost or take no jobs, too; empty is unknown.
    memory_with_packages: by target, the most memory of the builders that have or add packages which
        jobs need, where that is less.
    free_disk: by target, of builders that take jobs; empty is unknown.
    paused: whether the farm assigns no jobs.
    now: the time that durations are counted from; without it, times are absolute, for a text
        that is read later.
    """

    served_targets: frozenset[str]
    targets_with_compiler: frozenset[str] | None = None
    memory_bytes: dict[str, int] = msgspec.field(default_factory=dict)
    known_memory_bytes: dict[str, int] = msgspec.field(default_factory=dict)
    memory_with_packages: dict[str, dict[tuple[str, ...], int]] = msgspec.field(
        default_factory=dict
    )
    free_disk: dict[str, FreeDisk] = msgspec.field(default_factory=dict)
    paused: bool = False
    now: datetime | None = None


def make_status(
    facts: ProjectStatusRow, release: ReleaseStatusRow, state: State, text: str, **more: Any
) -> ReleaseStatus:
    """The status of a release; `more` are further fields of it."""
    return ReleaseStatus(
        project=facts.project, version=release.version, state=state, text=text, **more
    )


def unskip_hint(what: str) -> str:
    """How a skip is lifted."""
    return f"`piw unskip {what}` builds it again"
