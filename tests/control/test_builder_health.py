"""What a builder tells of its machine, from its sensors to the master, its alerts and commands."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from piwheels.builder.build import BuildOptions
from piwheels.builder.build_runner import BuildRunner
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import BuildFunction, MasterAddresses, MasterClient
from piwheels.model import HostMetrics
from piwheels.protocol import messages as m
from piwheels.protocol.client import end_tasks
from piwheels.protocol.keys import MASTER, Role
from tests.control.conftest import TARGET, Master, Watcher
from tests.control.test_cli_commands import piw


async def never_build(*_: object) -> m.BuildFinished:
    raise AssertionError("no job is queued")


@asynccontextmanager
async def real_builder(
    master: Master,
    folder: Path,
    host_metrics: Callable[[], HostMetrics],
    build: Callable[..., Awaitable[m.BuildFinished]] = never_build,
) -> AsyncIterator[None]:
    """A builder's connection, with the master's own protocol on both sides."""
    pair = master.keys.load_or_generate("key-of-pi17")
    master.keys.authorize(Role.BUILDER, "pi17", pair.public)

    def describe(current_build: int | None, last_build: int) -> m.Hello:
        return m.Hello(
            protocol=m.PROTOCOL, version="1", targets=(TARGET,), platform="linux aarch64",
            board="Raspberry Pi 4 Model B", os="Debian GNU/Linux 12 (bookworm)",
            host=host_metrics(), current_build=current_build, last_build=last_build,
        )  # fmt: skip

    client = MasterClient(
        addresses=MasterAddresses(
            str(master.settings["master.builder_bind"]),
            str(master.settings["master.upload_bind"]),
            pair,
            master.keys.require(MASTER).public,
        ),
        describe=describe,
        host_metrics=host_metrics,
        build=cast("BuildFunction", build),
        job_dir=JobDir(folder / "job"),
    )
    task = asyncio.create_task(client.run())
    try:
        yield
    finally:
        await end_tasks(task)


async def wait_for_view(watcher: Watcher, test: Callable[[m.BuilderView], bool]) -> m.BuilderView:
    changed = await watcher.wait_for_event(m.BuilderChanged, lambda it: test(it.builder))
    return changed.builder


@pytest.fixture
def sensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The devices of a Raspberry Pi that is throttled."""
    firmware = tmp_path / "platform" / "soc" / "soc:firmware"
    policy = tmp_path / "cpufreq" / "policy0"
    for folder in (firmware, policy):
        folder.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50004\n")
    (policy / "scaling_cur_freq").write_text("900000\n")
    (policy / "cpuinfo_max_freq").write_text("1500000\n")
    monkeypatch.setattr("piwheels.system.throttling._PLATFORM", tmp_path / "platform")
    monkeypatch.setattr("piwheels.system.metrics._CPUFREQ", tmp_path / "cpufreq")
    return firmware / "get_throttled"


def build_runner(folder: Path) -> BuildRunner:
    return BuildRunner(
        options=cast("BuildOptions", None), interpreters={}, systems={}, targets=(TARGET,),
        work_dir=folder, sandboxed=False,
    )  # fmt: skip


async def test_the_sensors_of_a_builder_reach_the_master(
    shared: Master, tmp_path: Path, sensors: Path
) -> None:
    runner = build_runner(tmp_path)
    async with shared.watch() as watcher, real_builder(shared, tmp_path, runner.host_metrics):
        view = await wait_for_view(watcher, lambda it: it.clock_offset_s is not None)
        host = view.host
        assert (host.throttled, host.cpu_hz, host.max_cpu_hz) == (True, 900e6, 1500e6)
        assert host.throttled_s is not None
        assert host.cores
        assert host.uptime_s
        assert view.clock_offset_s is not None
        assert abs(view.clock_offset_s) < 600  # both have the clock of this machine
        json_status = json.loads((await piw(shared, "status", "--json")).stdout)
        assert json_status["builders"][0]["host"]["throttled"] is True


async def test_a_wrong_clock_is_an_alert_wherever_alerts_are_shown(
    shared: Master, tmp_path: Path
) -> None:
    runner = build_runner(tmp_path)

    def behind() -> HostMetrics:
        host = runner.host_metrics()
        assert host.clock_s is not None
        return replace(host, clock_s=host.clock_s - 86_400.0)

    async with shared.watch() as watcher, real_builder(shared, tmp_path, behind):
        event = await watcher.wait_for_event(
            m.AlertsChanged, lambda it: any(a.alert_id == "clock:pi17" for a in it.alerts)
        )
        (alert,) = (it for it in event.alerts if it.alert_id == "clock:pi17")
        assert alert.text == "1d off, behind"
        assert "1d off, behind" in (await piw(shared, "alerts")).stdout
        metrics = (await piw(shared, "metrics")).stdout
        assert re.search(r'^piwheels_alert{rule="clock",.*subject="pi17"', metrics, re.MULTILINE)
        json_status = json.loads((await piw(shared, "status", "--json")).stdout)
        assert "clock:pi17" in [it["alert_id"] for it in json_status["alerts"]]


@pytest.mark.parametrize(("builder", "clock_s"), [("pi8", -1e12), ("pi9", 1e12)])
async def test_absurd_measurements_are_harmless(
    builder: str, clock_s: float, shared: Master
) -> None:
    absurd = HostMetrics(
        clock_s=clock_s, throttled=True, throttled_s=1e12, cpu_hz=1e12, uptime_s=0.0, cores=100_000
    )
    async with shared.watch() as watcher, shared.builder(builder) as connection:
        await connection.send_idle(absurd)
        view = await wait_for_view(watcher, lambda it: it.clock_offset_s is not None)
        assert view.host == absurd
        await watcher.wait_for_event(
            m.AlertsChanged, lambda it: any(a.alert_id == f"clock:{builder}" for a in it.alerts)
        )
        for command in ("status", "alerts", "metrics"):
            assert (await piw(shared, command)).stdout
