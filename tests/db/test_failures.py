"""What fails on the farm, by cause: what belongs to a group, and what a command does to it."""

import time

import pytest

from piwheels.db import catalog, failures, job_queue, recipe_store, target_queries
from piwheels.db.database import Database
from piwheels.model import FailureGroup, RecipeOrigin
from tests.db.scenario import RULES, TARGETS, make_release

OLD, NEW, NEWEST, _ = (target.name for target in TARGETS)
_BUILD = """
    INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry, reason,
                        started_at, duration_s, attempt, build_inputs, failure_class, evidence)
    VALUES (nextval('build_ids'), %(project)s, %(version)s, %(target)s, 'pi1', %(outcome)s, false,
            %(reason)s, now(), 1, 1, '{}', %(failure_class)s,
            jsonb_build_object('missing', %(missing)s::text[], 'packages', %(packages)s::text[]))
    RETURNING build_id
"""


class Farm:
    """A farm with three targets, whose builds a test records."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def add(self, *projects: str) -> None:
        for project in projects:
            await catalog.add_project(self.db, project, project)
            releases = [make_release(project, version) for version in ("1.0", "2.0")]
            await catalog.add_releases(self.db, releases, RULES)

    async def build(
        self,
        project: str,
        target: str = OLD,
        *,
        version: str = "2.0",
        outcome: str = "failed",
        reason: str = "it broke",
        failure_class: str = "compiler-error",
        missing: tuple[str, ...] = (),
        packages: tuple[str, ...] = (),
    ) -> int:
        built = outcome == "built"
        return int(
            await self.db.value(
                _BUILD,
                {
                    "project": project,
                    "version": version,
                    "target": target,
                    "outcome": outcome,
                    "reason": "" if built else reason,
                    "failure_class": "" if built else failure_class,
                    "missing": list(missing),
                    "packages": list(packages),
                },
            )
        )

    async def lacks_libpq(self, project: str, target: str = OLD, **facts: str) -> int:
        return await self.build(
            project,
            target,
            reason=f"./{project}.h:30:10: fatal error: libpq-fe.h: No such file or directory",
            failure_class="missing-package",
            missing=("header libpq-fe.h",),
            packages=("libpq-dev",),
            **facts,
        )

    async def groups(self) -> list[FailureGroup]:
        return list((await failures.failure_report(self.db)).groups)


@pytest.fixture
async def farm(database: Database) -> Farm:
    for target in TARGETS[:3]:
        await target_queries.add_target(database, target, RULES)
    await target_queries.recompute_jobs(database)
    return Farm(database)


async def test_failures_are_grouped_by_the_package_that_is_missing(farm: Farm) -> None:
    await farm.add("psycopg2", "pgcopy", "other")
    await farm.lacks_libpq("psycopg2", OLD)
    await farm.lacks_libpq("psycopg2", NEW)
    last = await farm.lacks_libpq("pgcopy", OLD)
    await farm.build("other", reason="a.c:3:1: error: 'x' undeclared")
    libpq, other = await farm.groups()
    assert (libpq.failure_class, libpq.cause) == ("missing-package", "libpq-dev")
    assert libpq.missing == ("header libpq-fe.h",)
    assert (libpq.releases, libpq.targets, libpq.packages) == (2, 2, ("libpq-dev",))
    assert (libpq.example_build, libpq.example_project) == (last, "pgcopy")
    assert "pgcopy.h:30:10: fatal error: libpq-fe.h" in libpq.reason
    assert (other.cause, other.releases) == ("error: 'x' undeclared", 1)
    report = await failures.failure_report(farm.db)
    assert (report.causes, report.releases) == (2, 3)


async def test_the_same_error_in_another_file_is_the_same_cause(farm: Farm) -> None:
    await farm.add("one", "two")
    await farm.build("one", reason="src/a.c:3:1: error: 'x' undeclared")
    await farm.build("two", reason="lib/b.c:77: error: 'x' undeclared")
    (group,) = await farm.groups()
    assert (group.cause, group.releases) == ("error: 'x' undeclared", 2)


async def test_regressions_are_first(farm: Farm) -> None:
    await farm.add("many", "others", "worked")
    await farm.lacks_libpq("many")
    await farm.lacks_libpq("others")
    await farm.build("worked", version="1.0", outcome="built")
    await farm.build("worked", reason="error: it was fine")
    first, second = await farm.groups()
    assert (first.cause, first.regressions, first.regressed) == (
        "error: it was fine",
        1,
        ("worked 2.0",),
    )
    assert (second.cause, second.regressions, second.regressed) == ("libpq-dev", 0, ())


async def test_what_was_built_skipped_or_removed_since_does_not_fail(farm: Farm) -> None:
    await farm.add("built", "skipped", "for-target", "removed", "canceled", "open")
    for project in ("built", "skipped", "for-target", "removed", "open"):
        await farm.build(project)
    await farm.build("canceled", outcome="canceled", failure_class="canceled")
    await farm.build("built", outcome="built")
    await catalog.skip_project(farm.db, "skipped", "no")
    await catalog.skip_for_target(farm.db, "for-target", None, OLD, "no")
    await catalog.remove_project(farm.db, "removed")
    (group,) = await farm.groups()
    assert (group.releases, group.example_project) == (1, "open")


async def test_only_the_last_build_of_a_release_counts(farm: Farm) -> None:
    await farm.add("demo")
    await farm.lacks_libpq("demo")
    await farm.build("demo", reason="error: something else")
    (group,) = await farm.groups()
    assert group.cause == "error: something else"


async def test_a_group_is_retried_as_it_was_named(farm: Farm) -> None:
    await farm.add("one", "two", "other")
    await farm.lacks_libpq("one")
    await farm.lacks_libpq("two")
    await farm.build("other")
    named = await failures.builds_of_group(farm.db, "missing-package", "libpq-dev")
    assert [build.project for build in named] == ["two", "one"]
    await farm.add("later")
    await farm.lacks_libpq("later")  # it failed after the operator looked
    releases = [(build.project, build.version, build.target) for build in named]
    assert await failures.retry_releases(farm.db, releases) == 2
    waiting = await farm.db.rows(
        "SELECT project FROM jobs WHERE version = '2.0' AND target = %(old)s ORDER BY project",
        {"old": OLD},
    )
    assert [row["project"] for row in waiting] == ["one", "two"]
    (libpq,) = [group for group in await farm.groups() if group.cause == "libpq-dev"]
    assert (libpq.releases, libpq.retrying, libpq.retried) == (3, 2, 2)
    assert await failures.retry_releases(farm.db, releases) == 0


async def test_packages_are_added_to_projects_and_their_failures_are_queued_again(
    farm: Farm,
) -> None:
    await farm.add("one", "two")
    for project in ("one", "two"):
        await farm.lacks_libpq(project)
        await farm.lacks_libpq(project, NEW)
    releases = [("one", "2.0", OLD), ("gone", "1.0", OLD)]
    added = await recipe_store.add_packages(farm.db, ["libpq-dev"], releases=releases)
    assert added == (1, 1)
    added = await recipe_store.add_packages(
        farm.db, ["libssl-dev", "libpq-dev"], projects=["one", "two"]
    )
    assert added == (2, 3)
    (recipe,) = await recipe_store.project_recipes(farm.db, "one")
    assert (recipe.origin, recipe.packages) == (
        RecipeOrigin.OPERATOR, ("libpq-dev", "libssl-dev"),
    )  # fmt: skip
    job = await job_queue.claim(farm.db, "pi1", [OLD])
    assert job is not None
    assert job.recipe is not None
    assert set(job.recipe.packages) == {"libpq-dev", "libssl-dev"}
    assert await recipe_store.drop_packages(farm.db, "one") == ("libpq-dev", "libssl-dev")
    assert await recipe_store.drop_packages(farm.db, "one") == ()
    assert await recipe_store.project_recipes(farm.db, "one") == ()


async def test_a_group_is_skipped_for_its_targets_alone(farm: Farm) -> None:
    await farm.add("one", "two")
    await farm.lacks_libpq("one", OLD)
    await farm.lacks_libpq("two", NEW)
    releases = [("one", "2.0", OLD), ("two", "2.0", NEW), ("gone", "1.0", OLD)]
    await failures.retry_releases(farm.db, releases)
    queued = "SELECT project, version, target FROM jobs WHERE version = '2.0'"
    jobs = {tuple(row.values()) for row in await farm.db.rows(queued)}
    assert ("one", "2.0", OLD) in jobs
    assert await failures.skip_releases(farm.db, releases, "no libpq here") == 2
    assert await farm.groups() == []
    print(await farm.db.rows(queued))
    jobs = {tuple(row.values()) for row in await farm.db.rows(queued)}
    assert not jobs & set(releases)
    skips = await farm.db.rows("SELECT project, version, target, reason FROM target_skips")
    assert {(row["project"], row["version"], row["target"]) for row in skips} == set(releases[:2])
    assert await failures.skip_releases(farm.db, releases, "no libpq here") == 0


@pytest.mark.slow
async def test_the_cost_is_bounded_on_a_farm_of_many_builds(farm: Farm) -> None:
    await farm.db.execute("INSERT INTO requires_python_specifiers VALUES ('')")
    for table in ("projects", "releases", "builds"):
        await farm.db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await farm.db.execute(
        """
        INSERT INTO projects (project, display_name)
        SELECT 'p' || n, 'p' || n FROM generate_series(1, 20000) n
        """
    )
    await farm.db.execute(
        """
        INSERT INTO releases (project, version, released_at, requires_python)
        SELECT 'p' || n, '1.0', now(), '' FROM generate_series(1, 20000) n
        """
    )
    await farm.db.execute(
        """
        INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry,
                            reason, started_at, ended_at, duration_s, attempt, build_inputs,
                            failure_class)
        SELECT nextval('build_ids'), 'p' || (1 + n % 20000), '1.0', t.target, 'b',
               CASE WHEN n % 7 = 0 THEN 'failed' ELSE 'built' END, false, 'error ' || n % 400,
               now(), now() - make_interval(secs => 300001 - n), 1, 1, '{}',
               CASE WHEN n % 7 = 0 THEN 'compiler-error' ELSE '' END
          FROM generate_series(1, 300000) n
          JOIN targets t ON t.sort_order = (SELECT min(sort_order) FROM targets)
        """
    )
    await farm.db.execute("ANALYZE")
    started = time.monotonic()
    report = await failures.failure_report(farm.db)
    elapsed_s = time.monotonic() - started
    print(f"{report.causes} groups of {report.releases} releases in {elapsed_s:.2f} s")
    assert len(report.groups) == failures.MAX_GROUPS
    plan = await farm.db.rows(
        "EXPLAIN (FORMAT JSON) " + failures._GROUPS_SQL,
        {"max_builds": failures.MAX_BUILDS, "max_groups": failures.MAX_GROUPS},
    )
    assert "builds_failed" in str(plan)
