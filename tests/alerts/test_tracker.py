"""The life of alerts: acknowledged, muted, worse, better, forgotten, kept."""

from datetime import timedelta

import msgspec
import pytest

from piwheels.alerts import tracker as tracker_module
from piwheels.model import Alert, AlertState
from piwheels.protocol.messages import BuilderState
from tests.alerts.farm import START, Clock, builder, facts, host

HOT = facts(builder(host=host(temperature=83.0)))
FULL = facts(host=host(disk_free=9))
FULLER = facts(host=host(disk_free=1))
GOOD = facts()


def raised() -> Clock:
    clock = Clock()
    assert clock.watch(HOT, 300) == ["hot:pi1"]
    return clock


def test_an_acknowledged_alert_does_not_count_until_it_is_worse() -> None:
    clock = Clock()
    clock.watch(FULL)
    assert clock.tracker.acknowledge("tree", "ada", "new disk on Monday", START)
    clock.watch(FULL, 3600)
    alert = clock.alert("tree")
    assert (alert.state, alert.acknowledged_by) == (AlertState.ACKNOWLEDGED, "ada")
    assert alert.note == "new disk on Monday"
    clock.watch(FULLER)
    assert clock.alert("tree").state is AlertState.ACTIVE
    assert clock.alert("tree").is_critical
    clock.tracker.acknowledge("tree", "ada", "", START)
    clock.watch(FULL, 300)
    assert clock.alert("tree").is_critical, "it is not better before 10 minutes"
    clock.watch(FULL, 600)
    assert not clock.alert("tree").is_critical
    assert clock.alert("tree").state is AlertState.ACKNOWLEDGED


def test_a_muted_alert_is_back_at_its_time() -> None:
    clock = raised()
    assert clock.tracker.mute("hot:pi1", "ada", clock.now.at + timedelta(hours=1), "")
    clock.watch(HOT, 3590)
    assert clock.alert("hot:pi1").state is AlertState.MUTED
    clock.watch(HOT, 10)
    assert clock.alert("hot:pi1").state is AlertState.ACTIVE


def test_a_mute_outlasts_its_alert() -> None:
    clock = raised()
    clock.tracker.mute("hot:pi1", "ada", clock.now.at + timedelta(hours=30), "fan ordered")
    clock.watch(GOOD, 26 * 3600, every_s=600)
    assert clock.standing == []
    clock.watch(HOT, 300)
    assert clock.alert("hot:pi1").state is AlertState.MUTED
    assert clock.alert("hot:pi1").note == "fan ordered"
    clock.watch(HOT, 4 * 3600, every_s=600)
    assert clock.alert("hot:pi1").state is AlertState.ACTIVE


def test_an_acknowledgment_ends_with_its_alert() -> None:
    clock = raised()
    clock.tracker.acknowledge("hot:pi1", "ada", "", START)
    clock.watch(GOOD, 300)
    clock.watch(HOT, 300)
    assert clock.alert("hot:pi1").state is AlertState.ACTIVE


def test_an_alert_can_be_unmuted() -> None:
    clock = raised()
    clock.tracker.mute("hot:pi1", "ada", clock.now.at + timedelta(days=1), "")
    assert clock.tracker.unmute("hot:pi1")
    assert clock.alert("hot:pi1").state is AlertState.ACTIVE


@pytest.mark.parametrize("alert_id", ["hot:pi9", "hot:pi1"])
def test_only_what_stands_can_be_acknowledged(alert_id: str) -> None:
    clock = raised()
    clock.watch(GOOD, 300)
    assert not clock.tracker.acknowledge(alert_id, "ada", "", START)


def test_cleared_alerts_are_kept_for_a_day() -> None:
    clock = raised()
    clock.watch(GOOD, 300)
    clock.watch(GOOD, 24 * 3600, every_s=600)
    assert clock.alert("hot:pi1").state is AlertState.CLEARED
    clock.watch(GOOD, 60)
    assert clock.tracker.alerts == ()


def test_a_condition_with_gaps_is_no_alert() -> None:
    clock = Clock()
    clock.watch(HOT, 290)
    clock.watch(facts(builder(host=host(temperature=None))))
    assert clock.watch(HOT, 290) == []
    assert clock.watch(HOT, 10) == ["hot:pi1"]


def test_a_clock_that_is_set_raises_and_clears_nothing() -> None:
    clock = Clock()
    clock.watch(HOT, 100)
    ahead = clock.now._replace(at=clock.now.at + timedelta(days=365))
    clock.tracker.update(HOT, ahead)
    assert clock.standing == []


def test_a_text_follows_its_value_in_steps() -> None:
    clock = raised()
    changed = clock.tracker.update(facts(builder(host=host(temperature=84.0))), clock.now)
    assert not changed
    assert clock.alert("hot:pi1").text == "83C"
    assert clock.tracker.update(facts(builder(host=host(temperature=85.0))), clock.now)
    assert clock.alert("hot:pi1").text == "85C"
    clock.tracker.update(facts(builder(host=host(temperature=82.0))), clock.now)
    alert = clock.alert("hot:pi1")
    assert (alert.value, alert.worst) == (82.0, 85.0)


def test_nothing_changes_when_nothing_changes() -> None:
    clock = raised()
    assert not any(
        clock.tracker.update(HOT, clock.now._replace(monotonic_s=later)) for later in (1e3, 1e4)
    )


def test_a_restart_of_the_master_keeps_alerts_and_what_was_said_to_them() -> None:
    clock = raised()
    clock.tracker.acknowledge("hot:pi1", "ada", "new fan", START)
    stored = msgspec.json.encode(clock.tracker.alerts)
    again = Clock(*msgspec.json.decode(stored, type=tuple[Alert, ...]))
    assert again.tracker.alerts == clock.tracker.alerts
    away = facts(builder("pi2"))  # its builder has not connected yet
    assert again.watch(away, 600) == ["hot:pi1"]
    assert again.watch(HOT, 600) == ["hot:pi1"]
    assert again.alert("hot:pi1").since == clock.alert("hot:pi1").since
    assert again.alert("hot:pi1").note == "new fan"


def test_alerts_of_a_builder_that_is_gone_are_cleared_later() -> None:
    clock = raised()
    clock.watch(facts(builder(state=BuilderState.LOST), host=host(disk_free=9)))
    away = facts(builder("pi2"), host=host(disk_free=9))
    assert clock.watch(away, 3500, every_s=100) == ["lost:pi1", "tree", "hot:pi1"]
    assert clock.watch(away, 200, every_s=100) == ["lost:pi1", "tree"]
    assert clock.watch(away, 7 * 86400, every_s=3600) == ["tree"]


def test_the_queue_of_a_target_that_is_gone_has_no_alert() -> None:
    clock = Clock()
    idle = facts(queues=(msgspec.structs.replace(GOOD.status.queues[0], has_builder=False),))
    assert len(clock.watch(idle, 600)) == 1
    assert clock.watch(facts(queues=())) == []


def test_the_worst_are_first_and_the_last_cleared_follow() -> None:
    clock = Clock()
    clock.watch(facts(builder(state=BuilderState.QUARANTINED)))
    clock.watch(GOOD)
    clock.watch(facts(host=host(disk_free=9), paused=True, paused_at=START), 3600)
    clock.watch(
        facts(
            builder(state=BuilderState.LOST), host=host(disk_free=9), paused=True, paused_at=START
        )
    )
    assert [alert.alert_id for alert in clock.tracker.alerts] == [
        "lost:pi1", "tree", "paused", "quarantined:pi1",
    ]  # fmt: skip


def test_the_number_of_alerts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "MAX_ALERTS", 5)
    monkeypatch.setattr(tracker_module, "MAX_CLEARED", 3)
    clock = Clock()
    lost = [builder(f"pi{number}", state=BuilderState.LOST) for number in range(9)]
    assert len(clock.watch(facts(*lost))) == 5
    clock.watch(facts(*(builder(f"pi{number}") for number in range(9))))
    assert len(clock.tracker.alerts) == 3
