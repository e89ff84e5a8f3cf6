"""When a disk is full, from its free space over some hours."""

import random
from collections.abc import Callable

import pytest

from piwheels.alerts.disk_trend import DiskHistory

HOUR_S = 3600.0
GIB = 2.0**30


def watched(free_at: Callable[[float], float], hours: float) -> dict[str, float]:
    """The trend of a disk after so many hours, sampled each minute."""
    history = DiskHistory()
    for minute in range(int(60 * hours) + 1):
        history.record({"pi1": free_at(minute * 60.0)}, minute * 60.0)
    return history.full_in_s()


def test_a_disk_that_fills_is_full_at_its_rate() -> None:
    found = watched(lambda at_s: 20 * GIB - at_s / HOUR_S * GIB, 5)
    assert found["pi1"] == pytest.approx(15 * HOUR_S, rel=0.05)


def test_what_builds_need_for_a_while_is_no_trend() -> None:
    def building(at_s: float) -> float:
        return 20 * GIB - (at_s % 1800) / 1800 * 10 * GIB

    found = watched(building, 6)
    assert found.get("pi1", 1e9) > 48 * HOUR_S


def test_a_disk_that_was_cleaned_once_has_the_trend_of_the_rest() -> None:
    dice = random.Random(1)

    def noisy(at_s: float) -> float:
        return 20 * GIB - at_s / HOUR_S * GIB - dice.random() * GIB

    assert watched(noisy, 6)["pi1"] == pytest.approx(14 * HOUR_S, rel=0.15)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_disk_that_does_not_fill_has_no_trend(rate: float) -> None:
    assert watched(lambda at_s: 20 * GIB + rate * at_s, 6) == {}


def test_before_three_hours_nothing_is_known() -> None:
    assert watched(lambda at_s: 20 * GIB - at_s / HOUR_S * GIB, 2.7) == {}


def test_the_trends_of_a_large_farm_are_not_all_computed_at_once() -> None:
    history, ended = DiskHistory(), []
    free = {f"pi{number}": GIB for number in range(500)}
    for minute in range(31):
        before = sum(len(disk.samples) for disk in history._disks.values())
        history.record(free, minute * 60.0)
        ended.append(sum(len(disk.samples) for disk in history._disks.values()) - before)
    assert sum(ended) == 1000
    assert max(ended) < 100


def test_the_samples_are_bounded_and_those_of_a_gone_disk_are_dropped() -> None:
    history = DiskHistory()
    for minute in range(2000):
        history.record({"pi1": 1.0}, minute * 60.0)
    assert len(history._disks["pi1"].samples) == 24
    history.record({}, 1e6)
    assert not history._disks
