"""The state: after any order of events it equals a new snapshot."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from piwheels.model import AuditEvent, BuildSummary, HostMetrics, Outcome, QueueStatus
from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderRemoved,
    BuilderState,
    BuilderView,
    Event,
    EventBatch,
    Snapshot,
    StatusChanged,
    StatusReply,
)
from piwheels.tui.model import state as state_module
from piwheels.tui.model.source_events import Connected, Disconnected, Heartbeat, MessageReceived
from piwheels.tui.model.state import Builder, FarmState, from_snapshot, to_snapshot
from tests.simfarm import FarmModel

BEGAN = 1_700_000_000.0
_LABELS = st.sampled_from(["pi1", "pi2", "pi10", "\x1b[31mpi"])


def status(**changes: object) -> StatusReply:
    bare = StatusReply(
        version="1", uptime_s=5.0, paused=False, builders=(), queues=(), last_hour={},
        projects=0, releases=0, files=0, files_bytes=0, builds=0, stale_pages=0,
        database_bytes=0, host=HostMetrics(),
    )  # fmt: skip
    return msgspec.structs.replace(bare, **changes)


def queue(pending: int) -> QueueStatus:
    return QueueStatus(target="t", pending=pending, claimed=0, deferred=0)


def ended(build: int) -> BuildSummary:
    at = datetime.fromtimestamp(BEGAN + build, UTC)
    return BuildSummary(
        ended_at=at, builder="pi1", build_id=build, project="p", version="1", target="t",
        outcome=Outcome.BUILT, duration_s=1.0,
    )  # fmt: skip


def happened(number: int) -> AuditEvent:
    at = datetime.fromtimestamp(BEGAN, UTC) + timedelta(seconds=number)
    return AuditEvent(event_id=number, at=at, who="ada@here", text=f"did {number}")


_CHANGES = st.one_of(
    st.builds(
        BuilderChanged,
        builder=st.builds(
            BuilderView,
            label=_LABELS,
            state=st.sampled_from([BuilderState.IDLE, BuilderState.BUILDING, BuilderState.LOST]),
            build=st.none() | st.integers(1, 9),
            phase_s=st.floats(0, 100),
            host=st.builds(HostMetrics, load=st.floats(0, 9)),
        ),
    ),
    st.builds(BuilderRemoved, label=_LABELS),
    st.integers(1, 30).map(ended),
    st.just("happened"),
    st.builds(
        StatusChanged,
        status=st.builds(
            lambda paused, pending: status(paused=paused, queues=(queue(pending),)),
            st.booleans(),
            st.integers(0, 9),
        ),
    ),
)  # fmt: skip


class ReferenceFarm:
    """The farm as a master would keep it, in the plainest way."""

    def __init__(self) -> None:
        self.builders: dict[str, BuilderView] = {}
        self.builds: list[BuildSummary] = []
        self.events: list[AuditEvent] = []
        self.status = status()

    def change(self, change: object) -> Event:
        match change:
            case BuilderChanged(builder=view):
                self.builders[view.label] = view
            case BuilderRemoved(label=label):
                self.builders.pop(label, None)
            case BuildSummary():
                self.builds = [build for build in self.builds if build.build_id != change.build_id]
                self.builds.append(change)
            case "happened":
                change = happened(len(self.events) + 1)
                self.events.append(change)
            case StatusChanged(status=told):
                self.status = told
        assert isinstance(change, Event)
        return change

    def snapshot(self) -> Snapshot:
        return Snapshot(
            status=msgspec.structs.replace(self.status, builders=tuple(self.builders.values())),
            builds=tuple(reversed(self.builds)),
            events=tuple(reversed(self.events)),
        )


def observable_state(state: FarmState) -> object:
    """The part of a state that a snapshot has: all but arrival times and loads."""
    views = {label: builder.view for label, builder in state.builders.items()}
    return state.status, views, list(state.builds.values()), state.events


@given(st.lists(_CHANGES, max_size=40), st.integers(0, 40), st.booleans(), st.integers(0, 40))
@settings(max_examples=300)
def test_events_and_a_new_snapshot_give_the_same_state(
    changes: list[object], at: int, in_batches: bool, repeated: int
) -> None:
    truth = ReferenceFarm()
    for change in changes[:at]:
        truth.change(change)
    state = from_snapshot(truth.snapshot(), BEGAN)
    events = [truth.change(change) for change in changes[at:]]
    if in_batches:
        state.apply_update(EventBatch(events=tuple(events)), BEGAN + 1)
    for second, event in enumerate([] if in_batches else events):
        state.apply_update(event, BEGAN + second)
    assert observable_state(state) == observable_state(from_snapshot(truth.snapshot(), BEGAN))
    # Events that a snapshot holds already may come once more behind it.
    state.apply_update(truth.snapshot(), BEGAN + 50)
    for event in events[-repeated:] if repeated else []:
        state.apply_update(event, BEGAN + 51)
    views, events_shown = {b.view.label for b in state.builders.values()}, list(state.events)
    assert events_shown == truth.events
    assert views >= set(truth.builders) - {
        event.label for event in events if isinstance(event, BuilderRemoved)
    }
    assert {build.build_id for build in state.builds.values()} == {b.build_id for b in truth.builds}


def test_a_running_farm_is_followed_for_an_hour() -> None:
    world = FarmModel(builders=20, build_s=10, seed=5)
    state = from_snapshot(world.snapshot(), BEGAN)
    dice = random.Random(2)
    for second in range(0, 3600, 6):
        label = f"pi{dice.randrange(1, 21):03}"
        orders = (partial(world.drain, restart=True), world.kill, world.cancel_builds, world.wake)
        if second % 60 == 0 and not world.missing([label]):
            state.apply_update(
                EventBatch(events=tuple(dice.choice(orders)([label]))), BEGAN + second
            )
        state.apply_update(EventBatch(events=tuple(world.step(6.0))), BEGAN + second)
    state.apply_update(world.pulse(), BEGAN + 3600)
    fresh = from_snapshot(world.snapshot(), BEGAN)
    assert state.builders.keys() == fresh.builders.keys()
    assert state.status == fresh.status
    assert list(state.builds)[-100:] == list(fresh.builds)[-100:]
    for label, builder in fresh.builders.items():
        seen = msgspec.structs.replace(state.builders[label].view, load_history=())
        assert seen == builder.view


def test_lists_are_limited() -> None:
    state = from_snapshot(Snapshot(status=status()), BEGAN)
    state.apply_update(EventBatch(events=tuple(ended(n) for n in range(1, 3000))), BEGAN)
    state.apply_update(EventBatch(events=tuple(happened(n) for n in range(1, 3000))), BEGAN)
    assert list(state.builds) == list(range(2000, 3000))
    assert len(state.builds) == state_module.MAX_BUILDS
    assert [event.event_id for event in state.events] == list(range(2000, 3000))


def test_load_samples_are_limited() -> None:
    state = from_snapshot(Snapshot(status=status()), BEGAN)
    for tick in range(1000):
        view = BuilderView(label="pi1", state=BuilderState.IDLE, host=HostMetrics(load=float(tick)))
        state.apply_update(BuilderChanged(builder=view), BEGAN + 12 * tick)
    loads = state.builders["pi1"].load_samples
    assert len(loads) == state_module.MAX_LOAD_SAMPLES
    assert loads[-3:] == (985.0, 990.0, 995.0)
    message = BuilderView(label="pi1", state=BuilderState.IDLE, load_history=(1.0, 2.0))
    state.apply_update(Snapshot(status=status(builders=(message,))), BEGAN)
    assert state.builders["pi1"].load_samples == (1.0, 2.0)


def test_times_advance_between_messages() -> None:
    view = BuilderView(
        label="pi1", state=BuilderState.BUILDING, build=1, phase_s=10.0, build_s=20.0
    )
    builder = Builder(view, BEGAN)
    assert (builder.phase_s(BEGAN + 5), builder.build_s(BEGAN + 5)) == (15.0, 25.0)
    assert builder.phase_s(BEGAN - 5) == 10.0  # a clock that was set back


def test_a_disconnection_keeps_the_state() -> None:
    state = FarmState()
    assert not state.has_snapshot
    state.apply(Disconnected("no master", BEGAN + 1))
    state.apply(Connected("one", None))
    state.apply(MessageReceived(Snapshot(status=status(paused=True)), BEGAN))
    state.apply(Heartbeat(BEGAN + 7))
    state.apply(Disconnected("the connection ended", BEGAN + 9))
    assert (state.connected, state.lost_reason, state.retry_at) == (
        False, "the connection ended", BEGAN + 9,
    )  # fmt: skip
    assert state.paused
    assert state.last_heard_at == BEGAN + 7
    state.apply(Connected("two", False))
    assert (state.connected, state.same_master, state.lost_reason) == (True, False, "")


@given(st.lists(_CHANGES, max_size=30))
def test_a_snapshot_of_a_state_restores_it(changes: Iterable[object]) -> None:
    truth = ReferenceFarm()
    state = from_snapshot(truth.snapshot(), BEGAN)
    for change in changes:
        state.apply_update(truth.change(change), BEGAN)
    again = from_snapshot(to_snapshot(state, BEGAN), BEGAN)
    assert observable_state(again) == observable_state(state)
    assert {n: b.load_samples for n, b in again.builders.items()} == {
        n: b.load_samples for n, b in state.builders.items()
    }
