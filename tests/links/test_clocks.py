"""Clocks of a running farm that are set ahead a day, and back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.links.faked_clock import FakedClock
from tests.links.farm import LinkedFarm, linked_farm, queue_build, wait_for
from tests.links.network import Network
from tests.links.packet_link import Impairment
from tests.links.test_links import ended, wait_for_end, wait_for_upload
from tests.sample import sampled

pytestmark = pytest.mark.slow
_DAY = timedelta(days=1)


@pytest.fixture
def clock(tmp_path: Path) -> FakedClock:
    """The clock of the master's machine, with its database."""
    return FakedClock(tmp_path / "time")


@pytest.fixture
async def clock_dsn(
    clock: FakedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """A database whose server has the clock."""
    with monkeypatch.context() as changed:
        for name, value in clock.environment().items():
            changed.setenv(name, value)
        postgres = PrivatePostgres(tmp_path / "pg", durable=False)
        await postgres.__aenter__()
    try:
        await upgrade(postgres.dsn)
        yield postgres.dsn
    finally:
        await postgres.__aexit__()


@pytest.fixture
def timed_farm(
    tmp_path: Path,
    clock: FakedClock,
    clock_dsn: str,
    net: Network,
    request: pytest.FixtureRequest,
) -> Iterator[LinkedFarm]:
    """A running master that has the clock too, or not: the database is on another machine."""
    environment = clock.environment() if request.param == "one machine" else {}
    with linked_farm(tmp_path, clock_dsn, net, environment=environment) as farm:
        yield farm


def check_times(farm: LinkedFarm) -> None:
    """No age in the status is negative or that of the jump."""
    status = json.loads(farm.piw("status", "--json"))
    for queue in status["queues"]:
        assert queue["oldest_s"] is None or 0 <= queue["oldest_s"] < 3600, queue


@pytest.mark.parametrize(
    ("timed_farm", "days"),
    sampled(
        # Each clock is set back to the right time at last, so that each goes both ways.
        [("one machine", 1), ("two machines", 1)],
        full=[("one machine", 1), ("one machine", -1), ("two machines", 1)],
    ),
    indirect=["timed_farm"],
)
async def test_a_master_and_a_database_whose_clock_is_set_and_set_back_go_on(
    timed_farm: LinkedFarm, clock: FakedClock, clock_dsn: str, days: int
) -> None:
    farm = timed_farm
    link = farm.network.add_link("builder")
    link.set(Impairment(delay_s=0.01, rate_bytes_s=100_000))
    builder = farm.add_builder(link)
    async with await Database.connect(clock_dsn, role="test") as db:
        first = await queue_build(db, sampled(1_000_000, full=3_000_000))
        await wait_for_upload(farm, 300_000)
        clock.set(days * _DAY)
        second = await queue_build(db, 10_000)
        await wait_for_end(db, 2)
        check_times(farm)
        clock.set(timedelta(0))
        third = await queue_build(db, 20_000)
        await wait_for_end(db, 3)
        assert await ended(db) == ["built"] * 3
        for project in (first, second, third):
            farm.check_wheel(project)
        wait_for(lambda: "set" in farm.piw("events"), "the jump is an event")
        async with asyncio.timeout(120):
            while await db.value("SELECT count(*) FROM page_queue"):  # noqa: ASYNC110
                await asyncio.sleep(1.0)
    check_times(farm)
    events = farm.piw("events")
    assert "lost" not in events
    assert "clock was set ahead" in events
    assert "clock was set back" in events
    assert builder.log.read_text().count("connected to the master") == 1
    assert "Traceback" not in farm.master.log.read_text()


async def test_a_builder_whose_clock_is_set_keeps_its_build_and_is_reported(
    tmp_path: Path, patient_farm: LinkedFarm, database: Database
) -> None:
    farm, clock = patient_farm, FakedClock(tmp_path / "time")
    link = farm.network.add_link("builder")
    link.set(Impairment(delay_s=0.01, rate_bytes_s=100_000))
    builder = farm.add_builder(link, environment=clock.environment())
    project = await queue_build(database, sampled(1_000_000, full=2_000_000))
    await wait_for_upload(farm, 300_000)
    began = time.monotonic()
    clock.set(_DAY)

    def clock_is_told() -> bool:
        told = json.loads(farm.piw("alerts", "--json"))
        return any(alert["rule"] == "clock" and alert["state"] == "active" for alert in told)

    await asyncio.to_thread(wait_for, clock_is_told, "the clock is an alert")
    print(f"reported after {time.monotonic() - began:.0f} s")
    await wait_for_end(database)
    clock.set(timedelta(0))
    await asyncio.to_thread(wait_for, lambda: not clock_is_told(), "the alert ends")
    assert await ended(database) == ["built"]
    farm.check_wheel(project)
    assert builder.log.read_text().count("connected to the master") == 1
