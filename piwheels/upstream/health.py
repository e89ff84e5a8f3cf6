"""How well the upstream index answers, and so how it is asked: how many pages at once, and when.

Pure: moments are given, on the monotonic clock. What many projects have in common is a fault of
the upstream and no fact about a project.
"""

from collections import OrderedDict

#: Answers in a row that are of no use before the upstream is said to be in trouble.
_TROUBLE_AFTER = 3
#: Projects whose last answer is remembered, to compare who is absent with who is there.
_REMEMBERED = 200


class Health:
    """What the last answers tell; `trouble` is the last fault while the upstream is in trouble."""

    def __init__(self, most_at_once: int, first_delay_s: float, longest_delay_s: float) -> None:
        self._most = most_at_once
        self._first_delay_s = first_delay_s
        self._longest_delay_s = longest_delay_s
        self._delay_s = first_delay_s
        self._in_a_row = 0
        self._there: OrderedDict[str, bool] = OrderedDict()
        self.at_once = 1  # requests; grows by one with each answer, up to the most
        self.not_before = float("-inf")
        self.trouble = ""

    def answered(self, project: str) -> None:
        """A page came that counts."""
        self._remember(project, there=True)
        self.at_once = min(self.at_once + 1, self._most)
        self._delay_s = self._first_delay_s
        self._in_a_row = 0
        self.trouble = ""

    def absent(self, project: str, problem: str) -> None:
        """The index said that it knows no such project, or no release of it."""
        self._remember(project, there=False)
        if not self.believes_absence():
            self._failed(problem)

    def useless(self, problem: str) -> None:
        """An answer came that is of no use."""
        self.at_once = max(self.at_once // 2, 1)
        self._failed(problem)

    def overloaded(self, problem: str, now: float, wait_s: float = 0.0) -> None:
        """The upstream failed, or asked to be left alone for so long: that is for all projects.

        Args:
            problem: what it said.
            now: the time.
            wait_s: what it asked for (Retry-After), 0 for nothing.
        """
        self.at_once = 1
        self._failed(problem)
        if wait_s or self._in_a_row > 1:
            self.not_before = max(self.not_before, now + max(wait_s, self._delay_s))
            self._delay_s = min(self._delay_s * 2, self._longest_delay_s)

    def believes_absence(self) -> bool:
        """Whether a missing project is a fact about it: at least as many others are there."""
        there = sum(self._there.values())
        return there >= len(self._there) - there

    def _failed(self, problem: str) -> None:
        self._in_a_row += 1
        if self._in_a_row >= _TROUBLE_AFTER:
            self.trouble = problem

    def _remember(self, project: str, *, there: bool) -> None:
        self._there[project] = there
        self._there.move_to_end(project)
        if len(self._there) > _REMEMBERED:
            self._there.popitem(last=False)
