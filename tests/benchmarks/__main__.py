"""Prints what the work of a farm costs: python -m tests.benchmarks [--scale 0.01] [--rounds N] [--pages N].

A farm at the scale of the whole upstream index is compared with one of 1,000 releases; both are
measured alternately, so that other work of the machine affects both alike. `--scale 1` is the whole
index: it takes hours and 10 GB. Each process is limited to 4 GB. Times depend on what else the machine does; processor time, of this
process and its server process, hardly does.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.benchmarks.farm_operations import WRITES, FarmOperations
from tests.benchmarks.farm_start import limit_memory, measure_master, measure_new_target
from tests.benchmarks.large_farm import FULL_PROJECTS, FarmSize, make_farm
from tests.benchmarks.listing_fill import FULL_RELEASES, fill
from tests.benchmarks.page_rates import Rate, load_text, measure_rates
from tests.benchmarks.polling import poll_rounds

_SMALL_PROJECTS = 100
#: Rounds of what does not change the farm; those operations take longer.
_FEWER = 5
#: What each operation has to cost (ms), and its ratio to the small farm, at full size.
_GOALS = {
    "claim": "ratio below 1.5",
    "settle": "hold",
    "new release": "hold",
    "status": "100 ms",
    "explain": "20 ms",
    "page data": "20 ms",
}
_COLUMNS = (
    "work", "p50 ms", "p99 ms", "CPU ms", "small farm: p50", "p99", "CPU", "ratio of p50",
    "ratio of CPU", "goal",
)  # fmt: skip

_MEMORY_LIMIT_BYTES = 4 << 30


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
    options = parser.parse_args()
    print(limit_memory(_MEMORY_LIMIT_BYTES))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        asyncio.run(_measure(Path(folder), options))


async def _measure(folder: Path, options: argparse.Namespace) -> None:
    scale, rounds = options.scale, options.rounds
    async with (
        PrivatePostgres(folder, durable=False) as postgres,
        _farm(postgres.dsn, "small", _SMALL_PROJECTS) as (small, _),
        _farm(postgres.dsn, "large", max(1, round(FULL_PROJECTS * scale))) as (large, size),
    ):
        reads = [name for name in large.operations if name not in WRITES]
        await large.measure(WRITES, rounds, small)
        await large.measure(reads, max(1, rounds // _FEWER), small)
        print("\n".join(_table(small, large, size)), flush=True)
        rates = await measure_rates(large.db, folder, options.pages, options.lines)
        print("\n".join(_rate_table(rates)), flush=True)
        farm_dsn = conninfo.make_conninfo(postgres.dsn, dbname="large")
        rates = await measure_master(large.db, farm_dsn, folder)
        async with await Database.connect(farm_dsn, role="claims") as claims_db:
            rates += await measure_new_target(large.db, claims_db)
        print("\n".join(_rate_table(rates)), flush=True)
        rates = await _other_databases(postgres.dsn, folder, options)
        print("\n".join(_rate_table(rates)))


async def _other_databases(dsn: str, folder: Path, options: argparse.Namespace) -> list[Rate]:
    """What is measured on databases of its own: filling one, and polling."""
    filled = await _create_database(dsn, "filled")
    rate = await fill(filled, folder, max(1, round(FULL_PROJECTS * options.scale)))
    rounds = await poll_rounds(await _create_database(dsn, "polled"), options.polled)
    return [
        Rate(
            "filling from the list, database alone",
            f"{rate:,.0f} releases/s: {FULL_RELEASES:,} take {FULL_RELEASES / rate / 60:.0f} min",
            "30 min",
        ),
        *(
            Rate(f"polling {options.polled:,} projects, {name}", measured, "10,000 in 900 s")
            for name, measured in rounds.items()
        ),
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


def _table(small: FarmOperations, large: FarmOperations, size: FarmSize) -> Iterator[str]:
    """The figures as Markdown."""
    yield f"\n{size}; {load_text()}\n"
    yield _line(_COLUMNS)
    yield _line(["---"] * len(_COLUMNS))
    for name in large.times_ms:
        few, many = (_figures(farm, name) for farm in (small, large))
        ratios = (many[0] / few[0], many[2] / few[2])
        shown = [f"{figure:.2f}" for figure in (*many, *few, *ratios)]
        yield _line([name, *shown, _GOALS.get(name, "")])


def _rate_table(rates: Sequence[Rate]) -> Iterator[str]:
    """What is written in a second, as Markdown."""
    yield f"\n{load_text()}\n"
    yield _line(("work", "measured", "goal"))
    yield _line(["---"] * 3)
    for rate in rates:
        yield _line((rate.work, rate.measured, rate.goal))


def _figures(farm: FarmOperations, name: str) -> tuple[float, float, float]:
    """The median, the 99th percentile and the mean processor time of an operation (ms)."""
    times = sorted(farm.times_ms[name])
    cpu_ms = 1000 * farm.cpu_s[name] / len(times)
    return times[len(times) // 2], times[int(len(times) * 0.99)], cpu_ms


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
