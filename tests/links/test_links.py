"""Bad links between real processes: nothing is lost, doubled or left to wait without a word."""

import asyncio
import signal
import time
from collections import Counter

import pytest

from piwheels.db.database import Database
from tests.links.farm import LinkedFarm, queue_build, wait_for
from tests.links.network import sockets_of
from tests.links.packet_link import Impairment
from tests.sample import sampled

BAD = Impairment(delay_s=0.3, jitter_s=0.1, loss=0.05, duplicate=0.01, reorder=0.05)
WORSE = Impairment(
    delay_s=0.3, jitter_s=0.1, loss=0.2, duplicate=0.02, reorder=0.05, rate_bytes_s=50_000
)
#: The worse link has all that the bad one has.
LINKS = sampled({"worse": WORSE}, full={"bad": BAD, "worse": WORSE})
every_link = pytest.mark.parametrize("how", LINKS.values(), ids=LINKS.keys())
_MB = 1_000_000
_SLOW_S = 900.0


async def ended(db: Database) -> list[str]:
    """The outcome of each build that ended."""
    return [row["outcome"] for row in await db.rows("SELECT outcome FROM builds ORDER BY build_id")]


async def wait_for_end(db: Database, builds: int = 1) -> float:
    """Wait until so many builds have ended; returns the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(_SLOW_S):
        while len(await ended(db)) < builds:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.2)
    return time.monotonic() - began


async def wait_for_upload(farm: LinkedFarm, size_bytes: int) -> None:
    """Wait until so much of a wheel has arrived."""
    parts = farm.folder / "spool"
    await asyncio.to_thread(
        wait_for,
        lambda: any(
            part.stat().st_size >= size_bytes for part in parts.glob("incoming/*/wheel.part")
        ),
        f"{size_bytes} bytes of a wheel",
        _SLOW_S,
    )


def connections(farm: LinkedFarm) -> int:
    """How many connections of builders the master's machine has."""
    return len(sockets_of(farm.network.inside()))


async def test_a_build_over_a_bad_link_arrives_whole(farm: LinkedFarm, database: Database) -> None:
    link = farm.network.add_link("builder")
    link.set(Impairment(delay_s=0.02, jitter_s=0.01, loss=0.02, duplicate=0.01, reorder=0.02))
    project = await queue_build(database, 100_000)
    farm.add_builder(link)
    await wait_for_end(database)
    assert await ended(database) == ["built"]
    farm.check_wheel(project)
    assert link.counts().lost


@pytest.mark.slow
@every_link
async def test_a_very_bad_link_delays_a_build_and_loses_nothing(
    farm: LinkedFarm, database: Database, how: Impairment
) -> None:
    link = farm.network.add_link("builder")
    link.set(how)
    project = await queue_build(database, 300_000)
    builder = farm.add_builder(link)
    print(f"300 kB in {await wait_for_end(database):.0f} s, {link.counts()}")
    assert await ended(database) == ["built"]
    farm.check_wheel(project)
    assert "already" not in builder.log.read_text()


@pytest.mark.slow
async def test_a_long_log_on_a_slow_link_does_not_look_like_a_dead_connection(
    farm: LinkedFarm, database: Database
) -> None:
    link = farm.network.add_link("builder")
    link.set(Impairment(delay_s=0.05, rate_bytes_s=50_000))
    # Longer than both ends wait for a word of the other.
    size = sampled(2, full=4) * _MB
    await queue_build(database, 100_000, size)
    builder = farm.add_builder(link)
    print(f"a log of {size // _MB} MB in {await wait_for_end(database):.0f} s")
    assert await ended(database) == ["built"]
    assert builder.log.read_text().count("connected to the master") == 1


@pytest.mark.slow
async def test_a_cut_in_a_large_upload_costs_little_and_a_killed_end_no_more(
    patient_farm: LinkedFarm, database: Database
) -> None:
    farm = patient_farm
    link = farm.network.add_link("builder")
    link.set(Impairment(delay_s=0.005))
    size = sampled(100, full=500) * _MB
    project = await queue_build(database, size)
    builder = farm.add_builder(link)
    began = time.monotonic()
    await wait_for_upload(farm, size // 10)
    with link.down():
        await asyncio.sleep(10.0)  # TCP itself goes on
    await wait_for_upload(farm, 3 * size // 10)
    with link.down():
        await asyncio.sleep(38.0)  # the builder opens another connection
    await wait_for_upload(farm, 5 * size // 10)
    farm.master.restart(signal.SIGKILL)
    await wait_for_upload(farm, 7 * size // 10)
    builder.restart(signal.SIGKILL)
    await wait_for_end(database)
    counts = link.counts()
    print(f"{size // _MB} MB with four cuts in {time.monotonic() - began:.0f} s, {counts}")
    assert await ended(database) == ["built"]
    farm.check_wheel(project)
    again = sampled(0.5, full=0.3) * size
    assert counts.bytes_carried < size + again, "it went on where it was"


@pytest.mark.slow
@pytest.mark.parametrize("while_building", sampled([True], full=[False, True]))
async def test_a_builder_that_vanishes_is_lost_in_time_and_leaves_nothing(
    farm: LinkedFarm, database: Database, while_building: bool
) -> None:
    link = farm.network.add_link("builder")
    link.set(Impairment(delay_s=0.01, rate_bytes_s=300_000))
    if while_building:
        await queue_build(database, sampled(4, full=20) * _MB)
    farm.add_builder(link)
    if while_building:
        await wait_for_upload(farm, _MB)
    else:
        wait_for(lambda: "idle" in farm.status(), "the builder is idle")
    assert connections(farm)
    with link.down():
        lost_s = wait_for(lambda: "lost" in farm.status(), "the builder is lost")
        closed_s = lost_s + wait_for(lambda: not connections(farm), "its connections are closed")
        print(f"lost after {lost_s:.0f} s, closed after {closed_s:.0f} s")
        assert 20 < lost_s < 45  # since its last message, which came up to 5 s before
        assert closed_s < 100
    back_s = wait_for(lambda: "lost" not in farm.status(), "the builder is back")
    print(f"back after {back_s:.0f} s")
    assert back_s < 65
    if while_building:
        await wait_for_end(database)
    assert "two builders" not in farm.piw("events")


@pytest.mark.slow
async def test_a_connection_that_dies_while_nobody_says_anything_is_replaced(
    farm: LinkedFarm, database: Database
) -> None:
    """As when a router forgets a connection: one end learns of it only when it sends."""
    link = farm.network.add_link("builder")
    builder = farm.add_builder(link)
    wait_for(lambda: "idle" in farm.status(), "the builder is idle")
    link.forget_connections()
    began = time.monotonic()
    wait_for(lambda: builder.log.read_text().count("connected to the master") > 1, "it is back")
    print(f"replaced after {time.monotonic() - began:.0f} s")
    await queue_build(database, 1000)
    await wait_for_end(database)
    assert await ended(database) == ["built"]


@pytest.mark.slow
@every_link
async def test_commands_over_a_bad_link_are_answered_or_say_so_and_are_never_doubled(
    farm: LinkedFarm, database: Database, how: Impairment
) -> None:
    link = farm.network.add_link("console")
    link.set(how)
    began = time.monotonic()
    console = farm.add_console(link)
    print(f"connected in {wait_for(lambda: console.since(began, 'connected'), 'it'):.0f} s")
    count = sampled(20, full=30)
    for number in range(count):
        console.skip(f"project-{number}")
        if number == 10:
            with link.down():
                await asyncio.sleep(20.0)
                assert console.since(began, "disconnected"), "it says that the master is silent"
        await asyncio.sleep(1.0)
    wait_for(
        lambda: all(
            entry.what not in {"sent", "accepted"} for entry in console.results().values()
        ) and len(console.results()) == count,
        "every command has a result",
    )  # fmt: skip
    results = console.results()
    print(Counter(entry.what for entry in results.values()))
    rows = await database.rows("SELECT text FROM events WHERE text LIKE 'skip %'")
    times = Counter(row["text"].split()[1].rstrip(":") for row in rows)
    assert set(times.values()) == {1}, "none was executed twice"
    for project, entry in results.items():
        if entry.what == "rejected":  # by the master: there is no such project
            assert times[project] == 1
        else:
            assert entry.what in {"result unknown", "not sent", "timed out"}
            assert entry.text
