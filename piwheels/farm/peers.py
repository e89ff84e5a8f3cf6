"""Where each builder is heard, and whether two of them speak with one key. No I/O and no clock.

A builder that was restarted, or whose link was cut, comes back on another route; from then on
the former one is silent, but for what was under way. One that goes on speaking there is another
process: a key that was copied together with a card, say. The two would take each other's jobs.
"""

from dataclasses import dataclass, field

from piwheels.protocol.channels import Peer

#: What was under way on a route that was left has come by then; a builder speaks more often.
SETTLE_S = 15.0
#: For so long after two were heard, a newcomer is turned away while the first one is there.
WARY_S = 600.0
_FORMER = 8


@dataclass(slots=True)
class _Former:
    peer: Peer
    left_at: float
    late_at: float | None = None  # when it was first heard long after it was left


@dataclass(slots=True)
class _Line:
    peer: Peer
    heard_at: float
    former: dict[bytes, _Former] = field(default_factory=dict)
    two_at: float | None = None  # when two were last found to speak


class Peers:
    """The routes to builders, by label. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def of(self, label: str) -> Peer | None:
        """Where a builder is to be answered."""
        line = self._lines.get(label)
        return line.peer if line else None

    def with_key(self, key: str) -> list[str]:
        """The labels under which the holder of a key was heard."""
        return [label for label, line in self._lines.items() if line.peer.key == key]

    def forget(self, label: str) -> None:
        """Let go of a builder that will not be heard again."""
        self._lines.pop(label, None)

    def heard(self, label: str, peer: Peer, now: float) -> Peer | None:
        """Note where a builder was heard; gives the peer to turn away, when there are two."""
        line = self._lines.get(label)
        if line is None:
            self._lines[label] = _Line(peer, now)
            return None
        if peer.route == line.peer.route:
            line.heard_at = now
            return None
        former = line.former.get(peer.route)
        return self._newcomer(line, peer, now) if former is None else _late(line, former, now)

    def _newcomer(self, line: _Line, peer: Peer, now: float) -> Peer | None:
        wary = line.two_at is not None and now - line.two_at < WARY_S
        if wary and now - line.heard_at < SETTLE_S:
            return peer
        line.former[line.peer.route] = _Former(line.peer, now)
        while len(line.former) > _FORMER:
            del line.former[next(iter(line.former))]
        line.peer, line.heard_at = peer, now
        return None


def _late(line: _Line, former: _Former, now: float) -> Peer | None:
    """A route that was left speaks: what was under way, or, again and again, another builder."""
    if now - former.left_at < SETTLE_S:
        return None
    if former.late_at is None:
        former.late_at = now
    if now - former.late_at < SETTLE_S:
        return None
    # The one that came last goes: the other was there, and has work in hand.
    newcomer = line.peer
    line.peer, line.heard_at, line.two_at = former.peer, now, now
    del line.former[former.peer.route]
    return newcomer
