"""Fills an empty database with the upstream's list: python -m tests.benchmarks.listing_fill [--scale 0.01].

A made list, with as many projects and releases as the upstream's at this scale, is parsed, stored,
and its pages are stored in the batches of the real service; no page is requested. The table has the
rate of each third of the pages, so that a fill that becomes slower with its size shows.
"""

import argparse
import asyncio
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from piwheels.db import listed_projects, target_queries
from piwheels.db.database import Database
from piwheels.db.listed_projects import NewProject
from piwheels.db.migrate import upgrade
from piwheels.index_client.listing import ListedProject, convert_listing, read_listing
from piwheels.local.postgres import PrivatePostgres
from piwheels.model import Release, Sdist, UpstreamPage
from piwheels.upstream.listing_fill import BATCH_PROJECTS, BATCH_RELEASES
from piwheels.upstream.reconcile import EPOCH
from tests.benchmarks.cpu_calibration import cpu_s
from tests.benchmarks.large_farm import FARM_TARGETS, FULL_PROJECTS
from tests.db.scenario import RULES

FULL_RELEASES = 8_234_245
_MEAN_RELEASES = FULL_RELEASES / FULL_PROJECTS
_LISTED_AT_ONCE = 10_000
#: Of real releases, the share that has an sdist.
_WITH_SDIST = 0.9
_PYTHONS = ("", ">=3.8", ">=3.9", ">=3.10", ">=3.7,<4")


def main() -> None:
    """Fill a database, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.listing_fill")
    parser.add_argument("--scale", type=float, default=0.01, help="1 is the whole upstream index")
    parser.add_argument("--folder", type=Path, help="of the database, which is deleted at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        asyncio.run(_measure(Path(folder), round(FULL_PROJECTS * options.scale)))


async def _measure(folder: Path, projects: int) -> None:
    async with PrivatePostgres(folder / "database", durable=False) as postgres:
        await upgrade(postgres.dsn)
        await fill(postgres.dsn, folder, projects)


async def fill(dsn: str, folder: Path, projects: int) -> float:
    """Store a list and its pages into an empty database; returns releases per second of pages."""
    async with await Database.connect(dsn, role="benchmark") as db:
        for target in FARM_TARGETS:
            await target_queries.add_target(db, target, RULES)
        await target_queries.recompute_jobs(db)
        await _store_list(db, folder, projects)
        return await _store_pages(db, projects)


async def _store_list(db: Database, folder: Path, projects: int) -> None:
    source, names = folder / "list.json", folder / "names"
    entries = [{"_last-serial": number, "name": _name(number)} for number in range(projects)]
    source.write_text(json.dumps({"meta": {"_last-serial": projects}, "projects": entries}))
    started = time.monotonic()
    convert_listing(source, "application/json", names)
    batch = []
    for item in read_listing(names):
        batch.append(item)
        if len(batch) == _LISTED_AT_ONCE:
            await _store_names(db, batch)
            batch = []
    await _store_names(db, batch)
    took_s = time.monotonic() - started
    print(f"list: {projects:,} projects stored in {took_s:.1f} s ({projects / took_s:,.0f}/s)")


async def _store_names(db: Database, batch: list[ListedProject]) -> None:
    await listed_projects.store_listed(
        db, [item.project for item in batch], [item.serial for item in batch]
    )


async def _store_pages(db: Database, projects: int) -> float:
    analyze_at = 1
    third, done, stored = max(projects // 3, 1), 0, 0
    started, at, before = time.monotonic(), time.monotonic(), 0
    server = await db.value("SELECT pg_backend_pid()")
    spent_s, cpu_before_s, own_before_s = 0.0, cpu_s(server), time.process_time()
    for batch in _batches(projects):
        began = time.monotonic()
        stored += await listed_projects.store_new_projects(db, batch, RULES)
        done += len(batch)
        if done >= analyze_at:  # as the service does
            await listed_projects.analyze_filled(db)
            analyze_at = done * 4
        spent_s += time.monotonic() - began
        if done // third != (done - len(batch)) // third:
            _print_rate("pages", stored - before, time.monotonic() - at)
            at, before = time.monotonic(), stored
    _print_rate("all pages, with their making here", stored, time.monotonic() - started)
    _print_rate("all pages, database alone", stored, spent_s)
    _print_rate("all pages, processor of its server", stored, cpu_s(server) - cpu_before_s)
    _print_rate("all pages, processor here", stored, time.process_time() - own_before_s)
    jobs = await db.value("SELECT count(*) FROM jobs")
    left = await listed_projects.count_unread(db)
    size = await db.value("SELECT pg_size_pretty(pg_database_size(current_database()))")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done:,} projects, {jobs:,} jobs, {left} unread, {size}; this process {peak_mb:.0f} MB")
    return stored / spent_s


def _print_rate(what: str, releases: int, took_s: float) -> None:
    rate = releases / took_s
    print(
        f"{what}: {releases:,} releases in {took_s:.1f} s, {rate:,.0f}/s; at this rate "
        f"{FULL_RELEASES:,} take {FULL_RELEASES / rate / 60:.0f} min",
        flush=True,
    )


def _name(number: int) -> str:
    return f"listed-{number}"


def _batches(projects: int) -> Iterator[list[NewProject]]:
    chance = random.Random(7)
    batch: list[NewProject] = []
    count = 0
    for number in range(projects):
        batch.append(_project(_name(number), chance))
        count += len(batch[-1].releases)
        if count >= BATCH_RELEASES or len(batch) >= BATCH_PROJECTS:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _project(name: str, chance: random.Random) -> NewProject:
    count = min(int(chance.expovariate(1 / _MEAN_RELEASES)) + 1, 500)
    releases = tuple(_release(name, number, chance) for number in range(count))
    return NewProject(
        project=name,
        display_name=name,
        status="active",
        status_reason="",
        etag='"0123456789abcdef"',
        last_modified="",
        page_serial=1,
        next_check_in=timedelta(days=7),
        follow_since=EPOCH,
        releases=releases,
        page=UpstreamPage(
            newest_version=releases[-1].version, newest_at=None, newest_has_sdist=True
        ),
    )


def _release(project: str, number: int, chance: random.Random) -> Release:
    filename = f"{project}-{number}.0.tar.gz"
    sdist = Sdist(
        filename=filename,
        url=f"https://files.example/packages/ab/cd/{chance.randbytes(30).hex()}/{filename}",
        sha256=chance.randbytes(32).hex(),
        size_bytes=100_000,
    )
    return Release(
        project=project,
        version=f"{number}.0",
        released_at=datetime(2024, 1, 1, tzinfo=UTC),
        requires_python=chance.choice(_PYTHONS),
        sdist=sdist if chance.random() < _WITH_SDIST else None,
    )


if __name__ == "__main__":
    main()
