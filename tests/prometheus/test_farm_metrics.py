"""`piw metrics` and the master's endpoint say the same of the farm."""

from datetime import UTC, datetime

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from piwheels.model import AlertState, RefusedKey
from piwheels.prometheus.endpoint import metrics_text
from piwheels.prometheus.farm_metrics import farm_metrics
from piwheels.protocol.messages import BuilderState, OperatorSession, StatusReply
from tests.tui.sample_farm import status


def samples(status: StatusReply) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by metric and labels, as Prometheus's own parser reads them."""
    text = metrics_text(farm_metrics(status)).decode()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.items())] = sample.value
    return found


def test_alerts_are_metrics_with_their_state() -> None:
    alerts = [dict(labels) for labels in samples(status())["piwheels_alert"]]
    assert {
        "rule": "quarantined",
        "subject": "pi4-loft",
        "severity": "critical",
        "state": "active",
    } in alerts
    assert any(it["rule"] == "hot" and it["state"] == "acknowledged" for it in alerts)
    assert not any(it["state"] == AlertState.CLEARED for it in alerts)


def test_every_state_of_builders_is_a_sample_so_that_it_returns_to_zero() -> None:
    found = samples(status())["piwheels_builders"]
    assert {dict(labels)["state"] for labels in found} == set(BuilderState)
    assert found[("state", "overdue"),] == 1
    assert 0 in found.values()


def test_single_values() -> None:
    found = samples(status())
    assert found["piwheels_paused"] == {(): 0}
    assert found["piwheels_upstream_lag_seconds"] == {(): 42}
    assert found["piwheels_downloads_total"] == {(): status().downloads.total}
    assert found["piwheels_database_waiting"] == {(): 0}


def test_what_is_not_known_has_no_sample() -> None:
    found = samples(replace(status(), upstream_lag_s=None, oldest_page_at=None))
    assert "piwheels_upstream_lag_seconds" not in found
    assert "piwheels_oldest_page_timestamp_seconds" not in found


def test_text_of_others_is_escaped() -> None:
    sample = status()
    evil = replace(sample.alerts[0], subject='a"b\\c\nd\x1b')
    subjects = [
        dict(it)["subject"] for it in samples(replace(sample, alerts=(evil,)))["piwheels_alert"]
    ]
    assert len(subjects) == 1
    assert subjects[0].startswith('a"b\\c')
    assert "\x1b" not in subjects[0]
    assert "\n" not in subjects[0]


def test_it_says_no_addresses_and_no_keys() -> None:
    told = {"203.0.113.7", "203.0.113.8", "ada@desk", "ab" * 32}
    at = datetime.now(UTC)
    sample = replace(
        status(),
        operators=(OperatorSession(session=1, name="ada@desk", origin="203.0.113.7", since=at),),
        refused_keys=(RefusedKey("builder", "ab" * 32, at, "203.0.113.8"),),
    )
    text = metrics_text(farm_metrics(sample)).decode()
    assert not {secret for secret in told if secret in text}


def test_alerts_are_limited_in_number() -> None:
    sample = status()
    many = tuple(replace(sample.alerts[0], subject=f"pi-{number}") for number in range(5000))
    assert len(samples(replace(sample, alerts=many))["piwheels_alert"]) == 1000
