"""The simulated farm, which other tests and benchmarks of the console use."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from piwheels.errors import RejectedError
from piwheels.model import BuildSummary, FarmSeries, SeriesWindow, TargetSeries
from piwheels.protocol.messages import (
    Accepted,
    BuilderChanged,
    BuilderCommand,
    BuilderState,
    CommandBuilders,
    CommandSucceeded,
    EventBatch,
    FollowLog,
    LogChunk,
    Pause,
    Snapshot,
    StopMaster,
    Subscribe,
)
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.command_status import CommandState
from piwheels.tui.model.source_events import Connected
from tests.simfarm import FarmModel, SimFarm, failures
from tests.simfarm.model import SPECIAL_STATES
from tests.simfarm.series import read_series
from tests.simfarm.server import control_address
from tests.timeouts import WAIT_S, LongTimeoutClient
from tests.tui.source_probe import SourceProbe, wait_until

#: What no terminal may interpret, as patterns.
_HOSTILE = ("\x1b", "\x07", r"\[red\]", "\u202e", r"\.\./\.\.")


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    async with SimFarm(control_address(tmp_path), FarmModel(builders=15), hz=20) as farm:
        yield farm


def test_the_same_seed_gives_the_same_farm() -> None:
    began = FarmModel(builders=1).time
    one, other = (FarmModel(builders=30, seed=7, began=began) for _ in range(2))
    assert one.snapshot() == other.snapshot()
    assert [one.step(0.2) for _ in range(200)] == [other.step(0.2) for _ in range(200)]
    assert one.snapshot() != FarmModel(builders=30, seed=8, began=began).snapshot()


@pytest.mark.parametrize("window", SeriesWindow)
def test_it_has_series_of_sixty_days_and_others_are_unknown(window: SeriesWindow) -> None:
    model = FarmModel(builders=3, began=datetime(2026, 11, 30, 12, tzinfo=UTC))
    names = (*FarmSeries, TargetSeries.WAITING.of(next(iter(model.pending))), "builder/none/load")
    *known, unknown = read_series(model, names, window).series
    assert {
        series.name for series in known if series.mean is None or not series.mean_before
    } == set()
    assert all(series.means.count(None) <= 3 for series in known)  # the master was stopped once
    assert unknown.means == (None,) * window.bars


def test_every_special_state_exists() -> None:
    states = {view.state for view in FarmModel(builders=12).snapshot().status.builders}
    assert set(SPECIAL_STATES) <= states
    assert BuilderState.BUILDING in states | {BuilderState.UPLOADING}


def test_it_fails_as_the_design_draws_it() -> None:
    model = FarmModel(builders=12)
    groups = {group.cause: group for group in failures.report(model.all_builds, ()).groups}
    libpq = groups["libpq-dev"]
    assert (libpq.releases, libpq.targets, libpq.regressions) == (41, 3, 2)
    assert libpq.missing == ("header libpq-fe.h",)
    hostile = "".join(group.reason for group in groups.values())
    assert {"\x1b", "\x07", "[red]", "\u202e", "../.."} <= set(
        re.findall("|".join(_HOSTILE), hostile)
    )
    build = failures.open_failures(model.all_builds)["missing-package", "libpq-dev"][0]
    assert failures.build_details(model, build.build_id).group_releases == 41


def test_builds_end_and_others_start() -> None:
    world = FarmModel(builders=10, build_s=5)
    events = [event for _ in range(200) for event in world.step(0.5)]
    builds = {event.builder.build for event in events if isinstance(event, BuilderChanged)}
    assert sum(isinstance(event, BuildSummary) for event in events) > 20
    assert len(builds) > 20
    assert {build.outcome for build in world.builds} > {"built", "failed"}


async def test_a_subscriber_gets_a_snapshot_and_then_every_change(
    farm: SimFarm,
) -> None:
    async with LongTimeoutClient(farm.address) as client, client.stream(Subscribe()) as talk:
        assert isinstance(await talk.next(), Snapshot)
        changed: set[str] = set()
        while len(changed) < 15:
            batch = await talk.next()
            assert isinstance(batch, EventBatch)
            changed |= {
                event.builder.label for event in batch.events if isinstance(event, BuilderChanged)
            }


async def test_a_log_of_a_hundred_thousand_lines_is_complete(farm: SimFarm) -> None:
    farm.log_lines = 100_000
    build = farm.model.builds[0].build_id
    data = b""
    async with (
        LongTimeoutClient(farm.address) as client,
        client.stream(FollowLog(build=build)) as talk,
    ):
        while True:
            piece = await talk.next()
            assert isinstance(piece, LogChunk)
            assert piece.offset == len(data)
            data += piece.data
            if piece.finished:
                break
    assert data.count(b"\n") == 100_000


async def test_commands_are_executed_and_recorded(farm: SimFarm) -> None:
    async with LongTimeoutClient(farm.address, user="ada@here") as client:
        for _ in range(2):
            async with client.stream(Pause(), idempotency_key="one") as talk:
                assert isinstance(await talk.next(), Accepted)
                assert isinstance(await talk.next(), CommandSucceeded)
        with pytest.raises(RejectedError, match="there is no builder pi999"):
            await client.request(
                CommandBuilders(command=BuilderCommand.KILL, builders=("pi999",)), CommandSucceeded
            )
    assert farm.model.paused
    assert [(requested.body, requested.operator) for requested in farm.received_commands] == [
        (Pause(), "ada@here"),
        (CommandBuilders(command=BuilderCommand.KILL, builders=("pi999",)), "ada@here"),
    ]


async def test_a_read_only_client_changes_nothing(farm: SimFarm) -> None:
    async with LongTimeoutClient(farm.address, read_only=True) as client:
        with pytest.raises(RejectedError, match="read-only"):
            await client.request(Pause(), CommandSucceeded)
    assert not farm.model.paused


@pytest.mark.farm
async def test_a_simulated_farm_can_stop_and_return_by_signals(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.simfarm", "--socket", str(tmp_path / "s"), "--builders", "2",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None

    async def said() -> str:
        assert child.stdout is not None
        return (await asyncio.wait_for(child.stdout.readline(), WAIT_S)).decode().strip()

    assert await said() == f"listening at ipc://{tmp_path}/s"
    link = MasterConnection(f"ipc://{tmp_path}/s", operator_name="ada@here")
    async with SourceProbe(link) as listener:
        await listener.next(Connected)
        for number, words, same in (
            (signal.SIGUSR1, "back as the same master", True),
            (signal.SIGUSR2, "back as a new master", False),
        ):
            child.send_signal(signal.SIGUSR1)
            assert await said() == "gone"
            await wait_until(lambda: not listener.state.connected)
            child.send_signal(number)
            assert await said() == words
            await wait_until(lambda: listener.state.connected)
            assert listener.events_of(Connected)[-1].same_master is same
        assert (await link.command(Pause(), description="pause")).state is CommandState.APPLIED
        assert await said() == "ada@here: Pause()"
        assert (await link.command(StopMaster(), description="quit")).state is CommandState.APPLIED
        assert await said() == "ada@here: StopMaster()"
        assert await asyncio.wait_for(child.wait(), WAIT_S) == 0
