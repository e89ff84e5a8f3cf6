"""What the console knows of the farm: built from a Snapshot, changed by events. No I/O.

Applying an event twice changes nothing, because a Snapshot may hold already what the first
events after it tell. Times (`now`, `heard`) are UNIX seconds by the source's clock.
"""

from dataclasses import dataclass, field

import msgspec

from piwheels.model import target_word
from piwheels.protocol.messages import (
    Batch,
    BuilderChanged,
    BuilderGone,
    BuilderView,
    Happened,
    JobEnded,
    JobStarted,
    Pulse,
    QueueView,
    Snapshot,
    StatusReply,
)
from piwheels.tui.source import Alive, Connected, Heard, Lost, News, SourceEvent

MOST_BUILDS = 1000
MOST_EVENTS = 1000
#: A builder's load is kept at most this often, and so many times.
LOAD_EVERY_S = 5.0
MOST_LOADS = 60


@dataclass(frozen=True, slots=True)
class Builder:
    """A builder, when it was last heard of, and its load over the last minutes."""

    view: BuilderView
    heard: float
    loads: tuple[float, ...] = ()  # oldest first
    loaded: float = 0.0  # when the last of them was taken
    taken: int = 0  # how many there ever were; a strip that sweeps goes by it

    def phase_s(self, now: float) -> float:
        """How long it has been in its phase by now."""
        return self.view.phase_s + max(0.0, now - self.heard)

    def build_s(self, now: float) -> float:
        """How long the build in hand has taken by now."""
        return self.view.build_s + max(0.0, now - self.heard)

    def view_at(self, now: float) -> BuilderView:
        """The last view of it, with the durations that it has by now."""
        busy = self.view.build is not None
        return msgspec.structs.replace(
            self.view,
            phase_s=self.phase_s(now) if busy else self.view.phase_s,
            build_s=self.build_s(now) if busy else self.view.build_s,
            silent_s=self.view.silent_s + max(0.0, now - self.heard),
        )


@dataclass(slots=True)
class FarmState:
    """The farm as it was last heard of, and whether that is now."""

    status: StatusReply | None = None  # its builders are left out: see `builders`
    builders: dict[str, Builder] = field(default_factory=dict)
    builds: dict[int, JobEnded] = field(default_factory=dict)  # by number, oldest first
    events: list[Happened] = field(default_factory=list)  # oldest first
    heard: float | None = None  # when the master last said anything
    connected: bool = False
    instance: str = ""
    same_master: bool | None = None
    lost_reason: str = ""
    retry_at: float = 0.0

    # --- what is heard ---

    def take(self, event: SourceEvent) -> None:
        """Take in what a source tells."""
        match event:
            case Connected(instance=instance, same_master=same_master):
                self.connected, self.lost_reason = True, ""
                self.instance, self.same_master = instance, same_master
            case Lost(reason=reason, retry_at=retry_at):
                self.connected = False
                self.lost_reason, self.retry_at = reason, retry_at
            case Heard(body=body, at=at):
                self.apply(body, at)
            case Alive(at=at):
                self.heard = at

    def apply(self, body: News, now: float) -> None:
        """Take in what the master says."""
        self.heard = now
        match body:
            case Batch(events=events):
                for event in events:
                    self._change(event, now)
            case Snapshot():
                self._begin(body, now)
            case _:
                self._change(body, now)

    def _begin(self, snapshot: Snapshot, now: float) -> None:
        before = self.builders
        self.builders = {
            view.label: _seen(before.get(view.label), view, now)
            for view in snapshot.status.builders
        }
        self.status = msgspec.structs.replace(snapshot.status, builders=())
        self.instance = snapshot.status.instance or self.instance
        self.builds = {build.build: build for build in reversed(snapshot.builds)}
        self.events = list(reversed(snapshot.events))
        self._trim()

    def _change(self, event: News, now: float) -> None:
        match event:
            case BuilderChanged(builder=view):
                self.builders[view.label] = _seen(self.builders.get(view.label), view, now)
            case BuilderGone(label=label):
                self.builders.pop(label, None)
            case JobEnded(build=number):
                self.builds.pop(number, None)
                self.builds[number] = event
                self._trim()
            case Happened():
                self._note(event)
            case Pulse(status=status):
                self.status = msgspec.structs.replace(status, builders=())
            case JobStarted() | _:  # a BuilderChanged tells it too
                pass

    def _note(self, event: Happened) -> None:
        for known in reversed(self.events) if event.event else ():
            if known.event == event.event:
                return
            if 0 < known.event < event.event:  # numbers grow
                break
        self.events.append(event)
        self._trim()

    def _trim(self) -> None:
        while len(self.builds) > MOST_BUILDS:
            del self.builds[next(iter(self.builds))]
        del self.events[: max(0, len(self.events) - MOST_EVENTS)]

    # --- what is asked ---

    @property
    def paused(self) -> bool:
        """Whether the master hands out no jobs."""
        return self.status is not None and self.status.paused

    @property
    def queues(self) -> tuple[QueueView, ...]:
        """What waits, in the farm's order of targets."""
        return self.status.queues if self.status else ()

    @property
    def target_words(self) -> dict[str, str]:
        """What each target is called here, by its name."""
        names = [queue.target for queue in self.queues]
        return {name: target_word(name, names) for name in names}

    @property
    def known(self) -> bool:
        """Whether a Snapshot was ever heard."""
        return self.status is not None

    def builder_of(self, build: int | None) -> Builder | None:
        """The builder of a build that is under way; None if there is none."""
        found = (item for item in self.builders.values() if item.view.build == build)
        return next(found, None) if build is not None else None


def from_snapshot(snapshot: Snapshot, now: float) -> FarmState:
    """The state of a farm that is met for the first time."""
    state = FarmState(connected=True)
    state.apply(snapshot, now)
    return state


def snapshot_of(state: FarmState, now: float) -> Snapshot:
    """What a master that knew just this much would say at this time.

    Raises:
        ValueError: nothing is known yet.
    """
    if state.status is None:
        raise ValueError("no snapshot of a farm that was never heard of")
    builders = tuple(
        msgspec.structs.replace(builder.view_at(now), loads=builder.loads)
        for builder in state.builders.values()
    )
    return Snapshot(
        status=msgspec.structs.replace(state.status, builders=builders),
        builds=tuple(reversed(state.builds.values())),
        events=tuple(reversed(state.events)),
    )


def _seen(before: Builder | None, view: BuilderView, now: float) -> Builder:
    """A builder after its master spoke of it; a view's own load history is the better one."""
    bare = msgspec.structs.replace(view, loads=()) if view.loads else view
    if view.loads:
        return Builder(bare, now, view.loads[-MOST_LOADS:], now, len(view.loads))
    if before is None:
        return Builder(bare, now, (view.host.load,), now, 1)
    if 0 <= now - before.loaded < LOAD_EVERY_S:  # a clock may have been put back
        return Builder(bare, now, before.loads, before.loaded, before.taken)
    loads = (*before.loads[1 - MOST_LOADS :], view.host.load)
    return Builder(bare, now, loads, now, before.taken + 1)
