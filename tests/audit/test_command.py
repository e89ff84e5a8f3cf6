"""`piw audit` as a shell sees it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.audit.harness import AuditedFarm
from tests.timeouts import WAIT_S

Done = subprocess.CompletedProcess[str]


def write_config(farm: AuditedFarm) -> Path:
    """A configuration of a farm, beside it."""
    config = farm.state_dir.with_name("piwheels.toml")
    config.write_text(
        f'[webroot]\nroot = "{farm.root}"\n[master]\nspool_dir = "{farm.state_dir}"\n'
        f"[database]\ndsn = {json.dumps(farm.db.dsn)}\n"
    )
    return config


async def run_piw(farm: AuditedFarm, *arguments: str) -> Done:
    """Run `piw audit` on a farm."""
    config = write_config(farm)
    program = Path(sys.executable).with_name("piw")
    command = [str(program), "audit", "--config", str(config), *arguments]

    def run() -> Done:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=2 * WAIT_S
        )

    done = await asyncio.to_thread(run)
    assert "Traceback" not in done.stderr
    return done


async def test_the_exit_code_and_the_last_line_say_what_was_found(farm: AuditedFarm) -> None:
    done = await run_piw(farm)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("files compared: 0 missing, 0 extra, 0 wrong\n")
    farm.wheel("beta").unlink()
    farm.old_file("packages/a\nb")
    done = await run_piw(farm, "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["findings"][0]["path"] == r"packages/a\nb"
    assert (document["totals"]["missing"], document["totals"]["extra"]) == (1, 1)
    done = await run_piw(farm, "beta", "--fix", "--rate", "100MB/s")
    assert "missing packages/" in done.stdout
    assert "done: take it off its page, and build it again" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "fast"], "'fast' is not a rate; write 500/s (files) or 20MB/s"),
        (["nobody"], "the farm has no project nobody"),
        (["--dsn", "host=/nowhere"], "the database cannot be reached"),
    ],
)
async def test_an_audit_that_cannot_run_exits_2(
    farm: AuditedFarm, arguments: list[str], message: str
) -> None:
    done = await run_piw(farm, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


async def test_an_empty_disk_is_not_taken_for_lost_files(farm: AuditedFarm) -> None:
    (farm.root / "packages").rename(farm.root / "elsewhere")
    (farm.root / "packages" / "lost+found").mkdir(parents=True)
    done = await run_piw(farm, "--fix")
    assert done.returncode == 2
    assert "lacks 3 of 3 wheels of the index that were looked for" in done.stderr
    assert "--allow-empty" in done.stderr
    assert await farm.db.value("SELECT count(*) FROM files") == 3
    done = await run_piw(farm, "--fix", "--allow-empty")
    assert done.returncode == 1
    assert await farm.db.value("SELECT count(*) FROM files") == 0
    assert await farm.db.value("SELECT count(*) FROM jobs") == 3
