"""Prints what the work of a farm costs: python -m tests.benchmarks [--scale 0.01] [--rounds N].

A farm at the scale of the whole upstream index is compared with one of 1,000 releases; both are
measured alternately, so that other work of the machine affects both alike. `--scale 1` is the whole
index: it takes an hour and 10 GB.
"""

import argparse
import asyncio
import os
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
from tests.benchmarks.farm_operations import FarmOperations
from tests.benchmarks.large_farm import FULL_PROJECTS, FarmSize, make_farm

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
_WRITES = ("claim", "settle", "new release")
_COLUMNS = ("work", "p50 ms", "p99 ms", "small farm: p50", "p99", "ratio of p50", "goal")


def main() -> None:
    """Make two farms, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--scale", type=float, default=0.01, help="1 is the whole upstream index")
    parser.add_argument("--rounds", type=int, default=400, help="of each operation; 450 at most")
    parser.add_argument(
        "--folder", type=Path, help="of the databases, which are deleted at the end"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        asyncio.run(_measure(Path(folder), options.scale, options.rounds))


async def _measure(folder: Path, scale: float, rounds: int) -> None:
    async with (
        PrivatePostgres(folder, durable=False) as postgres,
        _farm(postgres.dsn, "small", _SMALL_PROJECTS) as (small, _),
        _farm(postgres.dsn, "large", max(1, round(FULL_PROJECTS * scale))) as (large, size),
    ):
        for name in large.operations:
            for number in range(rounds if name in _WRITES else rounds // _FEWER):
                pair = (small, large) if number % 2 else (large, small)
                for farm in pair:
                    await farm.timed(name)
        print("\n".join(_table(small, large, size)))


@asynccontextmanager
async def _farm(
    dsn: str, name: str, projects: int
) -> AsyncIterator[tuple[FarmOperations, FarmSize]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    farm_dsn = conninfo.make_conninfo(dsn, dbname=name)
    await upgrade(farm_dsn)
    async with await Database.connect(farm_dsn, role="benchmark") as db:
        began = time.perf_counter()
        size = await make_farm(db, projects)
        print(f"{name} farm: {size}, made in {time.perf_counter() - began:.0f} s", flush=True)
        yield FarmOperations(db, projects), size


def _table(small: FarmOperations, large: FarmOperations, size: FarmSize) -> Iterator[str]:
    """The figures as Markdown."""
    yield f"\n{size}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    yield _line(_COLUMNS)
    yield _line(["---"] * len(_COLUMNS))
    for name, times in large.times_ms.items():
        few, many = _quantiles(small.times_ms[name]), _quantiles(times)
        figures = [f"{figure:.2f}" for figure in (*many, *few, many[0] / few[0])]
        yield _line([name, *figures, _GOALS.get(name, "")])


def _quantiles(times: Sequence[float]) -> tuple[float, float]:
    """The median, and the 99th percentile."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
