"""Each rule raises its alert, keeps it between its two limits, and clears it."""

from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from piwheels.alerts.growth import Growth
from piwheels.alerts.reading import Facts
from piwheels.alerts.rules import RULES
from piwheels.alerts.texts import explanation
from piwheels.model import (
    AlertRule,
    AwaitedPackage,
    BucketProgress,
    FirstCopy,
    HostMetrics,
    LiveDownloads,
    RefusedKey,
    TargetResults,
)
from piwheels.protocol.messages import BuilderState
from tests.alerts.farm import START, TARGET, Clock, builder, facts, host, queue


class Case(NamedTuple):
    """An alert: a farm that has it, one between the limits, one that clears it."""

    alert_id: str
    text: str
    raised: Facts
    between: Facts | None
    clear: Facts
    critical: bool = False


GOOD = facts()
GOOD_RESULTS = facts(more={"results": {TARGET: TargetResults(built=9, built_before=99)}})
_RUNNING: dict[str, Any] = {
    "build": 7,
    "project": "regex",
    "release_version": "2025.11.3",
    "expected_s": 720.0,
    "longest_s": 240.0,
}


def ended(built: int, failed: int, *, of_target: str = "gone") -> Facts:
    """Nine of ten builds of the week succeeded; the last hour had these."""
    found = TargetResults(built=built, failed=failed, built_before=9000, failed_before=1000)
    return facts(more={"results": {of_target: found}})


def waiting(pages: int, oldest_s: float) -> Facts:
    return facts(stale_pages=pages, oldest_page_at=START - timedelta(seconds=oldest_s))


def uncopied(changes: int, oldest_s: float, problem: str = "") -> Facts:
    bucket = BucketProgress(
        target="s3://farm",
        waiting=changes,
        oldest_at=START - timedelta(seconds=oldest_s),
        first_copy=FirstCopy.DONE,
        fraction=1.0,
    )
    return facts(bucket=bucket, bucket_problem=problem)


def refused(*keys: str, ago_s: float = 0.0) -> Facts:
    found = [RefusedKey("builder", key, START - timedelta(seconds=ago_s)) for key in keys]
    return facts(more={"refused_keys": found})


def full_in(subject: str, hours: float) -> Facts:
    return facts(more={"full_in_s": {subject: hours * 3600}})


def grown(by: int, *, grew: bool = False, shorter: bool = False) -> Facts:
    return facts(more={"growth": {TARGET: Growth(by, grew, shorter)}})


CASES = [
    Case(
        "lost:pi1",
        "no signal; numpy 2.1 queued again",
        facts(
            builder(
                state=BuilderState.LOST,
                reason="lost after 300 s without a message; build 7 (numpy 2.1) was queued again",
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
        "regex 2025.11.3: 4m expected",
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
        "2m10 off, behind",
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
        ended(75, 25),
        ended(82, 18),
        ended(90, 10),
    ),
    Case(
        f"failing:{TARGET}",
        "31% failed in 1h, 10% is usual",
        facts(
            more={
                "results": {
                    TARGET: TargetResults(built=69, failed=31, built_before=900, failed_before=100),
                    "cp39": TargetResults(built=900, built_before=9000, failed_before=1000),
                }
            }
        ),
        None,
        GOOD_RESULTS,
    ),
    Case(
        "disk:pi1",
        "50% used, full in 5h",
        full_in("pi1", 5),
        full_in("pi1", 30),
        full_in("pi1", 49),
    ),
    Case("tree", "50% used, full in 23h", full_in("", 23), full_in("", 30), full_in("", 49)),
    Case("pages", "2,310 to write, oldest 12m", waiting(2310, 720), None, waiting(9, 90)),
    Case(
        "bucket",
        "2,310 to copy, oldest 20m: the object storage cannot be reached",
        uncopied(2310, 1200, "the object storage cannot be reached"),
        None,
        uncopied(9, 90),
    ),
    Case(
        "keys",
        f"builder key {'1a' * 8} is unknown and was refused, and 1 other",
        refused("1a" * 32, "2b" * 32),
        None,
        refused("1a" * 32, "2b" * 32, ago_s=3600),
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
        "not read for 33m: 503 from the index",
        facts(upstream_lag_s=2000.0, upstream_status_text="503 from the index"),
        facts(upstream_lag_s=None, uptime_s=60.0),
        GOOD,
    ),
    Case(
        "upstream",
        "not read for 1d01",
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
        "stands since Nov 28 12:00 UTC",
        facts(more={"access_log_read_at": START}),
        GOOD,
        facts(downloads=LiveDownloads(connected=True), more={"access_log_read_at": START}),
    ),
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
    Case("replication", "not synchronous", facts(replication="not synchronous"), None, GOOD),
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
    assert Clock().watch(ended(9, 9), 600) == []
    new = {"new": TargetResults(built=9, failed=90, built_before=10)}
    assert Clock().watch(facts(more={"results": new}), 600) == []


def test_an_hour_without_builds_clears_the_alert_about_their_failures() -> None:
    clock = Clock()
    assert clock.watch(ended(10, 90)) == ["failing"]
    assert clock.watch(ended(0, 0)) == []


def test_one_failure_is_no_alert_where_none_is_usual() -> None:
    one = {TARGET: TargetResults(built=29, failed=1, built_before=1000)}
    assert Clock().watch(facts(more={"results": one})) == []


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (ended(81, 19), ended(80, 20), "failing"),
        (ended(8, 11), ended(9, 11), "failing"),
        (waiting(3, 590), waiting(3, 600), "pages"),
        (facts(host=host(disk_free=11)), facts(host=host(disk_free=10)), "tree"),
        (
            facts(builder(host=host(disk_free=6))),
            facts(builder(host=host(disk_free=5))),
            "disk:pi1",
        ),
        (full_in("pi1", 24.1), full_in("pi1", 24), "disk:pi1"),
        (facts(upstream_lag_s=1799.0), facts(upstream_lag_s=1800.0), "upstream"),
        (grown(19, grew=True), grown(20, grew=True), f"growing:{TARGET}"),
    ],
)
def test_a_rule_raises_its_alert_from_its_limit_on(before: Facts, after: Facts, rule: str) -> None:
    assert Clock().watch(before) == []
    assert Clock().watch(after) == [rule]


@pytest.mark.parametrize(
    ("raised", "kept", "cleared"),
    [
        (ended(75, 25), ended(84, 16), ended(86, 14)),
        (waiting(3, 900), waiting(3, 120), waiting(3, 110)),
        (
            facts(host=host(disk_free=9)),
            facts(host=host(disk_free=12)),
            facts(host=host(disk_free=13)),
        ),
        (full_in("", 9), full_in("", 48), full_in("", 48.1)),
        (refused("1a"), refused("1a", ago_s=3590), refused("1a", ago_s=3600)),
    ],
)
def test_a_rule_clears_its_alert_under_its_other_limit(
    raised: Facts, kept: Facts, cleared: Facts
) -> None:
    clock = Clock()
    (alert,) = clock.watch(raised)
    assert clock.watch(kept) == [alert]
    assert clock.watch(cleared) == []


def test_upstream_is_critical_after_six_hours() -> None:
    clock = Clock()
    clock.watch(facts(upstream_lag_s=21_590.0))
    assert not clock.alert("upstream").is_critical
    clock.watch(facts(upstream_lag_s=21_600.0))
    assert clock.alert("upstream").is_critical
    assert clock.alert("upstream").text == "not read for 6h"


def test_a_farm_is_an_alert_after_an_hours_pause_and_says_who_paused_it() -> None:
    paused = facts(paused=True, paused_by="ada (key laptop)", paused_at=START)
    clock = Clock()
    assert clock.watch(paused, 3590) == []
    assert clock.watch(paused, 10) == ["paused"]
    alert = clock.alert("paused")
    assert (alert.text, alert.since) == ("by ada (key laptop), for 1h", START)
    clock.watch(paused, 3 * 3600)
    assert clock.alert("paused").text.startswith("by ada (key laptop), for 3h5"), "within 5 min"
    assert clock.watch(GOOD) == []
    assert Clock().watch(facts(paused=True), 7200) == [], "it is not known since when"


def test_a_refused_key_is_one_short_line_whatever_it_is_called() -> None:
    clock = Clock()
    clock.watch(refused("f" * 9999))
    assert len(clock.alert("keys").text) < 80


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


def test_an_explanation_has_the_figures_of_now_and_the_worst() -> None:
    clock = Clock()
    clock.watch(facts(builder(host=host(temperature=84.0))), 300)
    clock.watch(facts(builder(host=host(temperature=81.0))), 300)
    meaning, advice = explanation(clock.alert("hot:pi1"), clock.now.at)
    since, _, rest = meaning.partition(". ")
    assert since.startswith("pi1 hot since ")
    assert rest == (
        "81C now, 84C at most; alert from 80C or throttled for 5 min, "
        "clears under 75C and not throttled for 5 min."
    )
    assert advice == "A hot board builds slowly. Look at its fan and its case."
