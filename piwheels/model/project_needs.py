"""What the builds of a project need, learned from those that ended. Pure.

Of memory and disk it is the most that one used: more counts at once, and less by a quarter for each
build, so that one release that needs little does not send the next one where it fails. These sizes
are rounded up, so that many projects have the same needs: a claim looks at jobs by what they need.
The duration is a moving average. What a builder says counts up to a limit.
"""

from piwheels.model.base import Struct
from piwheels.model.builds import Build, FailureClass, FailureEvidence, Outcome, RetryDecision
from piwheels.model.job_length import is_long_build

#: The weight of the last build in the expected duration.
_LAST_WEIGHT = 0.25
#: An expected duration stays as it is if a build took as long, give or take this share.
_SAME_DURATION = 0.1
#: No project is taken to need more memory or disk.
_MAX_BYTES = 1 << 40
#: Sizes are rounded up to a multiple of a quarter of the power of two below, and to this at least.
_SMALLEST_BYTES = 64 << 20
#: After these the release has not shown how long its builds take.
_NOT_BY_RELEASE = frozenset(
    {
        FailureClass.INDEX_FAULT,
        FailureClass.FILE_GONE,
        FailureClass.DAMAGED_DOWNLOAD,
        FailureClass.BUILDER_FAULT,
        FailureClass.MASTER_FAULT,
        FailureClass.LOST,
        FailureClass.CANCELED,
    }
)


class ProjectNeeds(Struct, frozen=True, kw_only=True):
    """What a builder needs for a build of a project; 0 is unknown.

    A projection of the project, and what one build used.
    """

    min_memory_bytes: int = 0
    min_disk_bytes: int = 0
    expected_build_s: float = 0.0

    def after_success(self, used: "ProjectNeeds") -> "ProjectNeeds":
        """What is known after a build that used this and succeeded."""
        return ProjectNeeds(
            min_memory_bytes=_lowered(self.min_memory_bytes, rounded_up(used.min_memory_bytes)),
            min_disk_bytes=_lowered(self.min_disk_bytes, rounded_up(used.min_disk_bytes)),
            expected_build_s=_averaged(self.expected_build_s, used.expected_build_s),
        )

    def after_failure(self, exceeded: "ProjectNeeds") -> "ProjectNeeds":
        """What is known after a build that needed at least this, and failed for it."""
        return ProjectNeeds(
            min_memory_bytes=max(self.min_memory_bytes, rounded_up(exceeded.min_memory_bytes)),
            min_disk_bytes=max(self.min_disk_bytes, rounded_up(exceeded.min_disk_bytes)),
            expected_build_s=max(self.expected_build_s, exceeded.expected_build_s),
        )

    def after(self, build: Build, decision: RetryDecision) -> "ProjectNeeds":
        """What is known after a build, and what was decided about its failure."""
        if build.outcome is Outcome.BUILT:
            return self.after_success(
                ProjectNeeds(
                    min_memory_bytes=min(build.peak_memory_bytes, _MAX_BYTES),
                    min_disk_bytes=min(build.peak_disk_bytes, _MAX_BYTES),
                    expected_build_s=build.duration_s,
                )
            )
        over = decision.memory_over_bytes
        return self.after_failure(
            ProjectNeeds(
                min_memory_bytes=min(over + 1, _MAX_BYTES) if over else 0,
                min_disk_bytes=min(_exceeded_disk(build), _MAX_BYTES),
                expected_build_s=self._exceeded_duration(build),
            )
        )

    def _exceeded_duration(self, build: Build) -> float:
        """What a build takes at least that failed; 0 is unknown.

        Where nothing is known, only a long one counts: a build that succeeds takes longer than one
        that fails in its first minute.
        """
        by_release = build.failure_class not in _NOT_BY_RELEASE
        counts = self.expected_build_s or is_long_build(build.duration_s)
        return build.duration_s if by_release and counts else 0.0


def _exceeded_disk(build: Build) -> int:
    """What a build needs at least that ran out of disk: more than there was for it; 0: unknown."""
    if build.failure_class is not FailureClass.DISK_FULL:
        return 0
    return max(build.peak_disk_bytes, _more_than_free(build.evidence))


def _more_than_free(evidence: FailureEvidence) -> int:
    if evidence.disk_free_bytes is None:
        return 0
    return max(evidence.disk_free_bytes - evidence.disk_reserve_bytes, 0) + 1


def rounded_up(size_bytes: int) -> int:
    """A size as it is learned: one of four for each power of two; 0 is unknown."""
    if not size_bytes:
        return 0
    least = max(size_bytes, _SMALLEST_BYTES)
    step = 1 << (least.bit_length() - 3)
    return -(-least // step) * step


def _lowered(known: int, used: int) -> int:
    """The most that builds used, which falls step by step; 0 is unknown."""
    if not used:
        return known
    lower = rounded_up(known // 4 * 3)
    return max(used, lower) if used > known or lower > used else known


def _averaged(known_s: float, took_s: float) -> float:
    if not known_s or not took_s:
        return known_s or took_s
    if abs(took_s - known_s) <= _SAME_DURATION * known_s:
        return known_s
    return known_s + (took_s - known_s) * _LAST_WEIGHT
