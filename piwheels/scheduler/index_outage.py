"""Detects that the index itself is unreachable: several builders report it. No I/O and no clock.

A single builder that cannot reach the index backs off on its own. When several report it, for
different releases, no builder gets a job but one at a time that probes whether the index is back.
"""

from dataclasses import dataclass, field

_MIN_AGREEING = 2


@dataclass(slots=True)
class IndexOutage:
    """What builders reported about the index. Times are monotonic seconds."""

    #: By builder, the release at which it saw a fault since the index last worked for any builder.
    _failed_releases: dict[str, str] = field(default_factory=dict)
    _reason: str = ""
    _blocked_until: float = 0.0
    probing_builder: str = ""  # the builder that finds out whether the index is back

    @property
    def reason(self) -> str:
        """The fault of the index, if enough builders report one; else ""."""
        agreed = (
            len(self._failed_releases) >= _MIN_AGREEING
            and len(set(self._failed_releases.values())) >= _MIN_AGREEING
        )
        return self._reason if agreed else ""

    def record_failure(self, label: str, release: str, reason: str, until: float) -> None:
        """A build failed because of the index; its builder waits until `until`."""
        self._failed_releases[label] = release
        self._reason, self._blocked_until = reason, until

    def record_success(self) -> None:
        """A build got all that it needed from the index."""
        self._failed_releases.clear()

    def blocks_jobs(self, now: float, *, probing: bool) -> bool:
        """Whether builders get no job: one of them is `probing`, or it is too early for a probe."""
        return bool(self.reason) and (now < self._blocked_until or probing)

    def on_job_started(self, label: str) -> None:
        """A builder got a job: if the index is unreachable, it is the probe."""
        self.probing_builder = label if self.reason else ""
