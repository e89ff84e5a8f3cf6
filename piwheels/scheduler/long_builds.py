"""Which builders leave long jobs to others, so that short ones do not wait for hours. Pure.

While short jobs wait, a part of the builders of each target builds no long ones. No builder is
idle for that: one that finds no short job takes a long one. A builder that is alone always takes
what is next. And long jobs do not wait for short ones to run out: of a target whose long jobs no
claim could take for MAX_LEFT_S, the next claim takes one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from piwheels.model import JobLength

#: For so long no claim has to take long jobs of a target.
MAX_LEFT_S = 4 * 3600.0
#: One of so many builders of a target, or of fewer, is kept for short jobs while there are some.
BUILDERS_FOR_ONE_KEPT = 4


@dataclass(frozen=True, slots=True)
class ClaimStep:
    """What a claim looks for; if there is none, the next step follows."""

    targets: tuple[str, ...]
    length: JobLength = JobLength.ANY


@dataclass(slots=True)
class LongBuilds:
    """Decides which jobs a claim may take, from how many builders have long ones."""

    #: By target, since when no claim could take its long jobs.
    _left_since: dict[str, float] = field(default_factory=dict)

    def steps(
        self,
        targets: Sequence[str],
        builders: Mapping[str, int],
        long_elsewhere: Mapping[str, int],
        now: float,
    ) -> tuple[ClaimStep, ...]:
        """What a builder's claim looks for, one after the other.

        Args:
            targets: that the builder serves.
            builders: by target, how many serve it, this one included.
            long_elsewhere: by target, how many of the others have a long build, of any target.
            now: monotonic seconds.
        """
        everything = ClaimStep(tuple(targets))
        if all(
            long_elsewhere.get(name, 0) < max_long_builds(builders.get(name, 1)) for name in targets
        ):
            return (everything,)
        overdue = tuple(
            name for name in targets if now - self._left_since.get(name, now) >= MAX_LEFT_S
        )
        first = (ClaimStep(overdue, JobLength.LONG),) if overdue else ()
        return (*first, ClaimStep(tuple(targets), JobLength.SHORT), everything)

    def note(self, steps: Sequence[ClaimStep], taken: ClaimStep | None, now: float) -> None:
        """A claim took a job at one of its steps, or none at any."""
        for step in steps:
            if step.length is JobLength.SHORT:
                for name in step.targets:
                    self._left_since.setdefault(name, now)
            else:
                for name in step.targets:
                    self._left_since.pop(name, None)
            if step == taken:
                return


def max_long_builds(builders: int) -> int:
    """How many of a target's builders may have long builds while short jobs wait."""
    return max(builders - -(-builders // BUILDERS_FOR_ONE_KEPT), 1)
