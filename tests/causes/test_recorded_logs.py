"""Every recorded log is judged right, also as other tools and terminals would have printed it."""

import pytest

from piwheels.causes import Evidence, IndexRecord, Limit, classify
from piwheels.debian_index import load_index
from tests.causes.log_variants import log_variants
from tests.causes.recordings import Facts, Recording, recordings
from tests.causes.spec import Expected

PACKAGES = load_index("bookworm")
#: What only the inspection of a wheel tells, after a build that succeeded.
BY_INSPECTION = {"wrong-name", "wrong-version", "empty-wheel"}


def is_judged_by_log(recording: Recording) -> bool:
    if recording.facts.status == 0 and recording.expected is not None:
        return recording.expected.failure_class not in BY_INSPECTION
    return recording.facts.status is not None


RECORDINGS = {each.name: each for each in recordings() if is_judged_by_log(each)}


def evidence_of(facts: Facts) -> Evidence:
    return Evidence(
        exit_status=facts.status,
        limit=Limit(facts.limit) if facts.limit else None,
        index=index_record(facts),
        wheels=None if facts.status else facts.wheels,
        peak_memory_bytes=facts.evidence.get("peak_memory_bytes") or None,
        memory_limit_bytes=facts.evidence.get("memory_limit_bytes"),
    )


def index_record(facts: Facts) -> IndexRecord:
    error = facts.proxy_error
    if "digest" in error or "does not match" in error or "sha256" in error:
        return IndexRecord(damaged=(error,))
    if "no longer on the index" in error:
        return IndexRecord(gone=(error,))
    return IndexRecord(faulty=(error,) if error else ())


def differences(recording: Recording, log: bytes) -> list[str]:
    cause = classify(log.decode(errors="replace"), evidence_of(recording.facts), PACKAGES)
    expected = recording.expected
    if expected is None:
        return [f"{cause.failure_class}, and it was built"] if cause.failure_class else []
    missing = [f"{each.kind}:{each.name}" for each in cause.missing]
    wrong = [
        str(cause.failure_class) not in expected.failure_class.split("|"),
        bool(expected.lines and not recording.facts.limit)
        and not any(text in cause.line for text in expected.lines),
        not all(set(each.split("|")) & set(missing) for each in expected.missing),
        not all(set(each.split("|")) & set(cause.packages) for each in expected.packages),
        bool(expected.packages and set(cause.packages) - allowed_packages(expected)),
    ]
    found = f"{cause.failure_class}, {missing}, {cause.packages}, {cause.line!r}"
    return [f"{found} instead of {expected}"] if any(wrong) else []


def allowed_packages(expected: Expected) -> set[str]:
    return {name for each in (*expected.packages, *expected.also) for name in each.split("|")}


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recorded_log_is_judged_right(name: str) -> None:
    assert not differences(RECORDINGS[name], RECORDINGS[name].log)


def wrong_forms(recording: Recording, *, long: bool) -> list[str]:
    if recording.expected is None:
        return []
    return [
        f"{form}: {found}"
        for form, log in log_variants(recording.log, recording.expected, long=long)
        for found in differences(recording, log)
    ]


@pytest.mark.parametrize("name", RECORDINGS)
def test_another_form_of_a_recorded_log_is_judged_alike(name: str) -> None:
    assert not wrong_forms(RECORDINGS[name], long=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_long_form_of_a_recorded_log_is_judged_alike(name: str) -> None:
    assert not wrong_forms(RECORDINGS[name], long=True)
