"""Runs a farm at ten times the real rate and says what grew: python -m tests.soak --minutes 120.

The exit status is 1 if anything grew by more than its tolerance.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.soak.farm import SoakFarm
from tests.soak.run import REAL_BUILDS_PER_DAY, Soak


def main() -> None:
    """Run, print the table, and exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--factor", type=float, default=10.0, help="times the real rate")
    parser.add_argument("--folder", type=Path, help="of the farm, which is deleted at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        steady = asyncio.run(_run(Path(folder), options.minutes, options.factor))
    sys.exit(0 if steady else 1)


async def _run(folder: Path, minutes: float, factor: float) -> bool:
    (folder / "postgres").mkdir()
    async with PrivatePostgres(folder / "postgres", durable=False) as postgres:
        await upgrade(postgres.dsn)
        async with await Database.connect(postgres.dsn, role="soak") as db:
            soak = Soak(SoakFarm(folder, postgres.dsn), db, minutes, factor, _say)
            await soak.run()
            for line in table(soak, await soak.builds()):
                _say(line)
            return all(quantity.is_steady for quantity in soak.judged())


def table(soak: Soak, builds: int) -> Iterator[str]:
    """The figures as Markdown."""
    rate = builds / soak.minutes * 1440
    yield (
        f"\n{builds} builds in {soak.minutes:g} minutes: {rate:,.0f} a day, "
        f"{rate / REAL_BUILDS_PER_DAY:.1f} times the real rate; {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}\n"
    )
    yield "| quantity | first | median | last | growth | allowed | |"
    yield "|---|---|---|---|---|---|---|"
    for it in soak.judged():
        if not it.values:
            continue
        middle = sorted(it.values)[len(it.values) // 2]
        figures = (it.values[0], middle, it.values[-1], it.growth, it.allowed)
        shown = " | ".join(f"{figure:,.1f}" for figure in figures)
        unit = f" ({it.unit})" if it.unit else ""
        yield f"| {it.name}{unit} | {shown} | {'' if it.is_steady else 'GROWS'} |"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
