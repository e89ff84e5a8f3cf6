"""The health of the upstream index, which limits the concurrency and rate of requests.

Pure: times are arguments, on the monotonic clock. A problem that many projects share is a fault of
the upstream, not a fact about a project.
"""

from collections import OrderedDict
from collections.abc import Iterable

from piwheels.backoff import Backoff

#: Consecutive unusable responses before an outage is reported.
_FAULTS_BEFORE_OUTAGE = 3
#: Projects whose last response is remembered, to compare the numbers of missing and present ones.
_MAX_REMEMBERED = 200
#: Projects of which is remembered that their pages are unusable while the upstream is well.
_MAX_KNOWN_UNUSABLE = 2000


class UpstreamHealth:
    """Tracks the last responses; `outage` is the last fault during an outage, otherwise ""."""

    def __init__(self, max_concurrency: int, first_delay_s: float, max_delay_s: float) -> None:
        self._max_concurrency = max_concurrency
        self._backoff = Backoff(first_delay_s, max_delay_s)
        self._consecutive_faults = 0
        self._recent_presence: OrderedDict[str, bool] = OrderedDict()
        # Unusable since the last usable response, and those that were while others were usable.
        self._suspects: set[str] = set()
        self._known_unusable: OrderedDict[str, None] = OrderedDict()
        self.concurrency = 1  # grows by one with each usable response
        self.retry_at = float("-inf")
        self.outage = ""

    def record_success(self, project: str) -> None:
        """A usable page was received."""
        self._remember(project, present=True)
        self._known_unusable.update(dict.fromkeys(self._suspects))
        self._suspects.clear()
        self._known_unusable.pop(project, None)
        while len(self._known_unusable) > _MAX_KNOWN_UNUSABLE:
            self._known_unusable.popitem(last=False)
        self.concurrency = min(self.concurrency + 1, self._max_concurrency)
        self._backoff.reset()
        self._consecutive_faults = 0
        self.outage = ""

    def record_absent(self, project: str, problem: str) -> None:
        """The index reported that the project does not exist, or has no releases."""
        self._remember(project, present=False)
        if not self.trusts_absence():
            self._record_fault(problem)

    def record_unusable(self, project: str, problem: str) -> None:
        """An unusable response was received.

        One that a project had before, while others were usable, is the fault of its page alone.
        """
        if project in self._known_unusable:
            return
        if len(self._suspects) < _MAX_KNOWN_UNUSABLE:
            self._suspects.add(project)
        self.concurrency = max(self.concurrency // 2, 1)
        self._record_fault(problem)

    def record_overload(self, problem: str, now: float, retry_after_s: float = 0.0) -> None:
        """The upstream failed or sent Retry-After, which concerns all projects.

        Args:
            problem: the error.
            now: the current time.
            retry_after_s: of the response; 0 for none.
        """
        self.concurrency = 1
        self._record_fault(problem)
        if retry_after_s or self._consecutive_faults > 1:
            self.retry_at = max(self.retry_at, now + max(retry_after_s, self._backoff.next_s()))

    def trusts_absence(self) -> bool:
        """Whether a missing project really is missing: at least as many others are present."""
        return _mostly_present(self._recent_presence.values())

    def trusts_removal(self, project: str) -> bool:
        """Whether a project was removed whose removal was reported, and whose page is missing.

        The report is evidence of its own: of a farm's only project it is believed. It is not while
        most of the other projects are missing.
        """
        return _mostly_present(
            present for name, present in self._recent_presence.items() if name != project
        )

    def _record_fault(self, problem: str) -> None:
        self._consecutive_faults += 1
        if self._consecutive_faults >= _FAULTS_BEFORE_OUTAGE:
            self.outage = problem

    def _remember(self, project: str, *, present: bool) -> None:
        self._recent_presence[project] = present
        self._recent_presence.move_to_end(project)
        if len(self._recent_presence) > _MAX_REMEMBERED:
            self._recent_presence.popitem(last=False)


def _mostly_present(presence: Iterable[bool]) -> bool:
    found = list(presence)
    return sum(found) >= len(found) - sum(found)
