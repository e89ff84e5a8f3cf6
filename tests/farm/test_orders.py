"""What operators order, and what the session machine makes of it."""

import pytest

from piwheels.farm import signals as s
from piwheels.farm.session import SILENT_AFTER_S
from piwheels.farm.sessions import Sessions
from piwheels.model import Outcome
from piwheels.protocol import messages as m
from tests.farm.talk import built, deeds, hello, idle, job, kinds, replies, start

S = m.BuilderState


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (m.Order.SKIP, [m.Abandon(build=7, reason="skipped by ann")]),
        (
            m.Order.KILL,
            [m.Abandon(build=7, reason="killed by ann"), m.Stop(reason="killed by ann")],
        ),
        (m.Order.DRAIN, [m.Stop(reason="drained by ann", after_build=True)]),
        (m.Order.SLEEP, []),
    ],
)
def test_orders_to_a_builder_at_work(
    farm: Sessions, order: m.Order, expected: list[m.ToBuilder]
) -> None:
    start(farm)
    instructions = farm.handle(s.Ordered(order, ("b",), "ann"), 5.0)
    assert replies(instructions) == expected
    killed = [item for item in instructions if isinstance(item, s.Settle)]
    assert [item.outcome for item in killed] == (
        [Outcome.KILLED] if order in {m.Order.SKIP, m.Order.KILL} else []
    )


def test_a_sleeping_builder_takes_nothing_until_woken(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Ordered(m.Order.SLEEP, ("b",), "ann"), 0.0)
    assert s.Claim not in kinds(farm.handle(s.Received("b", idle()), 0.0))
    assert farm.view("b", 0.0).state == "asleep"
    assert s.Claim in kinds(farm.handle(s.Ordered(m.Order.WAKE, ("b",), "ann"), 1.0))


def test_sleep_lets_the_build_in_hand_end(farm: Sessions) -> None:
    start(farm)
    slept = farm.handle(s.Ordered(m.Order.SLEEP, ("b",), "ann"), 1.0)
    assert deeds(slept) == [s.Keep("b", S.ASLEEP, "by ann")]
    view = farm.view("b", 1.0)
    assert (view.state, view.reason) == (S.TO_SLEEP, "sleeps after this build: by ann")
    farm.handle(s.Received("b", built(7, Outcome.FAILED)), 2.0)
    farm.handle(s.Settled("b", 7, Outcome.FAILED, stored=True), 2.0)
    assert replies(farm.handle(s.Received("b", idle(7)), 3.0)) == [m.Wait(reason="asleep")]
    assert farm.view("b", 3.0).state == S.ASLEEP


@pytest.mark.parametrize("uploading", [False, True])
def test_sleep_at_once_gives_the_job_back_untried(farm: Sessions, uploading: bool) -> None:
    start(farm)
    if uploading:
        farm.handle(s.Received("b", built(7)), 0.5)
    slept = farm.handle(s.Ordered(m.Order.SLEEP, ("b",), "ann", at_once=True), 1.0)
    assert deeds(slept) == [
        s.Keep("b", S.ASLEEP, "by ann"),
        s.Reply("b", m.Abandon(build=7, reason="put to sleep by ann")),
        s.Drop(7),
        s.Release("b", 7),
    ]
    farm.handle(s.Received("b", idle(7)), 2.0)
    assert farm.view("b", 2.0).state == S.ASLEEP


def test_sleep_outlives_the_builders_restart(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Ordered(m.Order.SLEEP, ("b",), "ann"), 0.0)
    farm.handle(s.Received("b", m.Bye()), 1.0)
    farm.handle(s.Received("b", hello()), 2.0)
    assert farm.view("b", 2.0).state == S.ASLEEP


def test_a_second_sleep_and_a_second_wake_change_nothing(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Ordered(m.Order.SLEEP, ("b",), "ann"), 0.0)
    assert deeds(farm.handle(s.Ordered(m.Order.SLEEP, ("b",), "bob"), 1.0)) == []
    farm.handle(s.Ordered(m.Order.WAKE, ("b",), "ann"), 2.0)
    assert deeds(farm.handle(s.Ordered(m.Order.WAKE, ("b",), "bob"), 3.0)) == []


def test_a_drained_builder_ends_after_its_build(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Ordered(m.Order.DRAIN, ("b",), "ann"), 1.0)
    view = farm.view("b", 1.0)
    assert (view.state, view.reason) == (S.DRAINING, "ends after this build: drained by ann")
    farm.handle(s.Received("b", built(7, Outcome.FAILED)), 2.0)
    farm.handle(s.Settled("b", 7, Outcome.FAILED, stored=True), 2.0)
    asked = farm.handle(s.Received("b", idle(7)), 3.0)
    assert replies(asked) == [m.Stop(reason="drained by ann")]
    farm.handle(s.Received("b", m.Bye(reason="drained by ann")), 3.0)
    assert farm.labels() == []


def test_a_drained_builder_that_ends_without_a_word_is_gone_and_not_lost(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Ordered(m.Order.DRAIN, ("b",), "ann"), 0.0)
    gone = farm.handle(s.Tick(), SILENT_AFTER_S + 1)
    assert s.Gone("b", "drained by ann") in gone
    assert farm.labels() == []


def test_a_job_claimed_for_a_builder_that_was_drained_meanwhile_goes_back(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Received("b", idle()), 0.0)
    farm.handle(s.Ordered(m.Order.DRAIN, ("b",), "ann"), 0.0)
    assert s.Release("b", 7) in farm.handle(s.Claimed("b", job(7)), 0.0)


def test_orders_say_who_cannot_heed_them(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    assert farm.objection(m.Order.SKIP, "b") == "has no build in hand"
    assert farm.objection(m.Order.KILL, "c") == "is not connected"
    assert farm.objection(m.Order.KILL, "b") == ""


# --- a few at a time ---


class Rolling:
    """Four builders and a drain that rolls over them."""

    def __init__(self, farm: Sessions, at_a_time: int) -> None:
        self.farm = farm
        self.now = 0.0
        for label in "abcd":
            farm.handle(s.Received(label, hello()), self.now)
        self.stopped: list[str] = []
        self.do(s.Ordered(m.Order.DRAIN, tuple("abcd"), "ann", rolling=at_a_time))

    def do(self, event: s.Event) -> None:
        for item in self.farm.handle(event, self.now):
            if isinstance(item, s.Reply) and isinstance(item.message, m.Stop):
                self.stopped.append(item.label)

    def leave(self, label: str) -> None:
        self.do(s.Received(label, m.Bye()))

    def join(self, label: str) -> None:
        self.do(s.Received(label, hello()))

    def wait(self, seconds: float) -> None:
        """Time passes, and those that are there go on speaking."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for label in list(self.farm.sessions):
                if label not in self.stopped:
                    self.do(s.Received(label, m.LogLines(build=0, offset=0, data=b"")))
            self.do(s.Tick())


def test_a_rolling_drain_goes_on_when_one_is_back(farm: Sessions) -> None:
    rolling = Rolling(farm, 1)
    assert rolling.stopped == ["a"]
    rolling.leave("a")
    rolling.wait(10)
    assert rolling.stopped == ["a"], "it is not back yet"
    rolling.join("a")
    assert rolling.stopped == ["a", "b"]
    for label in "bcd":
        rolling.leave(label)
        rolling.join(label)
    assert rolling.stopped == ["a", "b", "c", "d"]
    assert farm.rollouts == []
    assert {farm.view(label, rolling.now).state for label in "abcd"} == {S.IDLE}


def test_a_rolling_drain_goes_on_when_one_is_gone_for_good(farm: Sessions) -> None:
    rolling = Rolling(farm, 2)
    assert rolling.stopped == ["a", "b"]
    rolling.leave("a")
    rolling.wait(299)
    assert rolling.stopped == ["a", "b"]
    rolling.wait(3)
    assert rolling.stopped[:3] == ["a", "b", "c"]


def test_a_rolling_drain_waits_for_a_long_build(farm: Sessions) -> None:
    farm.handle(s.Received("a", hello()), 0.0)
    farm.handle(s.Received("a", idle()), 0.0)
    farm.handle(s.Claimed("a", job(7)), 0.0)
    farm.handle(s.Received("b", hello()), 0.0)
    drain = s.Ordered(m.Order.DRAIN, ("a", "b"), "ann", rolling=1)
    assert replies(farm.handle(drain, 0.0)) == [m.Stop(reason="drained by ann", after_build=True)]
    for minute in range(1, 5):
        assert replies(farm.handle(s.Received("a", m.Building(
            build=7, phase="building", phase_s=1.0, host=m.HostState())), minute * 60.0)
        ) == [m.Continue()]  # fmt: skip
        farm.handle(s.Received("b", m.LogLines(build=0, offset=0, data=b"")), minute * 60.0)
        assert s.Reply not in kinds(farm.handle(s.Tick(), minute * 60.0))


def test_a_rolling_drain_passes_over_those_that_left_by_themselves(farm: Sessions) -> None:
    rolling = Rolling(farm, 1)
    rolling.leave("b")
    rolling.leave("a")
    rolling.join("a")
    assert rolling.stopped == ["a", "c"]


def test_a_lost_builder_holds_a_rolling_drain_up_no_longer(farm: Sessions) -> None:
    farm.handle(s.Received("a", hello()), 0.0)
    farm.handle(s.Received("a", idle()), 0.0)
    farm.handle(s.Claimed("a", job(7)), 0.0)
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Ordered(m.Order.DRAIN, ("a", "b"), "ann", rolling=1), 0.0)
    farm.handle(s.Received("b", idle()), 300.0)
    lost = farm.handle(s.Tick(), 301.0)
    assert s.Lost in kinds(lost)
    assert s.Reply("b", m.Stop(reason="drained by ann")) in lost
