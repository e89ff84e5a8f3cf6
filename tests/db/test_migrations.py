"""Creating the schema, converting a database of the development series, and the schema file."""

import re
from enum import StrEnum
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from piwheels.db import file_deletions, job_queue, key_values
from piwheels.db.database import Database
from piwheels.db.downloads import Dimension
from piwheels.db.migrate import SCHEMA_VERSION, MigrationError, upgrade
from piwheels.db.page_queue import PageKind
from piwheels.db.target_queries import recompute_jobs
from piwheels.model import FailureClass, Outcome, PageCheckResult, ProjectStatus
from tests.db.schema_dump import dump_schema

SQL = Path(__file__).parents[2] / "sql"
OLD_SCHEMA = Path(__file__).parent / "data" / "schema_11.sql"

#: Rows as the last version of the development series left them.
OLD_ROWS = """
    INSERT INTO settings VALUES
        ('paused', 'yes'), ('held pi1', 'quarantined'), ('upstream.serial', '7'),
        ('site downloads shown until', '2026-01-01');
    INSERT INTO events (who, action, subject) VALUES ('ben', 'skipped', 'alpha');
    INSERT INTO targets (target, position, python, python_full, implementation, abi, arch, os, glibc)
    VALUES ('cp311-bookworm-aarch64', 1, '3.11', '3.11.2', 'cp', 'cp311', 'aarch64', 'bookworm',
            '2.36');
    INSERT INTO specifiers VALUES ('');
    INSERT INTO python_ranges VALUES ('', 'cp311-bookworm-aarch64');
    INSERT INTO kinds VALUES ('py3-none-any', 'py3-none-any', '', true);
    INSERT INTO kind_targets VALUES ('py3-none-any', 'cp311-bookworm-aarch64', 0, true);
    INSERT INTO projects (project, display, finding) VALUES ('alpha', 'Alpha', 'current');
    INSERT INTO releases (project, version, released_at, requires_python,
                          sdist_filename, sdist_url, sdist_sha256)
    VALUES ('alpha', '1.0', now(), '', 'alpha-1.0.tar.gz', 'http://upstream/', ''),
           ('alpha', '2.0', now(), '', 'alpha-2.0.tar.gz', 'http://upstream/', '');
    INSERT INTO builds (build, project, version, target, builder, outcome, retryable, reason,
                        started_at, duration_s, attempt, inputs)
    VALUES (nextval('build_numbers'), 'alpha', '1.0', 'cp311-bookworm-aarch64', 'pi1', 'killed',
            true, 'by an operator', now(), 1, 1, '{}'),
           (nextval('build_numbers'), 'alpha', '1.0', 'cp311-bookworm-aarch64', 'pi1', 'built',
            false, '', now(), 1, 2, '{}');
    INSERT INTO filenames VALUES ('alpha-1.0-py3-none-any.whl', 'aa');
    INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, kind, requires_python,
                       dependencies, project, version, build)
    VALUES ('alpha-1.0-py3-none-any.whl', 'aa', 1, '', 'py3-none-any', '', '{}', 'alpha', '1.0', 2);
    INSERT INTO removals VALUES ('installing.whl', 'bb', 'alpha', 'infinity');
    SELECT ensure_access_partition('2026-01-15');
    INSERT INTO accesses VALUES ('2026-01-15', 1, 2, 3, 4, 1, 200);
"""


#: A project whose builds took 1000 s yesterday, 2000 s the day before, and so on; the second failed.
OLD_BUILDS = """
    INSERT INTO projects (project, display, finding) VALUES ('slow', 'Slow', 'current');
    INSERT INTO releases (project, version, released_at, requires_python,
                          sdist_filename, sdist_url, sdist_sha256)
    VALUES ('slow', '1.0', now(), '', 'slow-1.0.tar.gz', 'http://upstream/', '');
    INSERT INTO builds (build, project, version, target, builder, outcome, retryable, reason,
                        started_at, ended_at, duration_s, attempt, inputs)
    SELECT 1000 + number, 'slow', '1.0', 'cp311-bookworm-aarch64', 'pi1',
           CASE WHEN number = 2 THEN 'failed' ELSE 'built' END, false, '', now(),
           now() - make_interval(days => number), 1000.0 * number, 1, '{}'
      FROM generate_series(1, 9) AS number;
    INSERT INTO jobs (project, version, target)
    VALUES ('slow', '1.0', 'cp311-bookworm-aarch64') ON CONFLICT DO NOTHING;
"""


async def _make_old_database(dsn: str, rows: str = OLD_ROWS) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(OLD_SCHEMA.read_bytes())
        await connection.execute(rows.encode())


def test_the_schema_file_matches_the_migrations(dsn: str) -> None:
    assert dump_schema(dsn) == (SQL / "schema.sql").read_text()


@pytest.mark.parametrize(
    ("column", "values", "none"),
    [
        ("builds.outcome", Outcome, set()),
        ("builds.failure_class", FailureClass, {""}),
        ("projects.status", ProjectStatus, set()),
        ("projects.check_result", PageCheckResult, {""}),
        ("page_queue.page_kind", PageKind, set()),
        ("page_invalidations.page_kind", PageKind, set()),
        ("downloads_daily_by_dimension.dimension", Dimension, set()),
    ],
)
async def test_the_values_of_a_column_match_its_enum(
    database: Database, column: str, values: type[StrEnum], none: set[str]
) -> None:
    table, _, name = column.partition(".")
    check = await database.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %(name)s",
        {"name": f"{table}_{name}_check"},
    )
    assert set(re.findall(r"'([^']*)'", check)) == {str(value) for value in values} | none


async def test_a_dry_run_prints_what_it_would_run_and_changes_nothing(empty_dsn: str) -> None:
    pending = await upgrade(empty_dsn, dry_run=True)
    assert [migration.name for migration in pending] == ["001_schema.sql"]
    assert "CREATE TABLE projects" in pending[0].sql
    assert await upgrade(empty_dsn) == pending
    assert await upgrade(empty_dsn, dry_run=True) == ()


async def test_a_database_of_the_development_version_is_converted_once(
    empty_dsn: str, dsn: str
) -> None:
    await _make_old_database(empty_dsn)
    converted = await upgrade(empty_dsn)
    assert [migration.name for migration in converted] == ["convert/from_11.sql"]
    assert await upgrade(empty_dsn) == ()
    assert dump_schema(empty_dsn, full=True) == dump_schema(dsn, full=True)


async def test_a_converted_database_keeps_its_rows(empty_dsn: str) -> None:
    await _make_old_database(empty_dsn)
    await upgrade(empty_dsn)
    async with await Database.connect(empty_dsn, role="test", exclusive=True) as db:
        assert await key_values.get_value(db, "paused") == "yes"
        assert await key_values.get_values(db, "quarantine/") == {"pi1": "quarantined"}
        assert await key_values.get_value(db, "upstream/serial") == "7"
        assert await key_values.get_value(db, "site/downloads_invalidated_until") == "2026-01-01"
        assert await db.value("SELECT text FROM events WHERE who = 'ben'") == "skipped"
        outcomes = await db.rows("SELECT outcome FROM builds ORDER BY build_id")
        assert [row["outcome"] for row in outcomes] == ["canceled", "built"]
        assert await db.value("SELECT count(*) FROM access_records_2026_01") == 1
        await recompute_jobs(db)
        job = await job_queue.claim(db, "pi1", ["cp311-bookworm-aarch64"])
        assert job is not None
        assert (job.version, job.build_id) == ("2.0", 3)
        await file_deletions.abandon_installs(db)
        assert await db.value("SELECT installing FROM file_deletions") is False


async def test_durations_are_learned_from_the_last_builds_that_succeeded(empty_dsn: str) -> None:
    await _make_old_database(empty_dsn, OLD_ROWS + OLD_BUILDS)
    await upgrade(empty_dsn)
    async with await Database.connect(empty_dsn, role="test", exclusive=True) as db:
        rows = await db.rows("SELECT project, expected_build_s, is_long FROM projects")
        assert sorted(tuple(row.values()) for row in rows) == [
            ("alpha", 1.0, False),
            ("slow", (1000.0 + 3000.0 + 4000.0 + 5000.0) / 4, True),
        ]
        jobs = await db.rows("SELECT project, is_long FROM jobs")
        assert {row["project"]: row["is_long"] for row in jobs}["slow"]


async def test_an_older_development_version_is_rejected_with_a_solution(empty_dsn: str) -> None:
    await _make_old_database(empty_dsn)
    async with await psycopg.AsyncConnection.connect(empty_dsn, row_factory=dict_row) as admin:
        await admin.execute("DELETE FROM schema_versions WHERE version > 9")
    with pytest.raises(MigrationError, match=r"version 9 .* only version 11 can be converted: run"):
        await upgrade(empty_dsn)


def test_every_migration_has_a_unique_number() -> None:
    numbers = sorted(int(path.name[:3]) for path in SQL.glob("[0-9]*.sql"))
    assert numbers == list(range(1, SCHEMA_VERSION + 1))
