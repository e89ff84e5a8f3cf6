"""What both state machines, the master's and the builder's, keep of their events."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

#: How many transitions of each builder are kept.
MAX_TRANSITIONS = 100
#: The state of a builder that is not connected.
DISCONNECTED = "disconnected"


class InvariantError(AssertionError):
    """A state machine is in a state that must not occur; the message says which."""


def event_name(event: object) -> str:
    """The name of an event, or of the message that it brings."""
    return type(getattr(event, "message", event)).__name__


class Transition(NamedTuple):
    """An event, and a builder's state before and after it. `at` is in monotonic seconds."""

    at: float
    event: str
    after: str
    build: int | None = None
    reason: str = ""
    before: str = DISCONNECTED


@dataclass(slots=True)
class TransitionLog:
    """The last transitions of each builder, the oldest first."""

    _transitions: dict[str, deque[Transition]] = field(default_factory=dict)

    def observe(self, label: str, transition: Transition, *, always: bool = False) -> None:
        """Keep an event after which a builder is in another state or has another build.

        With `always`, one that changed neither is kept too.
        """
        kept = self._transitions.setdefault(label, deque(maxlen=MAX_TRANSITIONS))
        last = kept[-1] if kept else None
        before = last.after if last else DISCONNECTED
        same = transition.after == before and (last is None or transition.build == last.build)
        if always or not same:
            kept.append(transition._replace(before=before))

    def of(self, label: str) -> tuple[Transition, ...]:
        """What is kept of a builder."""
        return tuple(self._transitions.get(label, ()))
