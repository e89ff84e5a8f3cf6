"""Kills a farm at random moments and says what is lost: python -m tests.crashes --rounds 1000.

The exit status is 1 if anything was lost, wrong or left behind.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.crashes.farm import CrashFarm, compile_recorder
from tests.crashes.run import PARTS, CrashRun


def main() -> None:
    """Run, print what was hit and found, and exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.crashes")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this, or these")
    parser.add_argument("--folder", type=Path, help="of the farm, which is deleted at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as folder:
        run = asyncio.run(
            crash(Path(folder), options.rounds, options.part or PARTS, random.Random(options.seed))
        )
    sys.exit(1 if run.faults else 0)


async def crash(
    folder: Path, rounds: int, parts: list[str] | tuple[str, ...], chance: random.Random
) -> CrashRun:
    """Run rounds on a new farm in a folder."""
    began = time.monotonic()
    postgres = PrivatePostgres(folder / "postgres", durable=False)
    async with postgres:
        supervising = asyncio.create_task(postgres.supervise())
        await upgrade(postgres.dsn)
        async with await Database.connect(postgres.dsn, role="crashes") as db:
            farm = CrashFarm(folder, postgres.dsn, postgres.directory)
            run = CrashRun(farm, db, compile_recorder(folder), chance, _say)
            await run.run(rounds, parts)
            builds = await db.value("SELECT count(*) FROM builds")
        supervising.cancel()
    _say(
        f"\n{sum(run.rounds.values())} rounds in {(time.monotonic() - began) / 60:.0f} minutes: "
        f"{dict(run.rounds)}; hit: {dict(run.hit)}; {builds} builds; a client read "
        f"{farm.client.pages:,} pages with {farm.client.files:,} files; {run.audits} audits; "
        f"{len(run.faults)} faults"
    )
    return run


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
