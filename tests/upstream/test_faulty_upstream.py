"""Temporary faults of changelog, pages and clock: nothing is lost or missed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace as replace_fields

from piwheels.db import catalog, key_values
from piwheels.db import upstream as db_upstream
from piwheels.db.upstream import PendingChange, ProjectToCheck
from piwheels.index_client.page import ProjectPage
from piwheels.model import PageCheckResult, ProjectStatus
from piwheels.upstream import page_evidence
from piwheels.upstream.clock import UpstreamClock
from piwheels.upstream.health import UpstreamHealth
from piwheels.upstream.page_evidence import Assessment
from piwheels.upstream.sync import SERIAL, SyncOptions, UpstreamSync
from tests.fake_index import FakeIndex
from tests.upstream.conftest import QUICK_POLL, SyncHarness

LATER = {"upload-time": "2099-01-01T00:00:00Z"}
SILENT = SyncOptions(
    poll_interval_s=0.05, changelog_interval_s=0.05, first_delay_s=0.05, changelog_timeout_s=0.1
)


async def followed(farm: SyncHarness, upstream: FakeIndex, *projects: str) -> None:
    """Follow projects that have a release 1.0."""
    for project in projects:
        upstream.add(project, f"{project}-1.0.tar.gz", b"x")
    assert await farm.add(*projects) == [""] * len(projects)


async def until_said(farm: SyncHarness, follower: UpstreamSync, text: str) -> None:
    async def said() -> bool:
        return text in follower.status_text

    await farm.wait_until(said, True)


# --- the changelog -----------------------------------------------------------------------


def unavailable(index: FakeIndex) -> None:
    index.faults["/pypi"] = 503


def garbage(index: FakeIndex) -> None:
    index.pages["/pypi"] = ("text/xml", b"<?xml version='1.0'?><methodRes")


@pytest.mark.parametrize("fault", [unavailable, garbage])
@pytest.mark.parametrize("from_the_start", [True, False])
async def test_pages_are_polled_while_the_changelog_does_not_respond(
    farm: SyncHarness,
    upstream: FakeIndex,
    fault: Callable[[FakeIndex], None],
    from_the_start: bool,
) -> None:
    await followed(farm, upstream, "demo")
    upstream.add_event("demo", "create", 100)
    await key_values.set_value(farm.db, SERIAL, "100")
    if from_the_start:
        fault(upstream)
    async with farm.running(SILENT) as follower:
        if not from_the_start:
            await until_said(farm, follower, "following the changelog")
            fault(upstream)
        await until_said(farm, follower, "until its changelog responds")
        assert "retrying" in follower.status_text
        upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        upstream.faults.clear()
        upstream.pages.clear()
        await until_said(farm, follower, "following the changelog")
        assert "retrying" not in follower.status_text


async def test_reported_changes_are_checked_while_the_changelog_is_unavailable(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    await followed(farm, upstream, "demo")
    report = db_upstream.ReportedChange(
        project="demo", serial=42, action="new release", removed_versions=(), project_removed=False
    )
    await db_upstream.store_reported_changes(farm.db, [report], 42, follow_all=False)
    upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
    upstream.add_event("other", "create", 42)
    upstream.faults["/pypi"] = 503
    async with farm.running(replace(SILENT, method="changelog")) as follower:
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        assert "polling" not in follower.status_text


# --- pages -------------------------------------------------------------------------------


async def test_a_project_that_returns_unchanged_is_listed_again(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.etags = True
    await followed(farm, upstream, "demo", "other", "third")
    async with farm.running(QUICK_POLL):
        await farm.wait_until(
            farm.findings, {"demo": "current", "other": "current", "third": "current"}
        )
        upstream.faults["/simple/demo/"] = 404
        await farm.wait_until(farm.hidden, {"1.0": "missing"})
        upstream.faults.clear()
        await farm.wait_until(farm.hidden, {})


@pytest.mark.parametrize("alone", [True, False])
async def test_an_empty_page_is_accepted_if_it_persists_and_others_have_files(
    farm: SyncHarness, upstream: FakeIndex, alone: bool
) -> None:
    others = [] if alone else ["other", "third"]
    await followed(farm, upstream, "demo", *others)
    async with farm.running(QUICK_POLL) as follower:
        await farm.wait_until(farm.findings, dict.fromkeys(["demo", *others], "current"))
        upstream.extras["demo"] = {"files": []}
        if alone:
            await farm.wait_for_checks()
            assert await farm.hidden() == {}
            await until_said(farm, follower, "the page of demo lists no release")
        else:
            await farm.wait_until(farm.hidden, {"1.0": "missing"})
        upstream.extras.clear()
        await farm.wait_until(farm.findings, dict.fromkeys(["demo", *others], "current"))
        await farm.wait_until(farm.hidden, {})


async def test_absence_is_not_accepted_while_a_new_release_is_reported(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    await followed(farm, upstream, "demo", "other", "third")
    upstream.add_event("demo", "create", 100)
    await key_values.set_value(farm.db, SERIAL, "100")
    upstream.faults["/simple/demo/"] = 404
    upstream.add_event("demo", "new release", 101)
    async with farm.running():
        await farm.wait_for_checks(looks=6)
        assert await farm.hidden() == {}


async def test_an_outage_is_one_event_for_many_checks(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    projects = ["demo", "other", "third", "fourth", "fifth", "sixth"]
    await followed(farm, upstream, *projects)
    async with farm.running(QUICK_POLL):
        await farm.wait_until(farm.findings, dict.fromkeys(projects, "current"))
        upstream.slow_s = 0.2
        await farm.wait_for_checks(looks=2)
        upstream.faults[""] = 404
        await farm.wait_until(farm.findings, dict.fromkeys(projects, "absent"))
        await farm.wait_for_checks(looks=1)
    assert (await farm.events()).count("no usable responses") == 1


DUE = ProjectToCheck(
    project="demo",
    exists=True,
    etag="tag",
    last_modified="then",
    last_result=PageCheckResult.UP_TO_DATE,
)


def look(result: PageCheckResult, *, soon: bool = False) -> db_upstream.CheckResult:
    return page_evidence.check_result(
        DUE,
        Assessment(result=result),
        page=None,
        done_serial=None,
        interval_s=86400.0,
        first_wait_s=5.0,
        spread=1.0,
        recheck_soon=soon,
    )


def test_a_page_that_lacks_a_release_is_checked_again_soon() -> None:
    assert look(PageCheckResult.UP_TO_DATE).next_check_in == timedelta(days=1)
    assert look(PageCheckResult.UP_TO_DATE, soon=True).next_check_in == timedelta(seconds=60)


def test_an_older_page_without_files_is_an_empty_page_and_one_in_quarantine_an_older_one() -> None:
    seen = ProjectToCheck(project="demo", exists=True, page_serial=50)
    page = ProjectPage(project="demo", display_name="demo", files=(), serial=9)
    assert page_evidence.assess(seen, page, 0).result is PageCheckResult.EMPTY
    newer = replace_fields(page, serial=51)
    assert page_evidence.assess(seen, newer, 0).result is PageCheckResult.UP_TO_DATE
    quarantined = replace_fields(page, status=ProjectStatus.QUARANTINED)
    assert page_evidence.assess(seen, quarantined, 0).result is PageCheckResult.OUTDATED


def test_a_persistent_older_page_is_accepted_unless_it_lacks_a_change() -> None:
    change = PendingChange(
        project="demo",
        serial=6,
        action="new release",
        removed_versions=(),
        project_removed=False,
        first_seen_at=datetime.now(UTC),
        checks=page_evidence.CHECKS_TO_ACCEPT_OLDER,
        checks_without_serial=0,
        problem="",
    )
    seen = ProjectToCheck(
        project="demo",
        exists=True,
        page_serial=42,
        last_result=PageCheckResult.OUTDATED,
        result_count=page_evidence.CHECKS_TO_ACCEPT_OLDER,
        change=change,
    )
    page = ProjectPage(project="demo", display_name="demo", files=(), serial=6)
    assert page_evidence.assess(seen, page, 1).result is PageCheckResult.UP_TO_DATE
    assert (
        page_evidence.assess(seen, replace_fields(page, serial=5), 1).result
        is PageCheckResult.OUTDATED
    )


def test_the_page_of_a_missing_project_is_requested_unconditionally() -> None:
    assert (
        look(PageCheckResult.UNAVAILABLE).etag,
        look(PageCheckResult.UNAVAILABLE).last_modified,
    ) == (
        "tag",
        "then",
    )
    assert (
        look(PageCheckResult.NOT_FOUND).etag,
        look(PageCheckResult.NOT_FOUND).last_modified,
    ) == (
        "",
        "",
    )


def test_missing_projects_among_others_are_not_an_outage() -> None:
    health = UpstreamHealth(max_concurrency=20, first_delay_s=1.0, max_delay_s=60.0)
    for number in range(4):
        health.record_success(f"p{number}")
    for number in range(4, 8):
        health.record_absent(f"p{number}", "no such project")
    assert not health.outage
    for number in range(8, 12):
        health.record_absent(f"p{number}", "no such project")
    assert health.outage


# --- clocks ------------------------------------------------------------------------------


async def test_a_clock_of_the_upstream_that_is_ahead_deletes_nothing(
    farm: SyncHarness, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await followed(farm, upstream, "demo")
    await farm.build()
    await followed(farm, upstream, "other")
    await catalog.update_listed_releases(farm.db, "demo", [])
    await db_upstream.confirm_removal(farm.db, "demo", None, datetime.now(UTC))
    upstream.projects["demo"] = []
    upstream.extras["demo"] = {"project-status": {"status": "quarantined"}}
    upstream.clock_ahead_s = 60 * 86400
    monkeypatch.setattr("piwheels.upstream.sync._HOUSEKEEPING_INTERVAL_S", 0.02)
    async with farm.running(QUICK_POLL) as follower:
        await until_said(farm, follower, "s behind the upstream's")
        await farm.wait_for_checks()
        assert await farm.wheels() == {"1.0"}


def test_the_time_of_a_cached_response_is_between_date_and_age() -> None:
    clock, now = UpstreamClock(), datetime.now(UTC)
    clock.update(now, age_s=7200.0)  # a cache that sends its own Date
    assert abs(clock.ahead_s()) < 60
    clock.update(now - timedelta(hours=2), age_s=7200.0)  # one that sends the origin's
    assert abs(clock.ahead_s()) < 60
    clock.update(now + timedelta(hours=3), age_s=7200.0)
    assert -10900 < clock.ahead_s() < -10700
