"""The last hours: each moment is the state that was there, within a bound of memory."""

import random

from piwheels.protocol.messages import EventBatch
from piwheels.tui.client.farm_history import FarmHistory
from piwheels.tui.model.source_events import Connected, Disconnected, MessageReceived
from piwheels.tui.model.state import FarmState, to_snapshot
from tests.simfarm import FarmModel
from tests.tui.test_recording import BEGAN, simulate_farm

MINUTE = BEGAN // 60 * 60 + 60  # the first that begins while the farm is watched


def observe(history: FarmHistory, minutes: int) -> dict[float, FarmState]:
    """Watch a simulated farm; returns its state at the time of each event."""
    farm = FarmState()
    states: dict[float, FarmState] = {}
    for event in simulate_farm(FarmModel(builders=6, build_s=40, seed=3), minutes * 60):
        now = (
            event.received_at if isinstance(event, MessageReceived) else max(states, default=BEGAN)
        )
        history.observe(farm, now)
        states[now] = farm.copy()
        farm.apply(event)
    return states


def kept_minutes(history: FarmHistory, minutes: int) -> FarmHistory:
    """Watch a farm that changes once a minute."""
    farm, model = FarmState(), FarmModel(builders=6, seed=3)
    farm.apply(Connected(model.instance, None))
    farm.apply(MessageReceived(model.snapshot(), MINUTE))
    for at in range(int(MINUTE), int(MINUTE) + minutes * 60, 60):
        history.observe(farm, at)
        farm.apply(MessageReceived(EventBatch(events=tuple(model.step(60.0))), at))
    return history


def test_every_minute_is_kept_as_it_was() -> None:
    history = FarmHistory()
    states = observe(history, 25)  # several groups, and a restarted master
    assert history.times[0] == BEGAN + 1  # the first event after the snapshot
    assert history.times[1:] == [MINUTE + 60 * minute for minute in range(25)]
    for at in random.Random(1).sample(history.times, 26):
        past = history.state_at(at)
        assert to_snapshot(past, at) == to_snapshot(states[at], at)
        assert (past.connected, past.instance) == (states[at].connected, states[at].instance)


def test_removed_builders_are_not_in_later_moments() -> None:
    history, farm, model = FarmHistory(), FarmState(), FarmModel(builders=3)
    farm.apply(Connected("one", None))
    for minute in range(4):
        history.observe(farm, MINUTE + 60 * minute)
        if minute == 0:
            farm.apply(MessageReceived(model.snapshot(), MINUTE))
        if minute == 2:
            del farm.builders[next(iter(farm.builders))]
    assert [len(history.state_at(at).builders) for at in history.times] == [3, 3, 2]


def test_the_oldest_are_dropped_when_the_limit_is_reached() -> None:
    whole = kept_minutes(FarmHistory(), 90)
    history = kept_minutes(FarmHistory(max_bytes=whole.size_bytes // 2), 90)
    assert history.size_bytes <= whole.size_bytes // 2
    assert history.times == whole.times[-len(history.times) :]
    assert 20 < len(history.times) < 70
    assert history.state_at(history.times[0]).has_snapshot


def test_before_and_after_find_the_neighbors() -> None:
    history = kept_minutes(FarmHistory(), 3)
    first, second, third = history.times
    assert history.before(first) is None
    assert history.before(first + 1) == first
    assert history.before(third) == history.after(first) == second
    assert history.after(third) is None


def test_a_moment_without_a_connection_is_kept_once() -> None:
    history, farm = FarmHistory(), FarmState()
    farm.apply(Connected("one", None))
    farm.apply(MessageReceived(FarmModel(builders=2).snapshot(), MINUTE))
    history.observe(farm, MINUTE)
    farm.apply(Disconnected("the connection ended", MINUTE + 65))
    for minute in range(1, 30):
        history.observe(farm, MINUTE + 60 * minute)
    assert history.times == [MINUTE, MINUTE + 60]
    past = history.state_at(MINUTE + 60)
    assert not past.connected
    assert past.lost_reason == "the connection ended"
    assert past.last_heard_at == MINUTE


def test_a_clock_that_was_set_back_begins_anew() -> None:
    history, farm = FarmHistory(), FarmState()
    farm.apply(Connected("one", None))
    farm.apply(MessageReceived(FarmModel(builders=2).snapshot(), MINUTE))
    for at in (0, 60, 120, -600, -540):
        history.observe(farm, MINUTE + at)
    assert history.times == [MINUTE - 600, MINUTE - 540]


def test_a_farm_of_which_nothing_is_known_has_no_moments() -> None:
    history = FarmHistory()
    for minute in range(3):
        history.observe(FarmState(), MINUTE + 60 * minute)
    assert history.times == []
