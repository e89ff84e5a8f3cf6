"""Which builders leave long jobs to others, so that short ones do not wait for hours. Pure.

While short jobs wait, a part of the builders of each target builds no long ones. No builder is
idle for that: one that finds no short job takes a long one. A builder that is alone always takes
what is next. And long jobs do not wait for short ones to run out: while builds of other targets
have all the room, a claim takes a long job of a target that had no long build for MAX_LEFT_S,
although long jobs of it waited.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from piwheels.model import JobLength

#: For so long no claim has to take long jobs of a target without a long build.
MAX_LEFT_S = 4 * 3600.0
#: One of so many builders of a target, or of fewer, is kept for short jobs while there are some.
BUILDERS_FOR_ONE_KEPT = 4


@dataclass(frozen=True, slots=True)
class ClaimStep:
    """What a claim looks for; if there is none, the next step follows."""

    targets: tuple[str, ...]
    length: JobLength = JobLength.ANY


@dataclass(frozen=True, slots=True)
class LongLoad:
    """What a claim has to know of the other builders.

    Attributes:
        builders: by target, how many serve it, the one that claims included.
        long_elsewhere: by target, how many of the others have a long build, of any target.
        building: the targets that these long builds are for.
    """

    builders: Mapping[str, int]
    long_elsewhere: Mapping[str, int]
    building: Collection[str] = ()

    def has_room(self, targets: Sequence[str]) -> bool:
        """Whether a builder of these targets may take a long job while short ones wait."""
        return all(
            self.long_elsewhere.get(name, 0) < max_long_builds(self.builders.get(name, 1))
            for name in targets
        )


@dataclass(slots=True)
class LongBuilds:
    """Decides which jobs a claim may take, from how many builders have long ones."""

    #: By target, since when its long jobs are left while it has no long build.
    _left_since: dict[str, float] = field(default_factory=dict)

    def steps(
        self, targets: Sequence[str], load: LongLoad, waiting: Collection[str], now: float
    ) -> tuple[ClaimStep, ...]:
        """What a builder's claim looks for, one after the other.

        Args:
            targets: that the builder serves.
            load: what the other builders do.
            waiting: those of the targets of which long jobs wait; only read if there is no room.
            now: monotonic seconds.
        """
        for name in load.building:
            self._left_since.pop(name, None)
        everything = ClaimStep(tuple(targets))
        if load.has_room(targets):
            return (everything,)
        for name in targets:
            if name not in waiting:
                self._left_since.pop(name, None)
            elif name not in load.building:
                self._left_since.setdefault(name, now)
        overdue = tuple(
            name for name in targets if now - self._left_since.get(name, now) >= MAX_LEFT_S
        )
        first = (ClaimStep(overdue, JobLength.LONG),) if overdue else ()
        return (*first, ClaimStep(tuple(targets), JobLength.SHORT), everything)

    def note_taken(self, target: str) -> None:
        """A builder got a long job of this target."""
        self._left_since.pop(target, None)


def max_long_builds(builders: int) -> int:
    """How many of a target's builders may have long builds while short jobs wait."""
    return max(builders - -(-builders // BUILDERS_FOR_ONE_KEPT), 1)
