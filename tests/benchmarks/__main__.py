"""Prints what the work of a farm costs, and whether goals are met: python -m tests.benchmarks [--scale 0.01].

A farm at the scale of the whole upstream index is compared with one of 1,000 releases; both are
measured alternately, so that other work of the machine affects both alike. `--scale 1` is the whole
index: it takes hours and 10 GB. All processes together may use 4 GiB of memory. Times depend on what
else the machine does; processor time, of this process and its server process, hardly does.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.benchmarks.farm_operations import WRITES, FarmOperations
from tests.benchmarks.farm_start import measure_master, measure_new_target
from tests.benchmarks.goal_table import Rate, goal_table, operation_rates, operation_table
from tests.benchmarks.large_farm import FULL_PROJECTS, FarmSize, make_farm
from tests.benchmarks.listing_fill import FULL_RELEASES, fill
from tests.benchmarks.memory_limit import MemoryLimit
from tests.benchmarks.page_rates import measure_rates
from tests.benchmarks.peers import measure_peers
from tests.benchmarks.polling import poll_rounds
from tests.benchmarks.urgent_pages import urgent_waits

_SMALL_PROJECTS = 100
#: Rounds of what does not change the farm; those operations take longer.
_FEWER = 5
_FEWER_PAGES = 10
_MEMORY_LIMIT_BYTES = 4 << 30
_FILL_MIN = 30


def main() -> None:
    """Make two farms, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--scale", type=float, default=0.01, help="1 is the whole upstream index")
    parser.add_argument("--rounds", type=int, default=400, help="of each operation; 450 at most")
    parser.add_argument("--pages", type=int, default=300, help="of projects; 20000 are the goal's")
    parser.add_argument("--lines", type=int, default=100_000, help="of an access log")
    parser.add_argument("--polled", type=int, default=1000, help="projects; 10000 are the goal's")
    parser.add_argument(
        "--folder", type=Path, help="of the databases, which are deleted at the end"
    )
    parser.add_argument(
        "--peers", action="store_true", help="install other package indexes, and measure them too"
    )
    options = parser.parse_args()
    with (
        MemoryLimit(_MEMORY_LIMIT_BYTES) as memory,
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
    ):
        print(memory.text, flush=True)
        try:
            rates = asyncio.run(_measure(Path(folder), options))
        except KeyboardInterrupt:
            memory.check()
            raise
    print("\n".join(goal_table([*rates, _memory_rate(memory)])))


def _memory_rate(memory: MemoryLimit) -> Rate:
    measured = f"{memory.peak_bytes / 2**30:.2f} GiB at most"
    return Rate("memory of all processes together", measured, "4 GiB", not memory.is_exceeded)


async def _measure(folder: Path, options: argparse.Namespace) -> list[Rate]:
    """All rows of the table; those that are known are printed meanwhile."""
    async with PrivatePostgres(folder, durable=False) as postgres:
        rates = await _measure_farms(postgres.dsn, folder, options)
        print("\n".join(goal_table(rates)), flush=True)
        rates += await _other_databases(postgres.dsn, folder, options)
    return rates + measure_peers(folder / "peers") if options.peers else rates


async def _measure_farms(dsn: str, folder: Path, options: argparse.Namespace) -> list[Rate]:
    async with (
        _farm(dsn, "small", _SMALL_PROJECTS) as (small, _),
        _farm(dsn, "large", max(1, round(FULL_PROJECTS * options.scale))) as (large, _),
    ):
        reads = [name for name in large.operations if name not in WRITES]
        await large.measure(WRITES, options.rounds, small)
        await large.measure(reads, max(1, options.rounds // _FEWER), small)
        print("\n".join(operation_table(small, large)), flush=True)
        rates = operation_rates(small, large)
        rates += await measure_rates(large.db, folder, options.pages, options.lines)
        farm_dsn = conninfo.make_conninfo(dsn, dbname="large")
        samples = max(1, options.rounds // _FEWER_PAGES)
        rates.append(await urgent_waits(large.db, farm_dsn, folder, samples))
        rates += await measure_master(large.db, farm_dsn, folder)
        async with await Database.connect(farm_dsn, role="claims") as claims_db:
            return rates + await measure_new_target(large.db, claims_db)


async def _other_databases(dsn: str, folder: Path, options: argparse.Namespace) -> list[Rate]:
    """What is measured on databases of its own: filling one, and polling."""
    filled = await _create_database(dsn, "filled")
    rate = await fill(filled, folder, max(1, round(FULL_PROJECTS * options.scale)))
    full_min = FULL_RELEASES / rate / 60
    measured = f"{rate:,.0f} releases/s: {FULL_RELEASES:,} take {full_min:.0f} min"
    goal = f"{_FILL_MIN} min"
    return [
        Rate("filling from the list, database alone", measured, goal, full_min < _FILL_MIN),
        *await poll_rounds(await _create_database(dsn, "polled"), options.polled),
    ]


async def _create_database(dsn: str, name: str) -> str:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    made = conninfo.make_conninfo(dsn, dbname=name)
    await upgrade(made)
    return made


@asynccontextmanager
async def _farm(
    dsn: str, name: str, projects: int
) -> AsyncIterator[tuple[FarmOperations, FarmSize]]:
    farm_dsn = await _create_database(dsn, name)
    async with await Database.connect(farm_dsn, role="benchmark") as db:
        began = time.perf_counter()
        size = await make_farm(db, projects)
        print(f"{name} farm: {size}, made in {time.perf_counter() - began:.0f} s", flush=True)
        yield await FarmOperations.on(db, projects), size


if __name__ == "__main__":
    main()
