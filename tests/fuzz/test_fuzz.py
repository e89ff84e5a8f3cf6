"""Every parser of bytes from outside returns or raises its own error, soon, whatever it reads."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.mutations import damaged
from tests.fuzz.target import CASES, Target
from tests.fuzz.targets import TARGETS

_BY_NAME = {target.name: target for target in TARGETS}
_KEPT = [(target.name, path.name) for target in TARGETS for path in target.cases()]
_HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def each(target: Target) -> str:
    return target.name


@pytest.mark.parametrize("target", TARGETS, ids=each)
def test_any_input_gives_a_value_or_the_documented_error(target: Target) -> None:
    seeds = target.seeds()

    @settings(
        max_examples=20, deadline=None, derandomize=True, database=None,
        suppress_health_check=_HEALTH,
    )  # fmt: skip
    @given(damaged(seeds))
    def try_input(data: bytes) -> None:
        target.check(data)

    try_input()


@pytest.mark.parametrize("target", TARGETS, ids=each)
def test_seeds_are_read(target: Target) -> None:
    for seed in target.seeds():
        target.parse(seed)


@pytest.mark.parametrize(("name", "case"), _KEPT)
def test_what_once_failed_is_read(name: str, case: str) -> None:
    _BY_NAME[name].check((CASES / name / case).read_bytes())


def test_every_kept_case_has_a_target() -> None:
    assert {path.name for path in CASES.iterdir()} <= _BY_NAME.keys()
