"""Makes the database of a farm that follows the whole upstream index, or a share of it.

At full size: 736,344 projects, 7.4 M releases, 6.5 M builds, 4.1 M wheels, 3.4 M jobs. Builds ended
at the rate of a real farm, so that an hour has as many at any size. Rows are inserted without
triggers, and agree with the rules: the queue is what `recompute_jobs` would make it.
"""

from dataclasses import dataclass

from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.db.row_counts import correct_row_counts
from tests.db.scenario import (
    NEWER_OS_TARGETS,
    RULES,
    TARGETS,
    complete_as_built,
    make_release,
    make_wheel,
)

FULL_PROJECTS = 736_344
FARM_TARGETS = [*TARGETS, *NEWER_OS_TARGETS]
TARGET_NAMES = [target.name for target in FARM_TARGETS]
_RELEASES_OF_PROJECT = 10
_BUILDS_A_DAY = 6_700
_PROJECTS_AT_ONCE = 20_000

#: A release by its numbers n and v. Of a hundred, 46 are queued, 14 of them for the second Python;
#: the others have a wheel for all targets, 34 after a failure.
_SHARE = "((n * 7 + v * 13) % 100)"
_REQUIRES = f"CASE WHEN {_SHARE} < 14 THEN '>=3.11' ELSE '' END"
_NUMBERS = "generate_series({first}, {last}) n CROSS JOIN generate_series(0, 9) v"
_WHEEL = "'bulk_' || n || '-' || v || '.0-py3-none-any.whl'"

_STATEMENTS = (
    """
    INSERT INTO projects (project, display_name)
    SELECT 'bulk-' || n, 'bulk-' || n FROM generate_series({first}, {last}) n
    """,
    f"""
    INSERT INTO releases (project, version, released_at, requires_python, sdist_filename,
                          sdist_url, sdist_sha256, sdist_size)
    SELECT 'bulk-' || n, v || '.0', now(), {_REQUIRES}, 'bulk-' || n || '-' || v || '.0.tar.gz',
           'http://upstream/bulk-' || n || '-' || v || '.0.tar.gz', md5('s' || n || v) || md5('t' || n),
           100000
      FROM {_NUMBERS}
    """,
    # Failures that were retried, and the build after them.
    f"""
    INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry, reason,
                        started_at, ended_at, duration_s, attempt, build_inputs, failure_class)
    SELECT nextval('build_ids'), 'bulk-' || n, v || '.0', '{TARGET_NAMES[0]}', 'pi-' || n % 20,
           'failed', true, 'cc1: fatal error: foo.h: No such file or directory',
           timezone('UTC', 'epoch'), timezone('UTC', 'epoch'), 60 + n % 300, 1, '{{{{}}}}',
           'missing-package'
      FROM {_NUMBERS}
     WHERE {_SHARE} >= 66
    """,
    f"""
    WITH built AS (
        INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry,
                            reason, started_at, ended_at, duration_s, attempt, build_inputs)
        SELECT nextval('build_ids'), 'bulk-' || n, v || '.0', '{TARGET_NAMES[0]}', 'pi-' || n % 20,
               'built', false, '', timezone('UTC', 'epoch'), timezone('UTC', 'epoch'),
               30 + n % 200, 1, '{{{{}}}}'
          FROM {_NUMBERS}
         WHERE {_SHARE} >= 46
        RETURNING build_id, project, version
    ), reserved AS (
        INSERT INTO reserved_filenames (filename, sha256)
        SELECT {_WHEEL}, md5(n || '-' || v) || md5('w' || n) FROM {_NUMBERS} WHERE {_SHARE} >= 46
    )
    INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, compatibility_id,
                       requires_python, debian_packages, project, version, build_id)
    SELECT {_WHEEL}, md5(n || '-' || v) || md5('w' || n), 50000 + n % 1000, md5('m' || n),
           '{{compatibility}}', '', '{{{{}}}}', b.project, b.version, b.build_id
      FROM {_NUMBERS}
      JOIN built b ON b.project = 'bulk-' || n AND b.version = v || '.0'
     WHERE {_SHARE} >= 46
    """,
    f"""
    INSERT INTO jobs (project, version, target, queued_at, priority_time)
    SELECT 'bulk-' || n, v || '.0',
           CASE WHEN {_SHARE} < 14 THEN '{TARGET_NAMES[1]}' ELSE '{TARGET_NAMES[0]}' END,
           queued_at, queued_at
      FROM (SELECT n, v, now() - interval '30 days' * (1 - n::float8 / {{projects}})
                         + v * interval '1 ms' AS queued_at
              FROM {_NUMBERS}) numbered
     WHERE {_SHARE} < 46
    """,
    """
    INSERT INTO page_queue (page_kind, page_key)
    SELECT 'project', 'bulk-' || n FROM generate_series({first}, {last}) n WHERE n % 10 = 0
    """,
)
#: The last build ended now, the others at the rate of a real farm before it.
_END_BUILDS = f"""
    UPDATE builds
       SET ended_at = now() - ({{builds}} - build_id) * interval '1 day' / {_BUILDS_A_DAY},
           started_at = now() - ({{builds}} - build_id) * interval '1 day' / {_BUILDS_A_DAY}
                        - interval '1 minute'
     WHERE builder LIKE 'pi-%'
"""
_EVENTS = """
    INSERT INTO events (who, text, subject)
    SELECT 'upstream', 'added a release', 'bulk-' || n FROM generate_series(1, 10000) n
"""


@dataclass(frozen=True)
class FarmSize:
    """How many rows the tables have."""

    projects: int
    releases: int
    builds: int
    files: int
    jobs: int
    database_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.projects:,} projects, {self.releases:,} releases, {self.builds:,} builds, "
            f"{self.files:,} wheels, {self.jobs:,} jobs, {self.database_bytes / 1e6:,.0f} MB"
        )


async def make_farm(db: Database, projects: int) -> FarmSize:
    """Fill an empty database; the connection has to be a superuser's."""
    compatibility = await _add_basics(db)
    await db.execute("SET session_replication_role = replica")  # without triggers
    for first in range(1, projects + 1, _PROJECTS_AT_ONCE):
        numbers = {"first": first, "last": min(first + _PROJECTS_AT_ONCE - 1, projects)}
        for statement in _STATEMENTS:
            await db.execute(
                statement.format(**numbers, projects=projects, compatibility=compatibility)
            )
    last_build = await db.value("SELECT max(build_id) FROM builds")
    await db.execute(_END_BUILDS.format(builds=last_build))
    await db.execute(_EVENTS)
    await db.execute("SET session_replication_role = origin")
    await correct_row_counts(db)
    for table in await _tables(db):
        await db.execute(f"VACUUM ANALYZE {table}")
    return await farm_size(db)


async def _add_basics(db: Database) -> str:
    """Targets, specifiers, and a built wheel for all targets; returns the id of its tags."""
    for target in FARM_TARGETS:
        await target_queries.add_target(db, target, RULES)
    await catalog.add_project(db, "alpha", "alpha")
    releases = [make_release("alpha"), make_release("alpha", "2.0", requires_python=">=3.11")]
    await catalog.add_releases(db, releases, RULES)
    job = await job_queue.claim(db, "builder", TARGET_NAMES)
    assert job is not None
    await complete_as_built(db, job, "builder", make_wheel(job, "py3-none-any"))
    await target_queries.recompute_jobs(db)
    return str(await db.value("SELECT compatibility_id FROM files"))


async def _tables(db: Database) -> list[str]:
    rows = await db.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    return [row["relname"] for row in rows]


async def farm_size(db: Database) -> FarmSize:
    """Counted exactly."""
    tables = ("projects", "releases", "builds", "files", "jobs")
    counts = {table: await db.value(f"SELECT count(*) FROM {table}") for table in tables}
    size = await db.value("SELECT pg_database_size(current_database())")
    return FarmSize(**counts, database_bytes=size)
