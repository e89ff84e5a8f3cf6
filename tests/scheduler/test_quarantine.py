"""A builder in quarantine gets a build now and then, and returns when one succeeds."""

from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.protocol.messages import BuilderState
from piwheels.scheduler.builder_record import BuilderRecord
from tests.scheduler.simulation import SimFarm, add_releases, sim_farm

HOUR_S = 3600.0


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    """A broken builder in quarantine, and releases for it alone."""
    farm = await sim_farm(database, tmp_path, monkeypatch, "a")
    farm.step_s = 60.0
    farm.builders["a"].is_broken = True
    await add_releases(farm, *(f"p{number}" for number in range(6)))
    await farm.run(600.0)
    assert record(farm).suspension is BuilderState.QUARANTINED
    return farm


def record(farm: SimFarm) -> BuilderRecord:
    return farm.dispatcher.state_machine.records["a"]


async def test_a_repaired_builder_returns_after_a_build_that_succeeds(sim: SimFarm) -> None:
    sim.builders["a"].is_broken = False
    await sim.run(0.7 * HOUR_S)
    assert sim.builders["a"].jobs_started == 3, "not yet"
    await sim.run_until_built(3 * HOUR_S)
    await sim.assert_no_release_blamed()
    assert record(sim).consecutive_failures == 0
    events = await sim.db.rows("SELECT text FROM events WHERE text LIKE '%gets jobs again%'")
    assert [row["text"] for row in events] == [
        "builder a gets jobs again: a build in quarantine succeeded"
    ]
    stored = "SELECT count(*) FROM key_values WHERE starts_with(key, 'quarantine/')"
    assert await sim.db.value(stored) == 0


async def test_a_builder_that_stays_broken_gets_ever_fewer_builds(sim: SimFarm) -> None:
    sim.step_s = 600.0
    await sim.run(16 * HOUR_S)
    assert sim.builders["a"].jobs_started == 3 + 4, "after 1, 2, 4 and 8 hours"
    assert record(sim).suspension is BuilderState.QUARANTINED
    assert await sim.db.value("SELECT count(*) FROM builds WHERE NOT will_retry") == 0


async def test_after_a_restart_of_the_master_the_next_build_waits_too(sim: SimFarm) -> None:
    await sim.dispatcher.jobs.restore(sim.now)
    assert not record(sim).is_canary_due(sim.now + 0.9 * HOUR_S)
    assert record(sim).is_canary_due(sim.now + 8 * HOUR_S)
