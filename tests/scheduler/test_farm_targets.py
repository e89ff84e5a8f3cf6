"""How many targets builders add to a farm."""

from typing import Any

import pytest
from msgspec.structs import replace

from piwheels.errors import RejectedError
from piwheels.scheduler.farm_targets import FarmTargets
from tests.scheduler.message_factories import TARGET


async def test_builders_add_no_targets_to_a_farm_with_many() -> None:
    absent: Any = None
    known = {f"cp3{number}-sid-aarch64": TARGET for number in range(256)}
    farm = FarmTargets(absent, "", absent, absent, absent, by_name=known)
    await farm.add_for_builder("pi1", [replace(TARGET, name=name) for name in known])
    with pytest.raises(RejectedError, match="a farm has at most 256"):
        await farm.add_for_builder("pi1", [replace(TARGET, name="cp999-sid-aarch64")])
