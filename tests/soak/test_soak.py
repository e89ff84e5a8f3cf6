"""A short soak, and the judgment that all of them rely on."""

import random
from pathlib import Path

import pytest

from piwheels.db.database import Database
from tests.soak.__main__ import table
from tests.soak.farm import SoakFarm
from tests.soak.growth import Quantity, Tolerance
from tests.soak.run import Soak

_MINUTES = 2.5


def measured(*values: float, tolerance: Tolerance) -> Quantity:
    quantity = Quantity("memory", "MB", tolerance)
    for number, value in enumerate(values):
        quantity.add(10.0 * number, value)
    return quantity


def test_a_steady_climb_is_growth() -> None:
    quantity = measured(*(100.0 + number for number in range(20)), tolerance=Tolerance(10.0))
    assert quantity.growth == pytest.approx(19.0)
    assert not quantity.is_steady


def test_noise_and_single_outliers_are_not() -> None:
    chance = random.Random(1)
    values = [100.0 + chance.uniform(-5, 5) for _ in range(60)]
    values[55] = 10_000.0
    assert measured(*values, tolerance=Tolerance(5.0)).is_steady


def test_a_sawtooth_is_not_growth() -> None:
    values = [100.0 * (number % 6) for number in range(60)]
    assert measured(*values, tolerance=Tolerance(60.0)).is_steady


def test_the_tolerance_may_be_a_share_of_the_median() -> None:
    values = [1000.0 + number for number in range(50)]
    assert measured(*values, tolerance=Tolerance(0.0, 0.1)).is_steady
    assert not measured(*values, tolerance=Tolerance(0.0, 0.01)).is_steady


def test_only_the_time_that_counts_is_judged() -> None:
    values = [10.0 * number for number in range(10)] + [100.0] * 20
    quantity = measured(*values, tolerance=Tolerance(1.0))
    assert not quantity.is_steady
    assert quantity.between(100.0, 1000.0).is_steady


@pytest.mark.slow
@pytest.mark.farm
async def test_a_farm_with_restarts_builds_on_and_keeps_no_handles(
    database: Database, dsn: str, tmp_path: Path
) -> None:
    """Memory and dead rows need longer than this to tell: python -m tests.soak."""
    soak = Soak(SoakFarm(tmp_path, dsn), database, _MINUTES)
    await soak.run()
    builds = await soak.builds()
    said = "\n".join(table(soak, builds))
    print(said)
    assert builds > 1
    judged = [
        quantity
        for quantity in soak.judged()
        if "memory" not in quantity.name and quantity.name != "dead rows"
    ]
    assert len(judged) > 10
    assert all(quantity.is_steady for quantity in judged), said
