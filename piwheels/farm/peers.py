"""Where each builder is heard, and whether two of them speak with one key. No I/O and no clock.

A builder whose link was cut comes back on another route as the same process, and is answered
there at once. Another process with its key is its successor, after a crash, or a second builder: a
key that was copied together with a card, an array of jobs with one key. The two would take each
other's jobs. So a process that is heard keeps the key, and another one waits: a successor does not
have to wait for long, and a second builder is refused as soon as both were heard for a while.
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
    instance: str
    left_at: float
    late_at: float | None = None  # when it was first heard long after it was left


@dataclass(frozen=True, slots=True)
class Rival:
    """A peer that does not get through. It may try again, unless `fatal`."""

    peer: Peer
    fatal: bool


@dataclass(slots=True)
class _Line:
    peer: Peer
    heard_at: float
    instance: str = ""  # of the process that speaks there; "" for one that does not say
    waiting: dict[str, float] = field(default_factory=dict)  # processes, and since when
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

    def heard(self, label: str, peer: Peer, now: float, instance: str | None = "") -> Rival | None:
        """Note where a builder was heard; gives the peer to refuse, when there are two.

        `instance` is what a Hello says of its process; None for another message.
        """
        line = self._lines.get(label)
        if line is None:
            self._lines[label] = _Line(peer, now, instance or "")
            return None
        if peer.route == line.peer.route:
            line.heard_at = now
            return None
        former = line.former.get(peer.route)
        if former is not None:
            return _late(line, former, now)
        if line.instance and instance != line.instance and now - line.heard_at < SETTLE_S:
            return _must_wait(line, peer, now, instance)
        rival = self._newcomer(line, peer, now)
        if rival is None:
            line.instance = instance or ""
            line.waiting.clear()
        return rival

    def _newcomer(self, line: _Line, peer: Peer, now: float) -> Rival | None:
        wary = line.two_at is not None and now - line.two_at < WARY_S
        if wary and now - line.heard_at < SETTLE_S:
            return Rival(peer, fatal=True)
        line.former[line.peer.route] = _Former(line.peer, line.instance, now)
        while len(line.former) > _FORMER:
            del line.former[next(iter(line.former))]
        line.peer, line.heard_at = peer, now
        return None


def _must_wait(line: _Line, peer: Peer, now: float, instance: str | None) -> Rival:
    """Another process comes while one is heard: the first may have died a moment ago."""
    since = line.waiting.setdefault(instance or "", now)
    while len(line.waiting) > _FORMER:
        del line.waiting[next(iter(line.waiting))]
    # Both were heard for so long: the first has not died.
    return Rival(peer, fatal=line.heard_at - since >= SETTLE_S)


def _late(line: _Line, former: _Former, now: float) -> Rival | None:
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
    line.instance = former.instance
    del line.former[former.peer.route]
    return Rival(newcomer, fatal=True)
