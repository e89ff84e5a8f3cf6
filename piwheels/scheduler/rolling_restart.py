"""Builders restarted a few at a time."""

from collections import deque
from dataclasses import dataclass, field

from piwheels.scheduler.state_machine_events import CommandIssued


@dataclass(slots=True)
class RollingRestart:
    """The builders still to restart, and those away now. Times are monotonic seconds.

    The next one follows when an earlier one is back, or has not come back within the timeout.
    """

    command: CommandIssued
    waiting: deque[str]
    #: Since when each is away; None for one that has to restart and is still connected.
    restarting: dict[str, float | None] = field(default_factory=dict)

    def on_left(self, label: str, now: float) -> None:
        """A builder disconnected, on purpose or not."""
        if label in self.restarting:
            self.restarting[label] = now

    def on_returned(self, label: str) -> None:
        """A builder connected again."""
        if self.restarting.get(label) is not None:
            del self.restarting[label]

    def on_absent(self, label: str) -> None:
        """A builder is not connected when its turn comes: it needs no restart."""
        self.restarting.pop(label, None)

    def next_labels(self, now: float, builder_timeout_s: float) -> list[str]:
        """The builders to restart now."""
        for label, since in list(self.restarting.items()):
            if since is not None and now - since > builder_timeout_s:
                del self.restarting[label]
        labels: list[str] = []
        while self.waiting and len(self.restarting) < self.command.max_parallel:
            label = self.waiting.popleft()
            self.restarting[label] = None
            labels.append(label)
        return labels

    @property
    def done(self) -> bool:
        """Whether every builder was restarted or passed over."""
        return not self.waiting and not self.restarting
