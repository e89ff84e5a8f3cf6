"""Import of daily totals from CSV: atomic and idempotent."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from piwheels.accesslog.csv_import import read_days
from piwheels.accesslog.reader import today
from piwheels.db import downloads
from piwheels.db.database import Database
from piwheels.errors import RejectedError

HEAD = "day,downloads,bytes,saved_s\n"


def piw(dsn: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "piwheels", "stats", "import", *arguments],
        env={"PIWHEELS_DATABASE_DSN": dsn, "PATH": "/usr/bin:/bin", "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_an_import_is_idempotent(dsn: str, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text(f"{HEAD}2022-10-01,1060767,5000,29721600.5\n2020-03-04,105826,,\n")
    done = piw(dsn, file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 days with 1,166,593 downloads; new or changed: 2 days\n"
    assert json.loads(piw(dsn, file, "--json").stdout)["changed"] == 0
    first, second = await downloads.per_year(database)
    assert (first.record_day, second.record_day) == (105_826, 1_060_767)
    totals = await downloads.download_totals(database)
    assert (totals.downloads, totals.record_date) == (1_166_593, date(2022, 10, 1))
    assert (totals.bytes, totals.saved_s) == (5000, 29_721_600.5)
    file.write_text("downloads,day\n7,2020-03-04\n")
    assert piw(dsn, file).returncode == 0
    assert (await downloads.download_totals(database)).downloads == 1_060_774


async def test_an_invalid_line_is_named_and_nothing_is_imported(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "history.csv"
    file.write_text(f"{HEAD}2022-10-01,5,0,0\n2022-13-01,5,0,0\n2022-10-02,five,0,0\n")
    done = piw(dsn, file)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "line 3: '2022-13-01' is not a date" in line
    assert "line 4: downloads is 'five'" in line
    assert "nothing was imported" in line
    assert (await downloads.download_totals(database)).downloads == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line"),
        ("date,count\n", "first line"),
        ("day,downloads,extra\n", "first line"),
        ("day,day,downloads\n", "first line"),
        ("day,downloads\n2022-10-01\n", "line 2: the number of columns differs"),
        ("day,downloads\n2022-10-01,-1\n", "not a valid number"),
        ("day,downloads\n2022-10-01,1.5\n", "not a valid number"),
        ("day,downloads\n2022-10-01,\n", "not a valid number"),
        ("day,downloads\n2022-10-01,99999999999999999999\n", "not a valid number"),
        ("day,downloads,bytes\n2022-10-01,1,4611686018427387903\n", "not a valid number"),
        ("day,downloads,saved_s\n2022-10-01,1,nan\n", "not a valid number of seconds"),
        ("day,downloads\n2022-10-01,1\n2022-10-01,1\n", "line 3: 2022-10-01 is listed twice"),
        (f"day,downloads\n{today() + timedelta(days=1)},1\n", "is not in the past"),
        ('day,downloads\n"2022-10-01,1\n', "nothing was imported"),
        ("day,downloads\n" + "x,1\n" * 9, "and 4 more"),
    ],
)
def test_an_invalid_file_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "history.csv"
    file.write_text(text)
    with pytest.raises(RejectedError, match=message) as error:
        read_days(file)
    assert str(error.value).endswith("nothing was imported")


def test_an_undecodable_file_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_bytes(b"day,downloads\n\xff\xfe\n")
    with pytest.raises(RejectedError, match="nothing was imported"):
        read_days(file)


def test_a_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_bytes("\ufeffDay,Downloads\r\n2022-10-01, 5\r\n\r\n".encode())
    assert [(day.day, day.downloads) for day in read_days(file)] == [(date(2022, 10, 1), 5)]
