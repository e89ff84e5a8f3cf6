"""The last hours of a farm, kept in memory: its state at the end of each minute.

The first moment of a group is the whole state, and the others are what has changed since that one.
When the limit is reached, the oldest group is dropped. The states are packed as in a recording.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from piwheels.model import AuditEvent, BuildSummary
from piwheels.protocol.messages import (
    AlertsChanged,
    BuilderChanged,
    BuilderRemoved,
    Event,
    EventBatch,
    OperatorsChanged,
    StatusChanged,
)
from piwheels.tui.client.recording import (
    BlockContents,
    pack_contents,
    state_events,
    unpack_contents,
)
from piwheels.tui.model.state import FarmState, builder_views, to_snapshot

INTERVAL_S = 60.0
#: More than five hours of 50 builders with 25 builds a minute, and one hour of 500.
MAX_BYTES = 6_000_000
#: A whole state is several times as large as the changes of a minute.
_GROUP_SIZE = 20


class _Moment(NamedTuple):
    at: float
    packed: bytes  # the changes since its group's first moment; of that, the whole state


class _Group(NamedTuple):
    """Moments, and what the first one had: the others lack these builds and events."""

    moments: list[_Moment]
    session: int  # of the console; another connection has another one
    builders: frozenset[str]
    builds: dict[int, BuildSummary]
    events: frozenset[AuditEvent]

    def is_complete(self, farm: FarmState) -> bool:
        """Whether the next moment begins another group."""
        return len(self.moments) >= _GROUP_SIZE or farm.session != self.session

    @property
    def size_bytes(self) -> int:
        return sum(len(moment.packed) for moment in self.moments)


class FarmHistory:
    """Keeps the state of each minute that `observe` sees, as long as there is room."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._groups: list[_Group] = []
        self._size_bytes = 0
        self._minute: float | None = None  # the one that was observed last
        self._was_connected = True

    @property
    def size_bytes(self) -> int:
        """The size of what is kept."""
        return self._size_bytes

    @property
    def times(self) -> list[float]:
        """The times of the moments, the oldest first."""
        return [moment.at for group in self._groups for moment in group.moments]

    def before(self, at: float) -> float | None:
        """The last moment before a time; None if there is none."""
        times = self.times
        place = bisect_left(times, at)
        return times[place - 1] if place else None

    def after(self, at: float) -> float | None:
        """The first moment after a time; None if there is none."""
        times = self.times
        place = bisect_right(times, at)
        return times[place] if place < len(times) else None

    def observe(self, farm: FarmState, now: float) -> None:
        """Keep the state, which an event is about to change, when a minute has ended."""
        minute = now // INTERVAL_S
        if minute == self._minute or not farm.has_snapshot:
            return
        self._minute = minute
        was_connected, self._was_connected = self._was_connected, farm.connected
        if farm.connected or was_connected:  # else it is like the moment before
            self._keep(farm, now)

    def _keep(self, farm: FarmState, now: float) -> None:
        times = self.times
        if times and now <= times[-1]:  # the clock was set back
            self._groups, self._size_bytes = [], 0
        if not self._groups or self._groups[-1].is_complete(farm):
            known = frozenset(farm.builders), dict(farm.builds), frozenset(farm.events)
            self._groups.append(_Group([], farm.session, *known))
        group = self._groups[-1]
        make_body = partial(_changes_since, group) if group.moments else to_snapshot
        packed = pack_contents(BlockContents(tuple(state_events(farm, now, make_body)), ()))
        group.moments.append(_Moment(now, packed))
        self._size_bytes += len(packed)
        while self._size_bytes > self._max_bytes and len(self._groups) > 1:
            self._size_bytes -= self._groups.pop(0).size_bytes

    def state_at(self, at: float) -> FarmState:
        """The state of the moment at this time.

        Raises:
            KeyError: there is none.
        """
        for group in self._groups:
            first = group.moments[0]
            for moment in group.moments:
                if moment.at == at:
                    return _unpack(first) if moment is first else _unpack(first, moment)
        raise KeyError(at)


def _unpack(*moments: _Moment) -> FarmState:
    farm = FarmState()
    for moment in moments:
        for event in unpack_contents(moment.packed).preamble:
            farm.apply(event)
    return farm


def _changes_since(group: _Group, farm: FarmState, now: float) -> EventBatch:
    return EventBatch(events=tuple(_events_since(group, farm, now)))


def _events_since(group: _Group, farm: FarmState, now: float) -> Iterator[Event]:
    """What leads from the first moment of a group to this state."""
    for view in builder_views(farm, now):
        yield BuilderChanged(builder=view)
    for label in group.builders - set(farm.builders):
        yield BuilderRemoved(label=label)
    for number, build in farm.builds.items():
        if group.builds.get(number) != build:
            yield build
    for event in farm.events:
        if event not in group.events:
            yield event
    if farm.status is not None:
        yield StatusChanged(status=farm.status)
    yield AlertsChanged(alerts=farm.alerts)
    yield OperatorsChanged(operators=farm.operators)
