"""How well the upstream index answers, and so how it is asked: how many pages at once, and when.

Pure: moments are given, on the monotonic clock. What many projects have in common is a fault of
the upstream and no fact about a project.
"""

from collections import OrderedDict

#: Answers in a row that are of no use before the upstream is said to be in trouble.
_FAULTS_BEFORE_OUTAGE = 3
#: Projects whose last answer is remembered, to compare who is absent with who is there.
_MAX_REMEMBERED = 200


class UpstreamHealth:
    """What the last answers tell; `trouble` is the last fault while the upstream is in trouble."""

    def __init__(self, max_concurrency: int, first_delay_s: float, max_delay_s: float) -> None:
        self._max_concurrency = max_concurrency
        self._first_delay_s = first_delay_s
        self._max_delay_s = max_delay_s
        self._delay_s = first_delay_s
        self._consecutive_faults = 0
        self._recent_presence: OrderedDict[str, bool] = OrderedDict()
        self.concurrency = 1  # requests; grows by one with each answer, up to the most
        self.retry_at = float("-inf")
        self.outage = ""

    def record_success(self, project: str) -> None:
        """A page came that counts."""
        self._remember(project, present=True)
        self.concurrency = min(self.concurrency + 1, self._max_concurrency)
        self._delay_s = self._first_delay_s
        self._consecutive_faults = 0
        self.outage = ""

    def record_absent(self, project: str, problem: str) -> None:
        """The index said that it knows no such project, or no release of it."""
        self._remember(project, present=False)
        if not self.trusts_absence():
            self._record_fault(problem)

    def record_unusable(self, problem: str) -> None:
        """An answer came that is of no use."""
        self.concurrency = max(self.concurrency // 2, 1)
        self._record_fault(problem)

    def record_overload(self, problem: str, now: float, retry_after_s: float = 0.0) -> None:
        """The upstream failed, or asked to be left alone for so long: that is for all projects.

        Args:
            problem: what it said.
            now: the time.
            retry_after_s: what it asked for (Retry-After), 0 for nothing.
        """
        self.concurrency = 1
        self._record_fault(problem)
        if retry_after_s or self._consecutive_faults > 1:
            self.retry_at = max(self.retry_at, now + max(retry_after_s, self._delay_s))
            self._delay_s = min(self._delay_s * 2, self._max_delay_s)

    def trusts_absence(self) -> bool:
        """Whether a missing project is a fact about it: at least as many others are there."""
        there = sum(self._recent_presence.values())
        return there >= len(self._recent_presence) - there

    def _record_fault(self, problem: str) -> None:
        self._consecutive_faults += 1
        if self._consecutive_faults >= _FAULTS_BEFORE_OUTAGE:
            self.outage = problem

    def _remember(self, project: str, *, present: bool) -> None:
        self._recent_presence[project] = present
        self._recent_presence.move_to_end(project)
        if len(self._recent_presence) > _MAX_REMEMBERED:
            self._recent_presence.popitem(last=False)
