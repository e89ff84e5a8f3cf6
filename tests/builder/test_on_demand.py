"""Builders that are started for what is queued: when they end, and how the master sees that."""

import asyncio
import math
import signal
import sys
from pathlib import Path

import pytest

from piwheels.builder import connection_events as events
from piwheels.builder import connection_instructions as instructions
from piwheels.builder.connection_state_machine import ConnectionStateMachine, ExitRules
from piwheels.builder.slots import slot_label, with_slot
from piwheels.config import BuilderSection
from piwheels.errors import ConfigError, UsageError
from piwheels.model import Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.key_lock import KeyLock
from piwheels.protocol.keys import KeyStore, Role
from tests.builder.test_master_client import JOB, MasterAndBuilder, farm
from tests.timeouts import WAIT_S

__all__ = ["farm"]


def machine_of(rules: ExitRules) -> ConnectionStateMachine:
    """A connected builder without a job, at the time 0."""
    machine = ConnectionStateMachine(check_each_event=True, exit_rules=rules)
    machine.handle(events.TimerExpired(), 0.0)
    welcome(machine, 0.0)
    return machine


def welcome(machine: ConnectionStateMachine, now: float) -> None:
    machine.handle(events.MessageReceived(machine.connection, m.Welcome(label="b")), now)


def build(machine: ConnectionStateMachine, now: float) -> list[instructions.Instruction]:
    """It gets a job, and its build is acknowledged."""
    job: Job = JOB
    connection, number = machine.connection, job.build_id
    machine.handle(events.MessageReceived(connection, m.StartBuild(job=job)), now)
    result = m.BuildFinished(build=number, outcome=Outcome.FAILED, duration_s=1.0)
    machine.handle(events.BuildEnded(result), now)
    machine.handle(events.MessageReceived(connection, m.BuildAcknowledged(build=number)), now)
    return machine.handle(events.BuildRemoved(number), now)


def exits(steps: list[instructions.Instruction]) -> list[str]:
    return [step.reason for step in steps if isinstance(step, instructions.Exit)]


def test_an_idle_builder_says_goodbye_and_ends_when_its_time_has_passed() -> None:
    machine = machine_of(ExitRules(idle_s=4.0))
    assert machine.next_timer() == 4.0, "sooner than its next heartbeat"
    assert exits(machine.handle(events.TimerExpired(), 3.9)) == []
    steps = machine.handle(events.TimerExpired(), 4.0)
    assert steps == [
        instructions.SendGoodbye("no job for 4s"),
        instructions.CloseConnection(),
        instructions.Exit("no job for 4s", restart=False),
    ]
    assert machine.next_timer() == math.inf


def test_a_builder_that_builds_is_not_idle_and_its_time_begins_after_the_build() -> None:
    machine = machine_of(ExitRules(idle_s=60.0))
    machine.handle(events.MessageReceived(machine.connection, m.StartBuild(job=JOB)), 59.0)
    assert exits(machine.handle(events.TimerExpired(), 500.0)) == []
    welcome(machine, 500.0)
    machine.handle(events.BuildFilesLost(JOB.build_id), 501.0)
    machine.handle(events.BuildRemoved(JOB.build_id), 501.0)
    assert exits(machine.handle(events.TimerExpired(), 560.0)) == []
    assert exits(machine.handle(events.TimerExpired(), 561.0)) == ["no job for 1m"]


def test_a_builder_without_a_master_does_not_keep_its_machine() -> None:
    machine = ConnectionStateMachine(exit_rules=ExitRules(idle_s=60.0))
    machine.handle(events.TimerExpired(), 100.0)
    machine.handle(events.ConnectionLost(machine.connection, "refused"), 101.0)
    assert machine.next_timer() < 160.0, "it tries again first"
    machine.handle(events.TimerExpired(), 110.0)
    machine.handle(events.ConnectionLost(machine.connection, "refused"), 111.0)
    steps = machine.handle(events.TimerExpired(), 160.0)
    assert exits(steps) == ["no job for 1m"]
    assert not [step for step in steps if isinstance(step, instructions.SendGoodbye)]


def test_a_builder_ends_after_its_last_build_and_asks_for_no_further_job() -> None:
    machine = machine_of(ExitRules(max_builds=2))
    assert exits(build(machine, 1.0)) == []
    steps = build(machine, 2.0)
    assert exits(steps) == ["it made 2 builds"]
    assert not [step for step in steps if isinstance(step, instructions.SendIdleHeartbeat)]


def test_a_builder_that_is_asked_to_drain_finishes_its_build() -> None:
    idle = machine_of(ExitRules())
    assert exits(idle.handle(events.DrainRequested("time is up"), 1.0)) == ["time is up"]
    busy = machine_of(ExitRules())
    busy.handle(events.MessageReceived(busy.connection, m.StartBuild(job=JOB)), 1.0)
    assert exits(busy.handle(events.DrainRequested("time is up"), 2.0)) == []
    busy.handle(events.MessageReceived(busy.connection, m.CancelBuild(build=7, reason="")), 3.0)
    assert exits(busy.handle(events.BuildRemoved(JOB.build_id), 3.0)) == ["time is up"]


def test_slots_have_keys_folders_and_labels_of_their_own() -> None:
    config = BuilderSection(work_dir=Path("/srv/builder"))
    assert with_slot(config, "") is config
    third = with_slot(config, "3")
    assert (third.key_name, third.work_dir) == ("builder-3", Path("/srv/builder/slot-3"))
    assert slot_label("3").endswith("-slot3")
    assert slot_label("arm-3") == "arm-3"
    with pytest.raises(UsageError, match="a slot has a number or a name"):
        with_slot(config, "../x")
    with pytest.raises(UsageError, match="--slot mirror: no builder can be called mirror"):
        with_slot(config, "mirror")


def test_one_process_at_a_time_uses_a_key(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.generate("builder")
    path = keys.secret_path("builder")
    with KeyLock(path), pytest.raises(ConfigError, match="another builder uses the key"):
        KeyLock(path)
    KeyLock(path).release()


def command(farm: MasterAndBuilder, *options: str) -> list[str]:
    """`piw builder run` with the configuration that is written here."""
    port = farm.endpoints.builder_address.rpartition(":")[2]
    config = farm.folder / "piwheels.toml"
    config.write_text(
        f'[builder]\nmaster = "127.0.0.1"\nmaster_port = {port}\nkey_dir = "keys"\n'
        'work_dir = "work"\nsandbox = false\n'
    )
    run = [sys.executable, "-m", "piwheels", "builder", "run", "--config", str(config)]
    return [*run, *options]


async def finished(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(WAIT_S):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


@pytest.mark.farm  # starts `piw builder`
async def test_builders_in_slots_share_a_configuration_and_end_by_themselves(
    farm: MasterAndBuilder,
) -> None:
    keys = KeyStore(farm.folder / "keys")
    own = keys.generate("builder-a")
    keys.authorize(Role.BUILDER, "a", own.public)
    slot_a = command(farm, "--slot", "a", "--exit-when-idle", "1s")
    with KeyLock(keys.secret_path("builder-a")):  # as a builder that runs has it
        second = await asyncio.create_subprocess_exec(*slot_a, stderr=asyncio.subprocess.PIPE)
        status, text = await finished(second)
    assert status == 1
    assert "another builder uses the key" in text
    assert "Traceback" not in text
    first = await asyncio.create_subprocess_exec(*slot_a, stderr=asyncio.subprocess.PIPE)
    assert (await farm.master.welcome()).on_demand
    assert (await farm.master.expect(m.Goodbye)).reason == "no job for 1s"
    status, text = await finished(first)
    assert status == 0
    assert "the builder ends: no job for 1s" in text
    assert (farm.folder / "work" / "slot-a").is_dir()


@pytest.mark.farm  # starts `piw builder`
async def test_sigusr1_drains_a_builder(farm: MasterAndBuilder) -> None:
    process = await asyncio.create_subprocess_exec(
        *command(farm, "--max-builds", "9"), stderr=asyncio.subprocess.PIPE
    )
    await farm.master.welcome()
    process.send_signal(signal.SIGUSR1)
    assert (await farm.master.expect(m.Goodbye)).reason == "SIGUSR1 asked it to"
    status, _ = await finished(process)
    assert status == 0
