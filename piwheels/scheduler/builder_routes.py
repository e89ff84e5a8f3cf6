"""The socket route of each builder, and detection of two builders with one key. No I/O, no clock.

A builder whose connection was cut returns on another route as the same process, and is answered
there at once. Another process with its key is its successor after a crash, or a second builder: an
SD card that was copied with its key, say. Two such builders would take each other's jobs. So a
process that sends messages keeps the key, and another one waits: a successor not for long, and a
second builder is rejected as soon as both have sent messages for a while.
"""

from dataclasses import dataclass, field

from piwheels.protocol.sockets import Peer

#: Late messages on a former route have arrived by then; a builder sends more often than that.
SETTLE_S = 15.0
#: For this long after two builders were found, a newer one is rejected while the first is active.
DUPLICATE_WATCH_S = 600.0
_MAX_FORMER_ROUTES = 8


@dataclass(slots=True)
class _FormerRoute:
    peer: Peer
    instance: str
    left_at: float
    late_since: float | None = None  # the first message long after it was left


@dataclass(frozen=True, slots=True)
class RejectedPeer:
    """A peer whose messages are not accepted. It may try again, unless `permanent`."""

    peer: Peer
    permanent: bool


@dataclass(slots=True)
class _ActiveRoute:
    peer: Peer
    last_message_at: float
    instance: str = ""  # of the process there; "" where it does not say
    waiting_since: dict[str, float] = field(
        default_factory=dict
    )  # other processes, and since when each waits
    former_routes: dict[bytes, _FormerRoute] = field(default_factory=dict)
    duplicate_seen_at: float | None = None  # when two builders were last found


class Routes:
    """The routes to builders, by label. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._active: dict[str, _ActiveRoute] = {}

    def route_of(self, label: str) -> Peer | None:
        """Where a builder is answered."""
        line = self._active.get(label)
        return line.peer if line else None

    def labels_of_key(self, key: str) -> list[str]:
        """The labels under which messages with a key were received."""
        return [label for label, line in self._active.items() if line.peer.key == key]

    def remove(self, label: str) -> None:
        """Forget a builder that sends no more messages."""
        self._active.pop(label, None)

    def observe(
        self, label: str, peer: Peer, now: float, instance: str | None = ""
    ) -> RejectedPeer | None:
        """Note the route of a message; returns the peer to reject when there are two builders.

        `instance` identifies the process in a Hello; None for another message.
        """
        line = self._active.get(label)
        if line is None:
            self._active[label] = _ActiveRoute(peer, now, instance or "")
            return None
        if peer.route == line.peer.route:
            line.last_message_at = now
            return None
        former = line.former_routes.get(peer.route)
        if former is not None:
            return _on_former_route(line, former, now)
        if line.instance and instance != line.instance and now - line.last_message_at < SETTLE_S:
            return _reject_new_process(line, peer, now, instance)
        rival = self._accept_new_route(line, peer, now)
        if rival is None:
            line.instance = instance or ""
            line.waiting_since.clear()
        return rival

    def _accept_new_route(self, line: _ActiveRoute, peer: Peer, now: float) -> RejectedPeer | None:
        wary = (
            line.duplicate_seen_at is not None and now - line.duplicate_seen_at < DUPLICATE_WATCH_S
        )
        if wary and now - line.last_message_at < SETTLE_S:
            return RejectedPeer(peer, permanent=True)
        line.former_routes[line.peer.route] = _FormerRoute(line.peer, line.instance, now)
        while len(line.former_routes) > _MAX_FORMER_ROUTES:
            del line.former_routes[next(iter(line.former_routes))]
        line.peer, line.last_message_at = peer, now
        return None


def _reject_new_process(
    line: _ActiveRoute, peer: Peer, now: float, instance: str | None
) -> RejectedPeer:
    """Another process appears while one is active, which may have died a moment ago."""
    since = line.waiting_since.setdefault(instance or "", now)
    while len(line.waiting_since) > _MAX_FORMER_ROUTES:
        del line.waiting_since[next(iter(line.waiting_since))]
    # Both have sent messages for this long, so the first process is alive.
    return RejectedPeer(peer, permanent=line.last_message_at - since >= SETTLE_S)


def _on_former_route(line: _ActiveRoute, former: _FormerRoute, now: float) -> RejectedPeer | None:
    """A message on a former route: one that was late, or, again and again, a second builder.

    A process that has opened another connection is no second builder, however long a slow link
    still delivers what it sent on the former one.
    """
    same_process = bool(former.instance) and former.instance == line.instance
    if same_process or now - former.left_at < SETTLE_S:
        return None
    if former.late_since is None:
        former.late_since = now
    if now - former.late_since < SETTLE_S:
        return None
    # The newer one is rejected: the other was there first, and may have a running build.
    newcomer = line.peer
    line.peer, line.last_message_at, line.duplicate_seen_at = former.peer, now, now
    line.instance = former.instance
    del line.former_routes[former.peer.route]
    return RejectedPeer(newcomer, permanent=True)
