"""How many jobs wait for builders, by target and memory."""

import pytest

from piwheels.db import catalog, target_queries
from piwheels.db.database import Database
from piwheels.db.queue_demand import needed_mb, queue_demand
from piwheels.model import QueueDemand
from tests.db.scenario import RULES, TARGETS, make_release

TARGET = TARGETS[0].name
GIB = 1 << 30


@pytest.mark.parametrize(
    ("over", "needed"),
    [(0, 0), (1, 1024), (GIB - 1, 1024), (GIB, 2048), (3 * GIB, 4096), (9 * GIB, 16384)],
)
def test_the_memory_that_is_needed_is_a_power_of_two(over: int, needed: int) -> None:
    assert needed_mb(over) == needed


async def test_jobs_that_a_builder_could_take_now_are_counted_by_memory(database: Database) -> None:
    await target_queries.add_target(database, TARGETS[0], RULES)
    for name in "abcdefgh":
        await catalog.add_project(database, name, name, named=True)
        await catalog.add_releases(database, [make_release(name)], RULES)

    async def change(project: str, what: str) -> None:
        await database.execute(f"UPDATE jobs SET {what} WHERE project = '{project}'")

    await change("a", f"memory_over_bytes = {GIB - 1}")
    await change("b", f"memory_over_bytes = {2 * GIB}")
    await change("c", "retry_at = now() + interval '1 hour', retry_delay = interval '1 hour'")
    await change("d", "hold_reason = 'a person decides'")
    await change("e", "claimed_by = 'pi', claimed_at = now(), build_id = 1")
    await change("f", "parked = true, required_packages = '{libx}'")

    def rows(*found: tuple[int, int]) -> list[QueueDemand]:
        return [QueueDemand(target=TARGET, memory_mb=it, waiting=jobs) for it, jobs in found]

    assert await queue_demand(database, [TARGET]) == rows((0, 2), (1024, 1), (4096, 1))
    await change("a", f"min_disk_bytes = {2 * GIB}")
    assert await queue_demand(database, [TARGET], {TARGET: GIB}) == rows((0, 2), (4096, 1))
    assert await queue_demand(database, [TARGET], {TARGET: 2 * GIB, "other": 0}) == rows(
        (0, 2), (1024, 1), (4096, 1)
    )
    unseen = await queue_demand(database, [])
    assert unseen == rows((0, 3), (1024, 1), (4096, 1)), "builders may have the package"
    await target_queries.skip_target(database, TARGET, "not now")
    assert await queue_demand(database, []) == []
