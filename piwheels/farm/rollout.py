"""Builders drained a few at a time: the next when an earlier one is back, or gone for good."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Rollout:
    """A rolling drain. Times are monotonic seconds."""

    who: str
    at_a_time: int
    waiting: deque[str]
    #: Those that were told to end, and since when they are away; None: they are still there.
    out: dict[str, float | None] = field(default_factory=dict)

    def left(self, label: str, now: float) -> None:
        """A builder is away, on purpose or not."""
        if label in self.out:
            self.out[label] = now

    def back(self, label: str) -> None:
        """A builder is there anew."""
        if self.out.get(label) is not None:
            del self.out[label]

    def skip(self, label: str) -> None:
        """A builder whose turn it is is not there: it needs no draining."""
        self.out.pop(label, None)

    def turns(self, now: float, gone_after_s: float) -> list[str]:
        """Whose turn it is now."""
        for label, since in list(self.out.items()):
            if since is not None and now - since > gone_after_s:
                del self.out[label]
        turns: list[str] = []
        while self.waiting and len(self.out) < self.at_a_time:
            label = self.waiting.popleft()
            self.out[label] = None
            turns.append(label)
        return turns

    @property
    def over(self) -> bool:
        """Whether all are done."""
        return not self.waiting and not self.out
