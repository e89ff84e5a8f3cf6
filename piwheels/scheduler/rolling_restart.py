"""Builders drained a few at a time: the next when an earlier one is back, or gone for good."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class RollingRestart:
    """A rolling drain. Times are monotonic seconds."""

    user: str
    max_parallel: int
    waiting: deque[str]
    #: Those that were told to end, and since when they are away; None: they are still there.
    restarting: dict[str, float | None] = field(default_factory=dict)

    def on_left(self, label: str, now: float) -> None:
        """A builder is away, on purpose or not."""
        if label in self.restarting:
            self.restarting[label] = now

    def on_returned(self, label: str) -> None:
        """A builder is there anew."""
        if self.restarting.get(label) is not None:
            del self.restarting[label]

    def on_absent(self, label: str) -> None:
        """A builder whose turn it is is not there: it needs no draining."""
        self.restarting.pop(label, None)

    def next_labels(self, now: float, builder_timeout_s: float) -> list[str]:
        """Whose turn it is now."""
        for label, since in list(self.restarting.items()):
            if since is not None and now - since > builder_timeout_s:
                del self.restarting[label]
        turns: list[str] = []
        while self.waiting and len(self.restarting) < self.max_parallel:
            label = self.waiting.popleft()
            self.restarting[label] = None
            turns.append(label)
        return turns

    @property
    def done(self) -> bool:
        """Whether all are done."""
        return not self.waiting and not self.restarting
