"""Each rule raises its alert, keeps it between its two limits, and clears it."""

from typing import Any, NamedTuple

import pytest

from piwheels.alerts.growth import Growth
from piwheels.alerts.reading import Facts
from piwheels.alerts.rules import RULES
from piwheels.alerts.texts import explanation
from piwheels.model import AlertRule, AwaitedPackage, BuildHistory, HostMetrics, LiveDownloads
from piwheels.protocol.messages import BuilderState
from tests.alerts.farm import TARGET, Clock, builder, facts, host, queue


class Case(NamedTuple):
    """An alert: a farm that has it, one between the limits, one that clears it."""

    alert_id: str
    text: str
    raised: Facts
    between: Facts | None
    clear: Facts
    critical: bool = False


GOOD = facts()
_RUNNING: dict[str, Any] = {
    "build": 7,
    "project": "regex",
    "release_version": "2025.11.3",
    "expected_s": 720.0,
}


def history(built: int, failed: int) -> BuildHistory:
    """Nine of ten builds of the day succeeded; the last hour had these."""
    return BuildHistory(built=(90,) * 47 + (built,), failed=(10,) * 47 + (failed,))


def grown(by: int, *, grew: bool = False, shorter: bool = False) -> Facts:
    return facts(more={"growth": {TARGET: Growth(by, grew, shorter)}})


CASES = [
    Case(
        "lost:pi1",
        "no signal; numpy 2.1 queued again",
        facts(
            builder(
                state=BuilderState.LOST,
                reason="no message for 300 s; build 7 (numpy 2.1) was requeued",
                project="numpy",
                release_version="2.1",
            )
        ),
        facts(builder("pi2")),  # the master forgot the builder
        GOOD,
        critical=True,
    ),
    Case(
        "silent:pi1",
        "no signal",
        facts(builder(state=BuilderState.SILENT, since_last_message_s=70.0)),
        facts(builder(state=BuilderState.SILENT, since_last_message_s=40.0)),
        GOOD,
    ),
    Case(
        "quarantined:pi1",
        "no sandbox",
        facts(builder(state=BuilderState.QUARANTINED, reason="no sandbox")),
        facts(builder(state=BuilderState.SILENT)),
        GOOD,
        critical=True,
    ),
    Case(
        "overdue:pi1",
        "regex 2025.11.3 takes over 12m",
        facts(builder(state=BuilderState.OVERDUE, build_s=800.0, **_RUNNING)),
        None,
        facts(builder(state=BuilderState.BUILDING, build_s=10.0, **_RUNNING)),
    ),
    Case(
        "hot:pi1",
        "83C, throttled 38 of the last 60 min",
        facts(builder(host=host(temperature=83.0, throttled=True, throttled_s=2251.0))),
        facts(builder(host=host(temperature=76.0, throttled=False))),
        facts(builder(host=host(temperature=74.0, throttled=False))),
    ),
    Case(
        "hot:pi1",
        "71C, throttled",
        facts(builder(host=host(temperature=71.0, throttled=True, throttled_s=0.0))),
        None,
        facts(builder(host=host(temperature=71.0, throttled=False, throttled_s=900.0))),
    ),
    Case(
        "hot:pi1",
        "throttled 1 of the last 60 min",
        facts(builder(host=host(temperature=None, throttled=True, throttled_s=10.0))),
        None,
        facts(builder(host=host(temperature=None, throttled=False, throttled_s=600.0))),
    ),
    Case(
        "slow:pi1",
        "1.9x its peers",
        facts(builder(peer_ratio=1.9)),
        facts(builder(peer_ratio=1.4)),
        facts(builder(peer_ratio=1.2)),
    ),
    Case(
        "clock:pi1",
        "2m10s off, behind",
        facts(builder(clock_offset_s=-130.0)),
        facts(builder(clock_offset_s=-59.0)),
        facts(builder(clock_offset_s=29.0)),
    ),
    Case(
        "clock:pi1",
        "1m off, ahead",
        facts(builder(clock_offset_s=60.0)),
        facts(builder(clock_offset_s=30.0)),
        facts(builder(clock_offset_s=-1.0)),
    ),
    Case(
        "disk:pi1",
        "96% used, 4 Bytes free",
        facts(builder(host=host(disk_free=4))),
        facts(builder(host=host(disk_free=7))),
        facts(builder(host=host(disk_free=9))),
    ),
    Case(
        "memory:pi1",
        "97% used",
        facts(builder(host=host(memory_free=3))),
        facts(builder(host=host(memory_free=8))),
        facts(builder(host=host(memory_free=11))),
    ),
    Case(
        "all-failed:pi1",
        "6 builds failed in the last hour, none succeeded",
        facts(builder(built_last_hour=0, failed_last_hour=6)),
        facts(builder(built_last_hour=0, failed_last_hour=3)),
        facts(builder(built_last_hour=1, failed_last_hour=3)),
    ),
    Case(
        f"unserved:{TARGET}",
        "1,067 wait and no builder serves it",
        facts(queues=(queue(pending=1067, has_builder=False),)),
        None,
        GOOD,
        critical=True,
    ),
    Case(
        "failing",
        "25% failed in 1h, 10% is usual",
        facts(build_history=history(75, 25)),
        facts(build_history=history(82, 18)),
        facts(build_history=history(90, 10)),
    ),
    Case(
        "tree",
        "91% used, 9 Bytes free",
        facts(host=host(disk_free=9)),
        facts(host=host(disk_free=11)),
        facts(host=host(disk_free=13)),
    ),
    Case(
        "tree",
        "98% used, 2 Bytes free",
        facts(host=host(disk_free=2)),
        facts(host=host(disk_free=11)),
        facts(host=host(disk_free=13)),
        critical=True,
    ),
    Case(
        "hot",
        "85C",
        facts(host=host(temperature=85.0)),
        facts(host=host(temperature=None)),
        GOOD,
    ),
    Case(
        "memory",
        "99% used",
        facts(host=host(memory_free=1)),
        facts(host=host(memory_total=0)),
        GOOD,
    ),
    Case(
        "master",
        "load 8.4 of 4 cores",
        facts(host=host(load=8.4)),
        facts(host=host(load=4.1)),
        facts(host=host(load=3.9)),
    ),
    Case(
        "upstream",
        "not read for 30m: 503 from the index",
        facts(upstream_lag_s=2000.0, upstream_status_text="503 from the index"),
        facts(upstream_lag_s=None, uptime_s=60.0),
        GOOD,
    ),
    Case(
        "upstream",
        "not read for 6h",
        facts(upstream_lag_s=None, uptime_s=90_000.0),
        None,
        GOOD,
        critical=True,
    ),
    Case(
        f"growing:{TARGET}",
        "41 more in 3h",
        grown(41, grew=True),
        grown(41, grew=False),
        grown(10, shorter=True),
    ),
    Case(
        "access-log",
        "no access log is read any more",
        facts(more={"access_log_was_read": True}),
        GOOD,
        facts(downloads=LiveDownloads(connected=True)),
    ),
    Case("paused", "no jobs are assigned", facts(paused=True), None, GOOD),
    Case("database", "locked by 4711", facts(database="locked by 4711"), None, GOOD, critical=True),
    Case(
        "no-jobs",
        "no jobs are assigned: the index does not answer",
        facts(waits="the index does not answer"),
        None,
        GOOD,
        critical=True,
    ),
    Case(
        "packages",
        "3 releases waiting for libpq-dev",
        facts(awaited_packages=(AwaitedPackage(package="libpq-dev", releases=3),)),
        None,
        GOOD,
    ),
]
_IDS = [f"{case.alert_id}-{'critical' if case.critical else 'warning'}" for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_a_rule_raises_keeps_and_clears_its_alert(case: Case) -> None:
    clock, rule = Clock(), RULES[AlertRule(case.alert_id.partition(":")[0])]
    assert clock.watch(GOOD) == []
    if rule.hold_s:
        assert clock.watch(case.raised, rule.hold_s - 10) == [], "not before it held long enough"
        clock.watch(case.raised, 10)
    else:
        clock.watch(case.raised)
    assert clock.standing == [case.alert_id]
    alert = clock.alert(case.alert_id)
    assert (alert.text, alert.is_critical) == (case.text, case.critical)
    assert (clock.now.at - alert.since).total_seconds() == rule.hold_s
    if case.between is not None:
        assert case.alert_id in clock.watch(case.between, 600)
    if rule.clear_s:
        assert case.alert_id in clock.watch(case.clear, rule.clear_s - 10)
        clock.watch(case.clear, 10)
    else:
        clock.watch(case.clear)
    assert clock.standing == []
    assert clock.alert(case.alert_id).cleared_at == clock.now.at


@pytest.mark.parametrize("case", [case for case in CASES if case.between], ids=lambda it: it.text)
def test_between_its_limits_a_rule_raises_nothing(case: Case) -> None:
    assert case.between is not None
    assert case.alert_id not in Clock().watch(case.between, 7200)


def test_a_missing_fact_raises_nothing_and_clears_nothing() -> None:
    clock = Clock()
    hot = facts(builder(host=host(temperature=90.0)), host=host(disk_free=1))
    assert clock.watch(hot, 400) == ["tree", "hot:pi1"]
    unknown = facts(builder(host=HostMetrics()), host=HostMetrics(), more={"cores": None})
    assert clock.watch(unknown, 3600) == ["tree", "hot:pi1"]
    assert Clock().watch(unknown, 3600) == []


def test_few_builds_say_nothing_about_the_share_that_fails() -> None:
    assert Clock().watch(facts(build_history=history(9, 9)), 600) == []


def test_untrusted_texts_are_one_safe_line() -> None:
    clock = Clock()
    reason = "\x1b]0;owned\x07" + "long " * 200
    clock.watch(facts(builder(state=BuilderState.QUARANTINED, reason=reason)))
    text = clock.alert("quarantined:pi1").text
    assert text.isprintable()
    assert len(text) <= 300


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_every_alert_can_be_explained(case: Case) -> None:
    clock = Clock()
    clock.watch(case.raised, 3700)
    meaning, advice = explanation(clock.alert(case.alert_id), clock.now.at)
    assert meaning.startswith(clock.alert(case.alert_id).subject)
    assert advice.endswith(".")
