"""Pure parts: upstream health, delays of checks, removals."""

from datetime import UTC, datetime, timedelta

import pytest

from piwheels.model import PageCheckResult
from piwheels.upstream.changelog import ChangelogEvent
from piwheels.upstream.health import UpstreamHealth
from piwheels.upstream.page_evidence import MAX_WAIT_S, change_wait_s, page_wait_s
from piwheels.upstream.selection import is_new

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(days=1), NOW + timedelta(days=1)


def test_concurrency_grows_with_responses_and_falls_to_one_at_a_fault() -> None:
    health = UpstreamHealth(5, 1.0, 60.0)
    for number in range(10):
        health.record_success(f"p{number}")
    assert health.concurrency == 5
    health.record_overload("503", now=0.0)
    assert (health.concurrency, health.retry_at) == (1, float("-inf")), "one fault can be chance"
    health.record_overload("503", now=0.0)
    assert health.retry_at == 1.0


def test_retry_after_applies_immediately() -> None:
    health = UpstreamHealth(5, 1.0, 60.0)
    health.record_overload("429", now=100.0, retry_after_s=17.0)
    assert health.retry_at == 117.0


def test_delays_of_consecutive_faults_are_bounded_and_reset_by_a_response() -> None:
    health = UpstreamHealth(5, 1.0, 60.0)
    for _ in range(20):
        health.record_overload("503", now=0.0)
    assert health.retry_at == 60.0
    assert health.outage == "503"
    health.record_success("demo")
    health.record_overload("503", now=1000.0)
    assert health.retry_at == 60.0
    assert not health.outage


def test_absence_is_trusted_while_as_many_others_are_present() -> None:
    health = UpstreamHealth(5, 1.0, 60.0)
    health.record_absent("demo", "404")
    assert not health.trusts_absence(), "nothing shows that the index is well"
    health.record_success("other")
    assert health.trusts_absence()
    health.record_absent("third", "404")
    assert not health.trusts_absence()


def test_a_reported_removal_is_trusted_while_as_many_others_are_present() -> None:
    health = UpstreamHealth(5, 1.0, 60.0)
    health.record_absent("demo", "404")
    assert health.trusts_removal("demo"), "a farm's only project"
    health.record_absent("other", "404")
    assert not health.trusts_removal("demo")
    health.record_success("third")
    assert health.trusts_removal("demo")


def test_delays_of_checks_for_a_change_grow_up_to_an_hour() -> None:
    waits = [change_wait_s(looks, 5.0) for looks in range(200)]
    assert waits[:5] == [5.0, 10.0, 20.0, 40.0, 60.0]
    assert waits == sorted(waits)
    assert max(waits) == MAX_WAIT_S


def test_a_page_that_proved_nothing_is_checked_sooner() -> None:
    assert page_wait_s(86400.0, PageCheckResult.UP_TO_DATE, 1) == 86400.0
    assert page_wait_s(86400.0, PageCheckResult.UNAVAILABLE, 1) == 60.0
    assert page_wait_s(900.0, PageCheckResult.NOT_FOUND, 50) == 900.0


@pytest.mark.parametrize(
    ("action", "version", "removed"),
    [
        ("remove project", None, ""),
        ("Remove Release", "1.0", "1.0"),
        ("remove release", "", None),
        ("remove", None, ""),
        ("remove", "1.0", "1.0"),
        ("remove", "", None),
        ("remove file demo-1.0.tar.gz", "1.0", None),
        ("remove Owner somebody", None, None),
        ("new release", "1.0", None),
    ],
)
def test_which_events_are_removals(action: str, version: str | None, removed: str | None) -> None:
    change = ChangelogEvent(project="demo", serial=1, action=action, version=version)
    assert change.removed_version == removed


@pytest.mark.parametrize(
    ("version", "uploaded_at", "since", "existing", "new"),
    [
        ("2.0", AFTER, NOW, {"1.0"}, True),
        ("2.0", BEFORE, NOW, {"1.0"}, False),  # an old release that was not listed for a while
        ("2.0", None, NOW, {"1.0"}, True),
        ("1.0", None, NOW, {"1.0"}, False),
        ("1.0", AFTER, NOW, {"1.0"}, False),
        ("2.0", BEFORE, AFTER, {"1.0"}, True),  # added by a clock that was ahead
        ("2.0", AFTER, NOW, None, True),
        ("2.0", None, NOW, None, False),
        ("2.0", AFTER, None, None, False),
    ],
)
def test_which_releases_are_new(
    version: str,
    uploaded_at: datetime | None,
    since: datetime | None,
    existing: set[str] | None,
    new: bool,
) -> None:
    known = None if existing is None else frozenset(existing)
    assert is_new(version, uploaded_at, since=since, known_versions=known, now=NOW) is new
