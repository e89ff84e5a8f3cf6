"""A farm is killed and loses power at random moments: python -m tests.crashes goes on for long."""

import random
from pathlib import Path

import pytest

from tests.crashes.__main__ import crash
from tests.crashes.run import PARTS


@pytest.mark.slow
@pytest.mark.farm
async def test_crashes_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    run = await crash(tmp_path, 60, PARTS, random.Random(1))
    assert run.rounds.keys() == set(PARTS)
    assert not run.faults
