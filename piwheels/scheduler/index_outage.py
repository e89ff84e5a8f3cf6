"""Whether the index itself is away: several builders agree on it. No I/O and no clock.

One builder that cannot reach the index waits on its own. When builders agree, at different
releases, the whole queue waits, and one builder at a time finds out whether the index is back.
"""

from dataclasses import dataclass, field

_MIN_AGREEING = 2


@dataclass(slots=True)
class IndexOutage:
    """What builders reported of the index. Times are monotonic seconds."""

    #: The release at which each builder saw a fault, since the index last worked for anybody.
    _failed_releases: dict[str, str] = field(default_factory=dict)
    _reason: str = ""
    _blocked_until: float = 0.0
    probing_builder: str = ""  # the builder that finds out

    @property
    def reason(self) -> str:
        """What the index did, if builders agree that it is away; else ""."""
        agreed = (
            len(self._failed_releases) >= _MIN_AGREEING
            and len(set(self._failed_releases.values())) >= _MIN_AGREEING
        )
        return self._reason if agreed else ""

    def record_failure(self, label: str, release: str, reason: str, until: float) -> None:
        """A build failed by a fault of the index; its builder waits until then."""
        self._failed_releases[label] = release
        self._reason, self._blocked_until = reason, until

    def record_success(self) -> None:
        """A build had all that it needed of the index."""
        self._failed_releases.clear()

    def blocks_jobs(self, now: float, *, probing: bool) -> bool:
        """Whether builders get no job, while one of them (`probing`) finds out, or none may yet."""
        return bool(self.reason) and (now < self._blocked_until or probing)

    def on_job_started(self, label: str) -> None:
        """A builder got a job: if the index is away, it finds out."""
        self.probing_builder = label if self.reason else ""
