"""Stored logs of failed builds are judged again."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from piwheels.cli import cli
from piwheels.db import catalog, job_queue, parked_jobs, target_queries
from piwheels.db.database import Database
from piwheels.model import FailureClass, Outcome
from piwheels.webroot import Webroot, replace_file
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_job_with_retry_after,
    make_build,
    make_release,
)

_TARGET = TARGETS[0].name
_LOGS = {
    "needy": "needy.c:1:10: fatal error: libpq-fe.h: No such file or directory\n",
    "faulty": "x.c:3:1: error: expected ';' before '}' token\nerror: command 'gcc' failed\n",
    "early": "ERROR: No matching distribution found for some-tool>=2\n",
    "lost": "",
}


@pytest.fixture
async def webroot(database: Database, tmp_path: Path) -> Webroot:
    """Final failures of class unknown, all but one with a log."""
    root = Webroot(tmp_path / "www")
    await target_queries.add_target(database, TARGETS[0], RULES)
    for name in _LOGS:
        await catalog.add_project(database, name, name)
        await catalog.add_releases(database, [make_release(name)], RULES)
    await target_queries.recompute_jobs(database)
    while (job := await job_queue.claim(database, "pi4", [_TARGET])) is not None:
        build = replace(make_build(job, "pi4", Outcome.FAILED), failure_class=FailureClass.UNKNOWN)
        assert await complete_job_with_retry_after(database, build, [], RULES, None)
        if text := _LOGS[job.project]:
            replace_file(root.log_path(job.build_id), gzip.compress(text.encode()))
    return root


@pytest.fixture
def config(webroot: Webroot, dsn: str, tmp_path: Path) -> Path:
    file = tmp_path / "piwheels.toml"
    file.write_text(f'[database]\ndsn = "{dsn}"\n[webroot]\nroot = "{webroot.root}"\n')
    return file


async def run(config: Path, *arguments: str) -> Result:
    command = ["reclassify", *arguments, "--config", str(config)]
    result = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert result.exit_code == 0, result.output
    return result


async def stored_classes(db: Database) -> dict[str, tuple[str, list[str], bool]]:
    rows = await db.rows("SELECT project, failure_class, evidence, will_retry FROM builds")
    return {
        row["project"]: (row["failure_class"], row["evidence"]["packages"], row["will_retry"])
        for row in rows
    }


async def test_failures_that_are_final_no_longer_are_queued_as_their_policy_says(
    database: Database, config: Path
) -> None:
    result = await run(config)
    assert result.output.splitlines()[-1] == (
        "4 builds judged, 1 without a log, 3 changed, 2 queued again"
    )
    assert await stored_classes(database) == {
        "needy": ("missing-package", ["libpq-dev"], True),
        "faulty": ("compiler-error", [], False),
        "early": ("build-requirement", [], True),
        "lost": ("unknown", [], False),
    }
    (requirement,) = await parked_jobs.package_requirements(database)
    assert requirement.required_packages == ("libpq-dev",)
    waiting = "SELECT project FROM jobs WHERE awaited_project = 'some-tool' AND retry_at > now()"
    assert await database.value(waiting) == "early"
    again = await run(config)
    assert again.output == "4 builds judged, 1 without a log, 0 changed, 0 queued again\n"


async def test_a_dry_run_changes_nothing_and_names_every_change(
    database: Database, config: Path
) -> None:
    before = await stored_classes(database)
    result = await run(config, "--dry-run", "--json", "needy", "faulty")
    *changes, totals = [json.loads(line) for line in result.output.splitlines()]
    assert {change["project"]: (change["class"], change["queued"]) for change in changes} == {
        "needy": ("missing-package", True), "faulty": ("compiler-error", False),
    }  # fmt: skip
    assert totals == {"judged": 2, "without_log": 0, "changed": 2, "queued": 1}
    assert await stored_classes(database) == before
    assert await database.value("SELECT count(*) FROM jobs") == 0
