"""News that waits melts: what is left says the same as all of it."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from piwheels.protocol.messages import Batch, BuilderGone, Event, ReplyBody, Snapshot
from piwheels.tui.backlog import melted
from piwheels.tui.state import MOST_BUILDS, FarmState, from_snapshot, snapshot_of
from tests.simfarm import World
from tests.tui.farm import ended, happened, snapshot

NOW = 1_700_000_000.0


def a_day_of(world: World, steps: int, dice: random.Random) -> list[list[Event]]:
    """What happens in a farm whose builders also come and go, step by step."""
    told = []
    for _ in range(steps):
        events = world.step(dice.choice((1.0, 20.0)))
        labels = list(world.machines)
        if dice.random() < 0.3:
            events += world.kill([dice.choice(labels)])
        if dice.random() < 0.3:
            events.append(world.note("ada@desk", "looked at it"))
        told.append(events)
    return told


def shown(state: FarmState) -> Snapshot:
    """What is to be seen of a state; loads are taken whenever a builder is heard."""
    seen = snapshot_of(state, NOW)
    bare = tuple(
        msgspec.structs.replace(view, loads=())
        for view in sorted(seen.status.builders, key=lambda view: view.label)
    )
    return msgspec.structs.replace(seen, status=msgspec.structs.replace(seen.status, builders=bare))


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_what_has_melted_leads_to_the_same_state(seed: int, steps: int) -> None:
    world, dice = World(builders=13, seed=seed), random.Random(seed)
    first = world.snapshot()
    taken, melting = from_snapshot(first, NOW), from_snapshot(first, NOW)
    waiting: ReplyBody = Batch(events=())
    for events in a_day_of(world, steps, dice):
        taken.apply(Batch(events=tuple(events)), NOW)
        together = melted(waiting, Batch(events=tuple(events)))
        assert together is not None
        waiting = together
    assert isinstance(waiting, Batch)
    melting.apply(waiting, NOW)
    assert shown(melting) == shown(taken)


def test_a_backlog_does_not_grow_with_time() -> None:
    world = World(builders=20)
    waiting: ReplyBody = Batch(events=())
    sizes = []
    for round_of_builds in range(15):
        builds = (ended(100 * round_of_builds + n, "numpy", "built", "", 1) for n in range(100))
        waiting = melted(waiting, Batch(events=(*world.step(1.0), *builds))) or waiting
        assert isinstance(waiting, Batch)
        sizes.append(len(waiting.events))
    assert sizes[-1] == sizes[-2] <= MOST_BUILDS + 3 * len(world.machines) + 1


def test_only_news_melt() -> None:
    event, gone = happened(1, "ada", "was here"), BuilderGone(label="pi1")
    assert melted(event, gone) == Batch(events=(event, gone))
    assert melted(snapshot(), gone) is None
    assert melted(gone, snapshot()) is None
