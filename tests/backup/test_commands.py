"""`piw db backup`, `db restore` and `retention` as commands, and the master that waits for them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from piwheels.db import key_values
from piwheels.db.database import Database
from tests.backup.farm import Machine
from tests.timeouts import WAIT_S


@pytest.fixture
def machine(dsn: str, tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "farm", dsn)
    machine.configure()
    return machine


def piw(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "piwheels", *words, "--config", str(machine.config_file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_backup_is_written_and_checked_by_commands(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "farm.zip"
    written = json.loads(piw(machine, "db", "backup", str(file), "--json").stdout)
    assert (written["file"], written["wheels"], written["keys"]) == (str(file), 0, 2)
    checked = piw(machine, "db", "restore", str(file), "--dry-run")
    assert checked.stdout.splitlines()[0].endswith("is complete; nothing was changed")
    refused = piw(machine, "db", "restore", str(file))
    assert refused.returncode == 1
    assert refused.stderr.startswith("piw: nothing was restored, because it would replace the")
    assert refused.stderr.count("\n") == 1


def test_a_backup_into_a_missing_folder_is_one_line(machine: Machine, tmp_path: Path) -> None:
    done = piw(machine, "db", "backup", str(tmp_path / "missing" / "farm.zip"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No such file or directory" in done.stderr


def test_retention_says_how_much_each_rule_removes(machine: Machine) -> None:
    done = piw(machine, "retention", "--dry-run", "--json")
    rules = {report["rule"]: report["enabled"] for report in json.loads(done.stdout)}
    assert rules == {
        "wheels of old releases": False,
        "logs": False,
        "events": True,
        "moved files": False,
    }


async def test_a_master_does_not_start_while_a_restore_is_unfinished(
    machine: Machine, dsn: str
) -> None:
    async with await Database.connect(dsn, role="test") as db:
        await key_values.set_value(db, "restore/unfinished", "20260101T000000Z-0")
    done = piw(machine, "master")
    assert done.returncode == 1
    assert "run the same `piw db restore` again" in done.stderr
