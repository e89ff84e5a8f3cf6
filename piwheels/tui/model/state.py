"""The state of the farm as the console knows it: built from a Snapshot, updated by events.

Applying an event twice changes nothing, because a Snapshot may already include the first events
after it. Times are UNIX seconds by the source's clock.
"""

from dataclasses import dataclass, field, replace

import msgspec

from piwheels.model import Alert, AuditEvent, BuildSummary, QueueStatus, short_target_name
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.messages import (
    AlertsChanged,
    BuilderChanged,
    BuilderRemoved,
    BuilderState,
    BuilderView,
    EventBatch,
    OperatorsChanged,
    OperatorSession,
    Snapshot,
    StatusChanged,
    StatusReply,
)
from piwheels.tui.model.source_events import (
    Connected,
    Disconnected,
    Heartbeat,
    MessageReceived,
    SourceEvent,
    Update,
)

MAX_BUILDS = 1000
MAX_EVENTS = 1000
#: A builder's load is sampled at most this often, as by the master, and so many samples are kept.
LOAD_SAMPLE_INTERVAL_S = 60.0
MAX_LOAD_SAMPLES = 60


@dataclass(frozen=True, slots=True)
class Builder:
    """A builder as last reported, when that was, and its load over the last minutes."""

    view: BuilderView
    received_at: float
    load_samples: tuple[float, ...] = ()  # oldest first
    sampled_at: float = 0.0  # when the last sample was taken

    def phase_s(self, now: float) -> float:
        """How long it has been in its phase."""
        return self.view.phase_s + max(0.0, now - self.received_at)

    def build_s(self, now: float) -> float:
        """How long the running build has taken."""
        return self.view.build_s + max(0.0, now - self.received_at)

    def view_at(self, now: float) -> BuilderView:
        """Its last report, with durations as of now."""
        busy = self.view.build is not None
        return msgspec.structs.replace(
            self.view,
            phase_s=self.phase_s(now) if busy else self.view.phase_s,
            build_s=self.build_s(now) if busy else self.view.build_s,
            since_last_message_s=self.view.since_last_message_s + max(0.0, now - self.received_at),
        )


@dataclass(slots=True)
class FarmState:
    """The farm as last reported, and whether the master is connected."""

    #: Without its builders, alerts and operators, which have fields of their own.
    status: StatusReply | None = None
    alerts: tuple[Alert, ...] = ()  # the worst first, then those that were cleared lately
    operators: tuple[OperatorSession, ...] = ()  # with a console, this one too
    session: int = 0  # its own among them
    role: ControlRole = ControlRole.ADMINISTER  # what the master lets it do
    builders: dict[str, Builder] = field(default_factory=dict)
    builds: dict[int, BuildSummary] = field(default_factory=dict)  # by number, oldest first
    events: list[AuditEvent] = field(default_factory=list)  # oldest first
    last_heard_at: float | None = None  # the last message or heartbeat
    connected: bool = False
    connections: int = 0  # so many were made; what was asked for in an earlier one is asked again
    instance: str = ""
    same_master: bool | None = None
    lost_reason: str = ""
    retry_at: float = 0.0

    def copy(self) -> "FarmState":
        """A state that later events do not change."""
        return replace(
            self,
            builders=dict(self.builders),
            builds=dict(self.builds),
            events=list(self.events),
        )

    def apply(self, event: SourceEvent) -> None:
        """Apply an event of the source."""
        match event:
            case Connected(instance=instance, same_master=same_master):
                self.connected, self.lost_reason = True, ""
                self.connections += 1
                self.instance, self.same_master = instance, same_master
            case Disconnected(reason=reason, retry_at=retry_at):
                self.connected = False
                self.lost_reason, self.retry_at = reason, retry_at
            case MessageReceived(body=body, received_at=at):
                self.apply_update(body, at)
            case Heartbeat(received_at=at):
                self.last_heard_at = at

    def apply_update(self, body: Update, now: float) -> None:
        """Apply a message of the master."""
        self.last_heard_at = now
        match body:
            case EventBatch(events=events):
                for event in events:
                    self._apply_event(event, now)
            case Snapshot():
                self._load_snapshot(body, now)
            case _:
                self._apply_event(body, now)

    def _load_snapshot(self, snapshot: Snapshot, now: float) -> None:
        before = self.builders
        self.builders = {
            view.label: _updated_builder(before.get(view.label), view, now)
            for view in snapshot.status.builders
        }
        self.status = _bare(snapshot.status)
        self.alerts, self.operators = snapshot.status.alerts, snapshot.status.operators
        self.session, self.role = snapshot.session, snapshot.role
        self.instance = snapshot.status.instance or self.instance
        self.builds = {build.build_id: build for build in reversed(snapshot.builds)}
        self.events = list(reversed(snapshot.events))
        self._drop_oldest()

    def _apply_event(self, event: Update, now: float) -> None:
        match event:
            case BuilderChanged(builder=view):
                self.builders[view.label] = _updated_builder(
                    self.builders.get(view.label), view, now
                )
            case BuilderRemoved(label=label):
                self.builders.pop(label, None)
            case BuildSummary(build_id=number):
                self.builds.pop(number, None)
                self.builds[number] = event
                self._drop_oldest()
            case AuditEvent():
                self._add_event(event)
            case StatusChanged(status=status):
                self.status = _bare(status)
            case AlertsChanged(alerts=alerts):
                self.alerts = alerts
            case OperatorsChanged(operators=operators):
                self.operators = operators
            case _:
                pass

    def _add_event(self, event: AuditEvent) -> None:
        for known in reversed(self.events) if event.event_id else ():
            if known.event_id == event.event_id:
                return
            if 0 < known.event_id < event.event_id:  # numbers grow
                break
        self.events.append(event)
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        while len(self.builds) > MAX_BUILDS:
            del self.builds[next(iter(self.builds))]
        del self.events[: max(0, len(self.events) - MAX_EVENTS)]

    @property
    def paused(self) -> bool:
        """Whether the master assigns no jobs."""
        return self.status is not None and self.status.paused

    @property
    def queues(self) -> tuple[QueueStatus, ...]:
        """The queues, in the farm's order of targets."""
        return self.status.queues if self.status else ()

    @property
    def present_builders(self) -> tuple[Builder, ...]:
        """All builders but those that an operator ended."""
        builders = self.builders.values()
        return tuple(it for it in builders if it.view.state is not BuilderState.ENDED)

    @property
    def other_operators(self) -> tuple[OperatorSession, ...]:
        """Those who are connected with another console."""
        return tuple(each for each in self.operators if each.session != self.session)

    @property
    def target_names(self) -> dict[str, str]:
        """The short name of each target, by its full name."""
        names = [queue.target for queue in self.queues]
        return {name: short_target_name(name, names) for name in names}

    @property
    def has_snapshot(self) -> bool:
        """Whether a Snapshot was ever received."""
        return self.status is not None

    def builder_of_build(self, build: int | None) -> Builder | None:
        """The builder of a running build; None if there is none."""
        found = (item for item in self.builders.values() if item.view.build == build)
        return next(found, None) if build is not None else None


def from_snapshot(snapshot: Snapshot, now: float) -> FarmState:
    """The state after a first Snapshot."""
    state = FarmState(connected=True)
    state.apply_update(snapshot, now)
    return state


def to_snapshot(state: FarmState, now: float) -> Snapshot:
    """The state as a Snapshot, with durations as of now.

    Raises:
        ValueError: there is no Snapshot yet.
    """
    if state.status is None:
        raise ValueError("no snapshot was received yet")
    status = msgspec.structs.replace(
        state.status,
        builders=builder_views(state, now),
        alerts=state.alerts,
        operators=state.operators,
    )
    return Snapshot(
        status=status,
        builds=tuple(reversed(state.builds.values())),
        events=tuple(reversed(state.events)),
        session=state.session,
        role=state.role,
    )


def builder_views(state: FarmState, now: float) -> tuple[BuilderView, ...]:
    """The builders, with durations as of now and with their load history."""
    return tuple(
        msgspec.structs.replace(builder.view_at(now), load_history=builder.load_samples)
        for builder in state.builders.values()
    )


def _bare(status: StatusReply) -> StatusReply:
    return msgspec.structs.replace(status, builders=(), alerts=(), operators=())


def _updated_builder(before: Builder | None, view: BuilderView, now: float) -> Builder:
    """A builder after a report; the report's own load history takes precedence."""
    bare = msgspec.structs.replace(view, load_history=()) if view.load_history else view
    if view.load_history:
        return Builder(bare, now, view.load_history[-MAX_LOAD_SAMPLES:], now)
    if before is None:
        return Builder(bare, now, (view.host.load,), now)
    if 0 <= now - before.sampled_at < LOAD_SAMPLE_INTERVAL_S:  # a clock may have been set back
        return Builder(bare, now, before.load_samples, before.sampled_at)
    loads = (*before.load_samples[1 - MAX_LOAD_SAMPLES :], view.host.load)
    return Builder(bare, now, loads, now)
