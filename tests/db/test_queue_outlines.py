"""Outlines of queues, and the places of jobs that they give."""

import pytest

from piwheels.db import catalog, job_queue, status_queries, target_queries
from piwheels.db.database import Database
from piwheels.db.queue_outlines import FIRST_JOBS, SAMPLED_PAGES, queue_outlines
from piwheels.model import JobsAhead, TargetStatusRow
from tests.db.executed_plans import executed_plans, rows_read
from tests.db.scenario import RULES, TARGETS, complete_as_built, make_release, make_wheel

CP39 = TARGETS[0].name
_QUEUED = 2_000


@pytest.fixture
async def farm(database: Database) -> Database:
    """A target with a long queue; the project `last` is at its end."""
    await target_queries.add_target(database, TARGETS[0], RULES)
    await database.execute(
        "INSERT INTO projects (project, display_name)"
        " SELECT 'p' || n, 'p' || n FROM generate_series(1, %(count)s) n",
        {"count": _QUEUED},
    )
    await catalog.add_project(database, "first", "first", named=False)
    await catalog.add_releases(database, [make_release("first")], RULES)
    await database.execute(
        """
        INSERT INTO releases (project, version, released_at, requires_python, sdist_filename,
                              sdist_url)
        SELECT project, '1.0', now(), '', 'x.tar.gz', 'http://upstream/x.tar.gz'
          FROM projects WHERE project <> 'first'
        """
    )
    await database.execute("UPDATE jobs SET priority_class = 2")
    await database.execute(
        "UPDATE jobs SET queued_at = now() - interval '1 day' + substr(project, 2)::int * interval '1 s',"
        " priority_time = now() - interval '1 day' + substr(project, 2)::int * interval '1 s'"
        " WHERE project <> 'first'"
    )
    return database


async def _status(db: Database, project: str, *, outlined: bool = True) -> TargetStatusRow:
    outlines = await queue_outlines(db) if outlined else {}
    facts = await status_queries.project_status(db, project, outlines=outlines)
    assert facts is not None
    return facts.releases[0].targets[0]


@pytest.mark.parametrize(("project", "ahead"), [("p1", 0), ("p2", 1), (f"p{FIRST_JOBS}", 199)])
async def test_a_near_place_is_exact_without_an_outline(
    farm: Database, project: str, ahead: int
) -> None:
    status = await _status(farm, project, outlined=False)
    assert status.jobs_ahead == JobsAhead(least=ahead, most=ahead)
    assert status.expected is None


async def test_a_far_place_lies_in_an_estimated_range(farm: Database) -> None:
    for place in (500, 1_000, 1_900):
        ahead = (await _status(farm, f"p{place + 1}")).jobs_ahead
        assert ahead.least <= place <= ahead.most
        assert ahead.most <= _QUEUED + 1
        assert ahead.most - ahead.least < _QUEUED


async def test_parked_and_deferred_jobs_are_not_ahead(farm: Database) -> None:
    await farm.execute("UPDATE jobs SET parked = true WHERE project = 'p1'")
    await farm.execute("UPDATE jobs SET retry_at = now() WHERE project = 'p2'")
    assert (await _status(farm, "p4")).jobs_ahead == JobsAhead(least=1, most=1)
    assert (await _status(farm, "p2")).jobs_ahead == JobsAhead()


async def test_a_start_is_expected_when_builds_ended(farm: Database) -> None:
    job = await job_queue.claim(farm, "pi", [CP39])
    assert job is not None
    await complete_as_built(farm, job, "pi", make_wheel(job, "py3-none-any"))
    outline = (await queue_outlines(farm))[CP39]
    assert (outline.builds, outline.waiting) == (1, _QUEUED)
    expected = (await _status(farm, "p5")).expected
    assert expected is not None
    assert 0 < expected.soonest_s < expected.latest_s


async def test_jobs_of_unknown_duration_count_as_the_last_builds(farm: Database) -> None:
    job = await job_queue.claim(farm, "pi", [CP39])
    assert job is not None
    await complete_as_built(farm, job, "pi", make_wheel(job, "py3-none-any"))
    outline = (await queue_outlines(farm))[CP39]
    assert outline.build_s == outline.expected_s > 0
    await farm.execute(
        "UPDATE projects SET expected_build_s = %(s)s"
        " WHERE project IN (SELECT project FROM jobs WHERE claimed_by IS NULL LIMIT %(half)s)",
        {"s": 9 * outline.build_s, "half": _QUEUED // 2},
    )
    again = (await queue_outlines(farm))[CP39]
    assert again.build_s == outline.build_s
    assert again.expected_s == pytest.approx(5 * outline.build_s, rel=0.1)


async def test_an_estimate_reads_a_bounded_number_of_jobs(farm: Database) -> None:
    """Whatever the length of the queue."""
    await farm.execute("VACUUM ANALYZE jobs")
    plans = await executed_plans(farm, lambda: status_queries.project_status(farm, "p1900"))
    assert 0 < rows_read(plans, "jobs") <= FIRST_JOBS + 10
    pages = await farm.value("SELECT pg_relation_size('jobs') / 8192")
    sampled = (await queue_outlines(farm))[CP39].sampled_pages
    assert sampled <= min(pages, 2 * SAMPLED_PAGES)
