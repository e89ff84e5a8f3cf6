"""A builder's and the master's state machine against each other, on an unreliable farm.

Each seed is one schedule of deliveries, losses, restarts and commands. A failure prints its seed
and the end of every builder's history.
"""

from functools import partial

import pytest

from piwheels.builder.connection_events import DescriptionChanged
from piwheels.protocol.messages import BuilderCommand
from tests.simulation.farm import Farm, Faults

HOUR_S = 3600.0
#: More schedules than these run with the slow tests.
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))]


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_built_once_on_a_reliable_farm(seed: int) -> None:
    farm = Farm.create(seed, Faults())
    farm.run_until_built(HOUR_S)
    assert sorted(job.project for _, job in farm.runs) == sorted(
        job.project for job in farm.database.jobs
    )
    farm.check_agreement()


@pytest.mark.parametrize("seed", SEEDS)
def test_lost_messages_and_connections_repeat_no_build(seed: int) -> None:
    faults = Faults(lost_message=0.1, max_delay_s=2.0, connection_loss_s=90.0)
    farm = Farm.create(seed, faults)
    farm.run_until_built(3 * HOUR_S)
    farm.check_repeated_builds()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restarted_master_adopts_the_builds_of_its_builders(seed: int) -> None:
    faults = Faults(lost_message=0.05, master_restart_s=120.0)
    farm = Farm.create(seed, faults)
    farm.run_until_built(3 * HOUR_S)
    farm.check_repeated_builds()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_lose_nothing_and_both_sides_agree_at_the_end(seed: int) -> None:
    faults = Faults(
        lost_message=0.1,
        max_delay_s=5.0,
        connection_loss_s=200.0,
        builder_restart_s=300.0,
        master_restart_s=400.0,
        away_s=400.0,
    )
    farm = Farm.create(seed, faults)
    farm.run(HOUR_S)
    farm.stop_faults()
    farm.run_until_built(HOUR_S)
    farm.run(60.0)
    farm.check_agreement()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_description_reaches_the_master_between_builds(seed: int) -> None:
    farm = Farm.create(seed, Faults(lost_message=0.05, connection_loss_s=120.0))
    for builder in farm.builders.values():
        farm.clock.call_later(30.0, partial(builder.handle, DescriptionChanged()))
    farm.run_until_built(3 * HOUR_S)
    farm.check_repeated_builds()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_command_is_executed_eventually(seed: int) -> None:
    farm = Farm.create(seed, Faults(lost_message=0.1, connection_loss_s=60.0), jobs=60)
    farm.run(farm.random.uniform(10.0, 200.0))
    farm.command(BuilderCommand.SLEEP, "a", immediately=bool(seed % 2))
    farm.command(BuilderCommand.DRAIN, "b")
    farm.command(BuilderCommand.CANCEL_BUILD, "c")
    farm.run(400.0)
    assert [farm.builders[label].is_running for label in "abc"] == [True, False, True]
    asleep_since = len(farm.runs)
    farm.run(600.0)
    assert {label for label, _ in farm.runs[asleep_since:]} <= {"c"}
    farm.command(BuilderCommand.WAKE, "a")
    farm.run(400.0)
    farm.command(BuilderCommand.RESTART, "a")
    farm.command(BuilderCommand.KILL, "c")
    farm.run(600.0)
    assert [farm.builders[label].is_running for label in "abc"] == [True, False, False]
    assert [end.restart for end in farm.builders["a"].exits] == [True]
    farm.stop_faults()
    farm.run_until_built(2 * HOUR_S)
    farm.check_agreement()
