"""Audits beside a farm that publishes and deletes, and beside clients that install."""

import asyncio
import contextlib
import hashlib
import json
import random
import sys
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.db import catalog
from tests.audit.harness import AuditedFarm
from tests.audit.test_command import run_piw, write_config
from tests.timeouts import WAIT_S


@contextlib.asynccontextmanager
async def running(farm: AuditedFarm) -> AsyncIterator[None]:
    """Publishers that run, while wheels are published and deleted all the time."""
    farm.site.publisher.deletion_delay_s = 0.2
    tasks = [
        asyncio.create_task(work)
        for work in (farm.site.publisher.run(), _write_website(farm), _change(farm))
    ]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write_website(farm: AuditedFarm) -> None:
    while True:
        await farm.site.write_website()
        await asyncio.sleep(0.1)


async def _change(farm: AuditedFarm) -> None:
    generator = random.Random(1)
    versions = dict.fromkeys(("alpha", "beta", "gamma", "delta"), 0)
    while True:
        name = generator.choice(list(versions))
        versions[name] += 1
        await farm.publish_wheel(name, f"9.{versions[name]}")
        if generator.random() < 0.5:
            old = generator.randint(1, versions[name])
            await catalog.remove_release(farm.db, name, f"9.{old}")
        if generator.random() < 0.1:
            await catalog.remove_project(farm.db, name)


async def test_an_audit_of_a_running_farm_finds_nothing(farm: AuditedFarm) -> None:
    async with running(farm):
        for _ in range(4):
            assert await farm.audit(fix=True, grace_s=60) == []
    assert farm.counts.files > 50


async def test_no_client_sees_a_wrong_hash_while_the_audit_repairs(farm: AuditedFarm) -> None:
    """What was damaged is not served again; all else is right all the time."""
    damaged = farm.wheel("alpha", "2.0")
    for path in (damaged, farm.wheel("beta")):
        path.write_bytes(b"not a wheel")
    (farm.wheel("alpha").parent / f"{farm.wheel('alpha').name}.metadata").write_bytes(b"no")
    (farm.root / "simple" / "alpha" / "index.html").unlink()
    known = {str(path) for path in (damaged, farm.wheel("beta"))}
    wrong: list[str] = []
    async with running(farm):
        auditing = asyncio.create_task(farm.audit(fix=True, grace_s=60))
        while not auditing.done():
            wrong += [path for path in _read_index(farm) if path not in known]
            await asyncio.sleep(0.01)
        found = await auditing
        assert len([each for each in found if each.repaired]) >= 3
        async with asyncio.timeout(WAIT_S):
            while _read_index(farm) or not _lists_all(farm):  # noqa: ASYNC110 - of files
                await asyncio.sleep(0.05)
    assert wrong == []


def _read_index(farm: AuditedFarm) -> list[str]:
    """Read every page as an installer does; returns the wheels with another hash."""
    wrong = []
    for page in (farm.root / "simple").glob("*/index.v1_json"):
        with contextlib.suppress(FileNotFoundError):
            for file in json.loads(page.read_bytes())["files"]:
                url = urllib.parse.urljoin(f"{page}", file["url"])
                with contextlib.suppress(FileNotFoundError):
                    content = Path(url).read_bytes()
                    if hashlib.sha256(content).hexdigest() != file["hashes"]["sha256"]:
                        wrong.append(url)
    return wrong


def _lists_all(farm: AuditedFarm) -> bool:
    """Whether the pages name no file that is missing."""
    pages = (farm.root / "simple").glob("*/index.v1_json")
    with contextlib.suppress(FileNotFoundError):
        return all(
            (page.parent / file["url"]).exists()
            for page in pages
            for file in json.loads(page.read_bytes())["files"]
        )
    return False


async def test_a_killed_audit_goes_on_where_it_was(farm: AuditedFarm) -> None:
    for number in range(30):
        await farm.publish_wheel("many", f"1.{number}")
    await farm.site.write_all()
    config = write_config(farm)
    position = farm.state_dir / "audit.json"
    command = [sys.executable, "-m", "piwheels", "audit", "--rate", "30/s", "--config"]
    killed = await asyncio.create_subprocess_exec(
        *command, str(config), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(2 * WAIT_S):
            while _files_done(position) < 10:  # noqa: ASYNC110 - nothing tells of a file
                await asyncio.sleep(0.05)
    finally:
        killed.kill()
        await killed.wait()
    done = _files_done(position)
    assert json.loads(position.read_bytes())["part"] == "wheels"
    farm.wheel("beta").unlink()  # wherever its hash is, the count tells that the audit went on
    resumed = await run_piw(farm, "--json")
    totals = json.loads(resumed.stdout)["totals"]
    again = json.loads((await run_piw(farm, "--json")).stdout)["totals"]
    assert done > 0
    assert totals["files"] == pytest.approx(again["files"], abs=2)
    assert not position.exists()


def _files_done(position: Path) -> int:
    try:
        return int(json.loads(position.read_bytes())["counts"]["files"])
    except FileNotFoundError:
        return 0
