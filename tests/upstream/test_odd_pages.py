"""A page that cannot be stored is the fault of one project: it ends nothing and holds up nothing."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from piwheels.db import catalog, listed_projects
from piwheels.db import upstream as db_upstream
from piwheels.db.database import Database
from piwheels.db.upstream_pages import last_upstream_page
from piwheels.model import PageCheckResult, UpstreamWheelPolicy
from piwheels.upstream.health import UpstreamHealth
from tests.fake_index import FakeIndex
from tests.upstream.conftest import QUICK, QUICK_POLL, SyncHarness

FOLLOW_ALL = replace(QUICK, follow_all=True)
#: Names that are split like those of wheels and are none.
LOOSE_NAMES = (
    "my__demo-1.0-py3-none-any.whl",
    "my_demo-1.0-abc-py3-none-any.whl",
    "my_demo-1.0_1-py3-none-any.whl",
    "my_demo-1.0-py3-none-.whl",
    f"my_demo-1.0-{'.'.join(['p3'] * 25)}-{'.'.join(['a1'] * 25)}-any.whl",
)


@pytest.fixture
async def poisoned(farm: SyncHarness) -> AsyncIterator[SyncHarness]:
    """Releases 6.6 hold a value that PostgreSQL does not accept."""
    await farm.db.execute(
        """
        CREATE FUNCTION refuse_value() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'untranslatable character' USING ERRCODE = '22P05';
        END $$
        """
    )
    await farm.db.execute(
        """
        CREATE TRIGGER refuse_value BEFORE INSERT ON releases
           FOR EACH ROW WHEN (NEW.version = '6.6') EXECUTE FUNCTION refuse_value()
        """
    )
    yield farm
    await farm.db.execute("DROP FUNCTION refuse_value CASCADE")


async def test_a_followed_page_that_cannot_be_stored_ends_nothing(
    poisoned: SyncHarness, upstream: FakeIndex
) -> None:
    farm = poisoned
    for project in ("bad", "good"):
        upstream.add(project, f"{project}-1.0.tar.gz", b"x")
    assert await farm.add("bad", "good") == ["", ""]
    later = {"upload-time": "2026-06-01T00:00:00Z"}
    upstream.add("bad", "bad-6.6.tar.gz", b"y", **later)
    async with farm.running(QUICK_POLL):
        await farm.wait_until(farm.findings, {"bad": "unusable", "good": "current"})
        upstream.add("good", "good-2.0.tar.gz", b"y", **later)
        queued = [("bad", "1.0"), ("good", "1.0"), ("good", "2.0")]
        await farm.wait_until(farm.queue, queued)
        upstream.projects["bad"].pop()
        await farm.wait_until(farm.findings, {"bad": "current", "good": "current"})


async def test_a_request_for_a_page_that_cannot_be_stored_says_so(
    poisoned: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("bad", "bad-6.6.tar.gz", b"x")
    upstream.add("good", "good-1.0.tar.gz", b"x")
    problem, good = await poisoned.add("bad", "good")
    assert "untranslatable character" in problem
    assert good == ""


async def test_the_other_pages_of_a_batch_are_stored(
    poisoned: SyncHarness, upstream: FakeIndex
) -> None:
    farm = poisoned
    for project in ("one", "two", "three"):
        upstream.add(project, f"{project}-1.0.tar.gz", project.encode())
        upstream.add_event(project, "create", 7)
    upstream.add("bad", "bad-6.6.tar.gz", b"x")
    async with farm.running(FOLLOW_ALL):
        await farm.wait_until(farm.queue, [("one", "1.0"), ("three", "1.0"), ("two", "1.0")])

        async def problem() -> bool:
            text = await listed_projects.listed_problem(farm.db, "bad")
            return "untranslatable character" in (text or "")

        await farm.wait_until(problem, True)


async def test_pages_of_the_list_are_read_in_vain_ever_more_seldom(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("good", "good-1.0.tar.gz", b"x")
    upstream.projects["bad"] = []
    upstream.pages["bad"] = "text/html", b"<html>Please log in</html>"
    upstream.add_event("good", "create", 7)

    async def wait_s() -> object:
        return await farm.db.value(
            """
            SELECT checks >= 4 AND next_check_at > now() + interval '3 minutes'
              FROM listed_projects WHERE project = 'bad'
            """
        )

    async def check_again() -> object:
        seldom = await wait_s()
        if not seldom:
            await farm.db.execute(
                "UPDATE listed_projects SET next_check_at = now() WHERE next_check_at > now()"
            )
        return seldom

    async with farm.running(FOLLOW_ALL):
        await farm.wait_until(farm.queue, [("good", "1.0")])
        await farm.db.execute("UPDATE listed_projects SET checks = 3")
        await farm.wait_until(check_again, True)


def test_a_page_that_stays_unusable_is_no_outage_while_others_are_usable() -> None:
    health = UpstreamHealth(5, 1.0, 60.0)
    health.record_unusable("bad", "it is a login page")
    for _ in range(5):
        health.record_success("good")
    for _ in range(5):
        health.record_unusable("bad", "it is a login page")
    assert (health.outage, health.concurrency) == ("", 5)
    for number in range(3):
        health.record_unusable(f"p{number}", "they are login pages")
    assert health.outage == "they are login pages"


@pytest.mark.parametrize("policy", [UpstreamWheelPolicy.MISSING, UpstreamWheelPolicy.MIRROR])
@pytest.mark.parametrize("follow_all", [False, True])
async def test_wheels_with_loose_names_count_for_nothing_and_are_reported(
    farm: SyncHarness, upstream: FakeIndex, policy: UpstreamWheelPolicy, follow_all: bool
) -> None:
    upstream.add("my-demo", "my_demo-1.0.tar.gz", b"x")
    for name in LOOSE_NAMES:
        upstream.add("my-demo", name, b"x")
    upstream.add_event("my-demo", "create", 7)
    if not follow_all:
        assert await farm.add("my-demo") == [""]
    async with farm.running(replace(QUICK, follow_all=follow_all, wheels=policy)):
        await farm.wait_until(farm.findings, {"my-demo": str(PageCheckResult.UP_TO_DATE)})
        await farm.wait_until(farm.queue, [("my-demo", "1.0")])
    page = await last_upstream_page(farm.db, "my-demo")
    assert page is not None
    assert page.problem_count == len(LOOSE_NAMES)
    assert "is not the name of a wheel" in page.problems[0]


@pytest.mark.parametrize("is_clock_ahead", [False, True])
@pytest.mark.parametrize("follow_all", [False, True])
async def test_no_release_is_of_the_future(
    farm: SyncHarness, upstream: FakeIndex, is_clock_ahead: bool, follow_all: bool
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x", **{"upload-time": "2199-01-01T00:00:00Z"})
    upstream.add_event("demo", "create", 7)
    if is_clock_ahead:
        del upstream.projects["demo"][0]["upload-time"]
        upstream.clock_ahead_s = 150 * 365 * 86400.0
    if follow_all:
        async with farm.running(FOLLOW_ALL):
            await farm.wait_until(farm.queue, [("demo", "1.0")])
    else:
        assert await farm.add("demo") == [""]
    assert await farm.db.value("SELECT released_at <= now() FROM releases")
    page = await last_upstream_page(farm.db, "demo")
    assert page is not None
    assert page.newest_at is None, "an upload time of the future is unknown"


async def test_a_reported_removal_survives_a_restart_of_the_serials(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    for project in ("demo", "other"):
        upstream.add(project, f"{project}-1.0.tar.gz", project.encode())
    assert await farm.add("demo", "other") == ["", ""]
    reported = [
        db_upstream.ReportedChange(
            project=project, serial=900, action=action, removed_versions=removed,
            project_removed=bool(removed),
        )
        for project, action, removed in (
            ("demo", "remove project", ("",)), ("other", "new release", ()),
        )
    ]  # fmt: skip
    await db_upstream.store_reported_changes(farm.db, reported, 900, follow_all=False)
    upstream.add_event("other", "create", 7)
    del upstream.projects["demo"]
    assert await db_upstream.recheck_all(farm.db, serial=7, address=upstream.simple) == 2
    rows = await farm.db.rows("SELECT project, serial FROM upstream_changes")
    assert rows == [{"project": "demo", "serial": 0}]
    async with farm.running():
        await farm.wait_until(farm.hidden, {"1.0": "removed"})


async def test_all_projects_are_checked_again_in_the_order_of_locks(
    farm: SyncHarness, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_upstream, "_STORED_AT_ONCE", 2)
    names = [f"p{number}" for number in range(5)]
    for name in names:
        upstream.add(name, f"{name}-1.0.tar.gz", name.encode())
    assert await farm.add(*names) == [""] * 5
    await farm.db.execute("UPDATE projects SET next_poll_at = now() + interval '1 day', etag = 'e'")
    locked: list[list[str]] = []
    lock_projects = catalog.lock_projects

    async def record_lock(db: Database, projects: Sequence[str]) -> set[str]:
        locked.append(list(projects))
        return await lock_projects(db, projects)

    monkeypatch.setattr(db_upstream, "lock_projects", record_lock)
    assert await db_upstream.recheck_all(farm.db, serial=None, address=upstream.simple) == 5
    assert locked == [names[:2], names[2:4], names[4:]]
    due = "SELECT count(*) FROM projects WHERE next_poll_at <= now() AND etag = ''"
    assert await farm.db.value(due) == 5
