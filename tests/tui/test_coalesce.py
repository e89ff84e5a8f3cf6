"""Waiting events are coalesced: the result gives the same state as all of them."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from piwheels.protocol.messages import BuilderRemoved, Event, EventBatch, ReplyBody, Snapshot
from piwheels.tui.client.coalesce import coalesce
from piwheels.tui.model.state import MAX_BUILDS, FarmState, from_snapshot, to_snapshot
from tests.simfarm import FarmModel
from tests.tui.sample_farm import audit_event, build_finished, snapshot

NOW = 1_700_000_000.0


def random_history(world: FarmModel, steps: int, dice: random.Random) -> list[list[Event]]:
    """What happens in a farm whose builders also come and go, step by step."""
    message = []
    for _ in range(steps):
        events = world.step(dice.choice((1.0, 20.0)))
        labels = list(world.machines)
        if dice.random() < 0.3:
            events += world.kill([dice.choice(labels)])
        if dice.random() < 0.3:
            events.append(world.note("ada@desk", "looked at it"))
        message.append(events)
    return message


def observable_state(state: FarmState) -> Snapshot:
    """The visible part of a state, without load samples."""
    seen = to_snapshot(state, NOW)
    bare = tuple(
        msgspec.structs.replace(view, load_history=())
        for view in sorted(seen.status.builders, key=lambda view: view.label)
    )
    return msgspec.structs.replace(seen, status=msgspec.structs.replace(seen.status, builders=bare))


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_coalesced_events_give_the_same_state(seed: int, steps: int) -> None:
    world, dice = FarmModel(builders=13, seed=seed), random.Random(seed)
    first = world.snapshot()
    taken, melting = from_snapshot(first, NOW), from_snapshot(first, NOW)
    waiting: ReplyBody = EventBatch(events=())
    for events in random_history(world, steps, dice):
        taken.apply_update(EventBatch(events=tuple(events)), NOW)
        together = coalesce(waiting, EventBatch(events=tuple(events)))
        assert together is not None
        waiting = together
    assert isinstance(waiting, EventBatch)
    melting.apply_update(waiting, NOW)
    assert observable_state(melting) == observable_state(taken)


def test_a_backlog_does_not_grow_with_time() -> None:
    world = FarmModel(builders=20)
    waiting: ReplyBody = EventBatch(events=())
    sizes = []
    for round_of_builds in range(15):
        builds = (
            build_finished(100 * round_of_builds + n, "numpy", "built", "", 1) for n in range(100)
        )
        waiting = coalesce(waiting, EventBatch(events=(*world.step(1.0), *builds))) or waiting
        assert isinstance(waiting, EventBatch)
        sizes.append(len(waiting.events))
    assert sizes[-1] == sizes[-2] <= MAX_BUILDS + 3 * len(world.machines) + 1


def test_only_events_are_coalesced() -> None:
    event, gone = audit_event(1, "ada", "was here"), BuilderRemoved(label="pi1")
    assert coalesce(event, gone) == EventBatch(events=(event, gone))
    assert coalesce(snapshot(), gone) is None
    assert coalesce(gone, snapshot()) is None
