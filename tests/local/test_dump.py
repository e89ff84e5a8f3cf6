"""Backup and restore of a database with PostgreSQL's own programs."""

from pathlib import Path

import pytest

from piwheels.db import catalog
from piwheels.db.database import Database
from piwheels.local import dump
from piwheels.local.dump import DumpError, backup_database, restore_database


async def test_a_backup_is_restored_into_an_empty_database(
    dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    async with await Database.connect(dsn, role="test") as db:
        await catalog.add_project(db, "demo", "Demo")
    file = tmp_path / "farm.dump"
    backup_database(dsn, file)
    restore_database(empty_dsn, file)
    async with await Database.connect(empty_dsn, role="test") as db:
        assert await catalog.existing_projects(db, ["demo"]) == {"demo"}


def test_a_backup_overwrites_no_file(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "farm.dump"
    file.write_text("kept")
    with pytest.raises(DumpError, match="exists; name a new file"):
        backup_database(dsn, file)
    assert file.read_text() == "kept"


def test_a_restore_into_a_database_with_tables_is_rejected(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "farm.dump"
    backup_database(dsn, file)
    with pytest.raises(DumpError, match=r"the database is not empty .*; restore into an empty one"):
        restore_database(dsn, file)


def test_missing_programs_are_named(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump, "find_postgres_bin_dirs", list)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DumpError, match="pg_dump is not installed; install PostgreSQL's client"):
        backup_database(dsn, tmp_path / "farm.dump")
