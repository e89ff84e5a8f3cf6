"""Pages as evidence: nothing built is lost, and no reported change is missed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from piwheels.db import catalog, key_values, status_queries
from piwheels.db import upstream as db_upstream
from piwheels.release_status import StatusContext, explain_with_upstream
from piwheels.upstream.sync import SERIAL, SyncOptions
from tests.fake_index import FakeIndex
from tests.timeouts import WAIT_S, Stopwatch
from tests.upstream.conftest import QUICK_POLL, SyncHarness

LATER = {"upload-time": "2099-01-01T00:00:00Z"}
NO_TIME = {"upload-time": None}


@dataclass
class EventSource:
    """An upstream with demo 1.0, whose changes are reported by a changelog or not."""

    index: FakeIndex
    farm: SyncHarness
    changelog: bool
    serial: int = 100

    def report(self, action: str, version: str | None = None) -> None:
        """Report a change of demo, if there is a changelog."""
        self.serial += 1
        if self.changelog:
            self.index.add_event("demo", action, self.serial, version)


@pytest.fixture(params=["changelog", "polling"])
async def built(
    request: pytest.FixtureRequest, farm: SyncHarness, upstream: FakeIndex
) -> EventSource:
    """A farm that follows demo, and has built its release 1.0."""
    source = EventSource(upstream, farm, request.param == "changelog")
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    if source.changelog:
        upstream.add_event("demo", "create", 100)
        await key_values.set_value(farm.db, SERIAL, "100")
    assert await farm.add("demo") == [""]
    await farm.build()
    return source


def quarantine(index: FakeIndex) -> None:
    index.extras["demo"] = {"files": [], "project-status": {"status": "quarantined"}}


def no_files(index: FakeIndex) -> None:
    index.extras["demo"] = {"files": []}


def maintenance(index: FakeIndex) -> None:
    index.pages["demo"] = ("text/html", b"<!DOCTYPE html><h1>We are upgrading</h1>")


def portal(index: FakeIndex) -> None:
    index.pages["demo"] = ("text/html", b'<html><a href="/login">Log in</a> to go on</html>')


def status(code: int) -> Callable[[FakeIndex], None]:
    def answer(index: FakeIndex) -> None:
        index.faults["/simple/demo/"] = code

    answer.__name__ = f"status_{code}"
    return answer


FAULTS = [quarantine, no_files, maintenance, portal, *map(status, (403, 404, 410, 429, 503))]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_nothing_is_lost_while_the_upstream_lists_no_files(
    built: EventSource, fault: Callable[[FakeIndex], None]
) -> None:
    farm, index = built.farm, built.index
    async with farm.running():
        await farm.wait_for_checks(looks=1)
        fault(index)
        built.report("new release", "9.9")
        # An empty page that is not newer than the last one proves nothing.
        hides = fault is quarantine or (fault is no_files and built.changelog)
        if hides:  # the first look may already see it, and is then the last
            await farm.wait_until(farm.listed, set())
        else:
            await farm.wait_for_checks(looks=4)
            assert await farm.listed() == {"1.0"}
        assert await farm.wheels() == {"1.0"}
        assert await farm.queue() == []
        index.extras.clear()
        index.pages.clear()
        index.faults.clear()
        index.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
        built.report("new release", "2.0")
        await farm.wait_until(farm.queue, [("demo", "2.0")])
        await farm.wait_until(farm.listed, {"1.0"})


async def test_a_briefly_missing_release_is_shown_again_and_not_rebuilt(
    built: EventSource,
) -> None:
    farm, index = built.farm, built.index
    index.add("demo", "demo-0.5.tar.gz", b"old", **{"upload-time": "2025-01-01T00:00:00Z"})
    async with farm.running():
        files = index.projects["demo"]
        index.projects["demo"] = files[1:]
        built.report("add file", "0.5")
        await farm.wait_until(farm.hidden, {"1.0": "missing"})
        index.projects["demo"] = files
        built.report("add file", "0.5")
        await farm.wait_until(farm.hidden, {})
        assert await farm.listed() == {"1.0"}
        assert await farm.queue() == []
    assert "listed again: 1.0" in await farm.events()


def _page_of(index: FakeIndex, serial: int) -> dict[str, object]:
    return {
        "files": list(index.projects["demo"]),
        "meta": {"api-version": "1.1", "_last-serial": serial},
    }


@pytest.mark.parametrize("in_header", [False, True])
async def test_a_change_waits_until_a_page_shows_it_also_across_a_restart(
    farm: SyncHarness, upstream: FakeIndex, in_header: bool
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add_event("demo", "create", 100)
    await key_values.set_value(farm.db, SERIAL, "100")
    await farm.add("demo")
    stale = _page_of(upstream, 100)
    if in_header:
        stale["meta"] = {"api-version": "1.1"}
        upstream.headers["X-PyPI-Last-Serial"] = "100"
    upstream.extras["demo"] = stale
    upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
    upstream.add_event("demo", "new release", 101)
    async with farm.running() as follower:
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "101")
        await farm.wait_for_checks()
        assert "1 reported changes are not visible yet (demo: 'new release'" in follower.status_text
    assert await farm.queue() == [("demo", "1.0")]
    facts = await status_queries.project_status(farm.db, "demo")
    now_served = StatusContext(served_targets=frozenset())
    message = explain_with_upstream(
        "demo", facts, now_served, asked_version=None, asked_target=None
    )
    assert any("'new release' (serial 101)" in item.text for item in message)
    async with farm.running():
        await farm.wait_for_checks(looks=1)
        upstream.extras.clear()
        upstream.headers.clear()
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        await farm.wait_until(lambda: _pending(farm), 0)
    assert "'new release' (serial 101) was reported and is not visible" in await farm.events()


async def _pending(farm: SyncHarness) -> int:
    return int(await farm.db.value("SELECT count(*) FROM upstream_changes"))


@pytest.mark.slow
async def test_a_page_without_a_serial_is_checked_a_bounded_number_of_times(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.json = False
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    await key_values.set_value(farm.db, SERIAL, "100")
    await farm.add("demo")
    upstream.add_event("demo", "new release", 101)
    async with farm.running():
        await farm.wait_for_checks(looks=3)
        upstream.add("demo", "demo-2.0.tar.gz", b"y")
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        await farm.wait_until(lambda: _pending(farm), 0)


async def test_an_older_page_changes_nothing_until_it_persists(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.extras["demo"] = {"meta": {"api-version": "1.1", "_last-serial": 50}}
    await farm.add("demo")
    await farm.build()
    slowly = SyncOptions(method="poll", poll_interval_s=0.2, first_delay_s=0.05)
    async with farm.running(slowly):

        async def serial() -> object:
            return await farm.db.value("SELECT page_serial FROM projects")

        await farm.wait_until(serial, 50)
        upstream.projects["demo"] = []
        upstream.add("demo", "demo-0.9.tar.gz", b"old")
        upstream.extras["demo"] = {"meta": {"api-version": "1.1", "_last-serial": 9}}
        await farm.wait_until(farm.findings, {"demo": "older"})
        assert await farm.hidden() == {}
        # An index that was restored from a copy keeps lower serials.
        await farm.wait_until(farm.hidden, {"1.0": "missing"})


async def test_a_recreated_project_is_built_again(farm: SyncHarness, upstream: FakeIndex) -> None:
    for version in ("0.9", "1.0"):
        upstream.add("demo", f"demo-{version}.tar.gz", version.encode(), **NO_TIME)
    upstream.add_event("demo", "create", 100)
    await key_values.set_value(farm.db, SERIAL, "100")
    await farm.add("demo")
    await farm.build()
    async with farm.running():
        del upstream.projects["demo"]
        upstream.add_event("demo", "remove project", 101, None)
        await farm.wait_until(farm.hidden, {"1.0": "removed"})
        assert await farm.wheels() == {"1.0"}, "kept for a while"
        for version in ("0.9", "1.0", "2.0"):
            upstream.add("demo", f"demo-{version}.tar.gz", version.encode(), **NO_TIME)
        upstream.add_event("demo", "create", 102)
        await farm.wait_until(farm.queue, [("demo", "0.9"), ("demo", "2.0")])
        await farm.wait_until(farm.listed, {"1.0"})
        assert await farm.hidden() == {}


async def test_a_reported_removal_is_not_believed_while_all_projects_are_missing(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    await key_values.set_value(farm.db, SERIAL, "100")
    others = ("other", "third")
    for project in ("demo", *others):
        upstream.add(project, f"{project}-1.0.tar.gz", b"x")
    assert await farm.add("demo", *others) == [""] * 3
    upstream.add_event("demo", "create", 100)
    for project in others:
        upstream.faults[f"/simple/{project}/"] = 404
    async with farm.running():
        found = dict.fromkeys(others, "absent") | {"demo": "current"}
        await farm.wait_until(farm.findings, found)
        upstream.faults["/simple/demo/"] = 404
        upstream.add_event("demo", "remove project", 101, None)
        await farm.wait_for_checks(looks=4)
        assert await farm.hidden() == {}
        for project in others:
            del upstream.faults[f"/simple/{project}/"]
        await farm.db.execute("UPDATE projects SET next_poll_at = now()")
        await farm.wait_until(farm.hidden, {"1.0": "removed"})


async def test_a_removal_that_was_followed_by_a_creation_waits_for_the_new_page(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    await key_values.set_value(farm.db, SERIAL, "100")
    await farm.add("demo")
    await farm.build()
    upstream.add_event("demo", "remove project", 101, None)
    upstream.add_event("demo", "create", 102)
    upstream.faults["/simple/demo/"] = 404
    async with farm.running():
        await farm.wait_for_checks()
        assert await farm.hidden() == {}
        upstream.projects["demo"] = []
        upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
        upstream.faults.clear()
        await farm.wait_until(farm.hidden, {"1.0": "removed"})
        await farm.wait_until(farm.queue, [("demo", "2.0")])


async def test_what_was_removed_is_deleted_after_the_retention_by_the_upstreams_clock(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    await farm.add("demo")
    await farm.build()
    await catalog.update_listed_releases(farm.db, "demo", [])
    now = datetime.now(UTC)
    assert await db_upstream.confirm_removal(farm.db, "demo", None, now) == ["1.0"]
    assert await db_upstream.delete_removed(farm.db, now - timedelta(days=1), 10) == []
    assert await farm.wheels() == {"1.0"}
    gone = await db_upstream.delete_removed(farm.db, now + timedelta(days=1), 10)
    assert gone == [("demo", "1.0")]
    assert await farm.db.value("SELECT count(*) FROM file_deletions") == 1
    assert await catalog.existing_projects(farm.db, ["demo"]) == {"demo"}, "it stays followed"


async def test_a_missing_project_is_accepted_only_while_others_are_present(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    for project in ("demo", "other"):
        upstream.add(project, f"{project}-1.0.tar.gz", b"x")
    assert await farm.add("demo", "other") == ["", ""]
    async with farm.running(QUICK_POLL):
        await farm.wait_until(farm.findings, {"demo": "current", "other": "current"})
        upstream.faults[""] = 404
        await farm.wait_until(farm.findings, {"demo": "absent", "other": "absent"})
        await farm.wait_for_checks()
        await farm.wait_for_checks("other")
        assert await farm.hidden() == {}, "it is the upstream that is in trouble"
        assert "no usable responses" in await farm.events()
        upstream.faults = {"/simple/demo/": 404}
        await farm.wait_until(farm.hidden, {"1.0": "missing"})
        upstream.faults.clear()
        await farm.wait_until(farm.hidden, {})
    assert await farm.queue() == [("demo", "1.0"), ("other", "1.0")]


# --- what is new -------------------------------------------------------------------------


@pytest.mark.parametrize("json", [True, False])
async def test_releases_without_upload_time_are_new_only_if_unknown(
    farm: SyncHarness, upstream: FakeIndex, json: bool
) -> None:
    upstream.json = json
    for version in ("1.0", "1.1", "2.0"):
        upstream.add("demo", f"demo-{version}.tar.gz", version.encode(), **NO_TIME)
    assert await farm.add("demo") == [""]
    async with farm.running():
        await farm.wait_for_checks()
        assert await farm.queue() == [("demo", "2.0")]
        upstream.add("demo", "demo-3.0.tar.gz", b"3", **NO_TIME)
        await farm.wait_until(farm.queue, [("demo", "2.0"), ("demo", "3.0")])


async def test_one_missing_upload_time_builds_no_old_release(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"1", **NO_TIME)
    upstream.add("demo", "demo-2.0.tar.gz", b"2")
    assert await farm.add("demo") == [""]
    async with farm.running():
        await farm.wait_for_checks()
        assert await farm.queue() == [("demo", "2.0")]


async def test_existing_releases_are_recorded_at_the_first_check_after_an_upgrade(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    for version in ("1.0", "2.0"):
        upstream.add("demo", f"demo-{version}.tar.gz", version.encode(), **NO_TIME)
    assert await farm.add("demo") == [""]
    await farm.db.execute("UPDATE projects SET existing_versions = NULL")
    async with farm.running():
        await farm.wait_for_checks()
        upstream.add("demo", "demo-3.0.tar.gz", b"3", **NO_TIME)
        await farm.wait_until(farm.queue, [("demo", "2.0"), ("demo", "3.0")])


async def test_a_release_removed_by_an_operator_does_not_return(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"1")
    await farm.add("demo")
    async with farm.running():
        upstream.add("demo", "demo-2.0.tar.gz", b"2", **LATER)
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        assert await catalog.remove_release(farm.db, "demo", "2.0")
        await farm.wait_for_checks()
        assert await farm.queue() == [("demo", "1.0")]


# --- serials and addresses ---------------------------------------------------------------


async def test_a_decreased_serial_starts_a_comparison(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add_event("demo", "create", 1000)
    await key_values.set_value(farm.db, SERIAL, "1000")
    await farm.add("demo")
    async with farm.running() as follower:
        await farm.wait_until(farm.findings, {"demo": "current"})
        upstream.changelog = []
        upstream.add_event("demo", "create", 7)
        upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        assert await key_values.get_value(farm.db, SERIAL) == "7"
        assert "decreased from 1000 to 7" in follower.status_text
        upstream.add("demo", "demo-3.0.tar.gz", b"z", **LATER)
        upstream.add_event("demo", "new release", 8)
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0"), ("demo", "3.0")])
    assert "decreased from 1000 to 7" in await farm.events()


async def test_a_changelog_that_is_too_long_starts_a_comparison(
    farm: SyncHarness, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage of weeks: it would be too long each time it is asked for."""
    monkeypatch.setattr("piwheels.index_client.client.PAGE_LIMIT_BYTES", 10_000)
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    await farm.add("demo")
    await key_values.set_value(farm.db, SERIAL, "1")
    await farm.db.execute("UPDATE projects SET next_poll_at = now() + '1 day'")
    upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
    for serial in range(2, 100):
        upstream.add_event("demo", "new release", serial)
    async with farm.running():
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        assert await key_values.get_value(farm.db, SERIAL) == "99"
        upstream.add("demo", "demo-3.0.tar.gz", b"z", **LATER)
        upstream.add_event("demo", "new release", 100)
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0"), ("demo", "3.0")])
    assert "the changelog since 1 is too long" in await farm.events()


async def test_another_upstream_starts_a_comparison(farm: SyncHarness, upstream: FakeIndex) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add_event("demo", "create", 5)
    await farm.add("demo")
    await farm.db.execute("UPDATE projects SET page_serial = 9000, next_poll_at = now() + '1 day'")
    await key_values.set_value(farm.db, SERIAL, "9000")
    await key_values.set_value(farm.db, "upstream/address", "http://elsewhere/simple/")
    upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
    async with farm.running() as follower:
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        assert "changed from http://elsewhere/simple/" in follower.status_text
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "5")
    assert "changed from http://elsewhere/simple/" in await farm.events()


@pytest.mark.slow
async def test_an_unavailable_changelog_is_resumed_at_its_serial(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add_event("demo", "create", 5)
    await farm.add("demo")
    async with farm.running() as follower:
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "5")
        changelog, upstream.changelog = upstream.changelog, None

        async def said(part: str) -> bool:
            return part in follower.status_text

        await farm.wait_until(lambda: said("responded with status 405; retrying"), True)
        upstream.changelog = changelog
        upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
        upstream.add_event("demo", "new release", 6)
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        await farm.wait_until(lambda: said("following the changelog"), True)
        upstream.changelog = None
        await farm.wait_until(lambda: said("polling "), True)
        upstream.add("demo", "demo-3.0.tar.gz", b"z", **LATER)
        await farm.wait_until(farm.queue, [("demo", f"{number}.0") for number in (1, 2, 3)])


# --- clocks ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("message", [True, False])
async def test_a_clock_that_was_ahead_delays_no_project(
    farm: SyncHarness, upstream: FakeIndex, message: bool
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    await key_values.set_value(farm.db, SERIAL, "1")
    await farm.add("demo")
    upstream.add("demo", "demo-2.0.tar.gz", b"y", **LATER)
    await farm.db.execute("UPDATE projects SET next_poll_at = now() + '1 year'")
    if message:
        upstream.add_event("demo", "new release", 2)
        await farm.db.execute(
            "INSERT INTO upstream_changes (project, serial, action, removed_versions, "
            "project_removed, next_check_at) "
            "VALUES ('demo', 1, 'x', '{}', false, now() + '1 year')"
        )
    async with farm.running():
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])


@pytest.mark.parametrize("years", [-3, 3])
async def test_a_project_added_with_a_wrong_clock_builds_new_releases(
    farm: SyncHarness, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    for version in ("1.0", "2.0"):
        upstream.add("demo", f"demo-{version}.tar.gz", version.encode())
    wrong = datetime.now(UTC) + timedelta(days=365 * years)
    monkeypatch.setattr("piwheels.upstream.clock.UpstreamClock.now", lambda clock: wrong)
    await farm.add("demo")
    monkeypatch.undo()
    async with farm.running():
        await farm.wait_for_checks(looks=2)
        assert await farm.queue() == [("demo", "2.0")]
        upstream.add("demo", "demo-3.0.tar.gz", b"3", **{"upload-time": "2026-02-01T00:00:00Z"})
        await farm.wait_until(farm.queue, [("demo", "2.0"), ("demo", "3.0")])


async def test_the_upstreams_clock_is_used_and_a_difference_reported(
    farm: SyncHarness, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.clock_ahead_s = 7200
    await farm.add("demo")
    monkeypatch.setattr("piwheels.upstream.sync._HOUSEKEEPING_INTERVAL_S", 0.05)
    async with farm.running() as follower:

        async def told() -> bool:
            return "s behind the upstream's" in await farm.events()

        await farm.wait_until(told, True)
        assert "s behind the upstream's" in follower.status_text


# --- many projects -----------------------------------------------------------------------


async def follow_many(farm: SyncHarness, count: int) -> None:
    """Followed projects p0, p1, ..., each with a page, without the time that adding takes."""
    for number in range(count):
        farm.upstream.add(f"p{number}", f"p{number}-1.0.tar.gz", b"x")
    await farm.db.execute(
        "INSERT INTO projects (project, display_name, follow_since, existing_versions) "
        "SELECT 'p' || n, 'p' || n, now(), '{1.0}' FROM generate_series(0, %(last)s) AS n",
        {"last": count - 1},
    )


async def rounds(farm: SyncHarness, count: int, status: int, timeout_s: float = WAIT_S) -> None:
    """Wait for this number of responses with a status."""

    async def answered() -> bool:
        return farm.upstream.answered[status] >= count

    await farm.wait_until(answered, True, timeout_s)


@pytest.mark.parametrize("validator", ["etag", "modified"])
async def test_pages_are_requested_concurrently_and_conditionally(
    farm: SyncHarness, upstream: FakeIndex, validator: str
) -> None:
    upstream.etags = validator == "etag"
    upstream.modified = "" if upstream.etags else "Sun, 01 Feb 2026 00:00:00 GMT"
    upstream.slow_s = 0.1
    await follow_many(farm, 100)
    options = SyncOptions(
        method="poll", poll_interval_s=0.05, first_delay_s=0.05, max_concurrency=12
    )
    async with farm.running(options):
        await rounds(farm, 100, 304)
    assert upstream.answered[200] == 100, "no page was read twice"
    assert 6 <= upstream.most_at_once <= 12


async def test_the_longest_due_project_is_checked_first(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    await follow_many(farm, 50)
    await farm.db.execute(
        "UPDATE projects SET next_poll_at = now() - interval '1 hour' "
        "WHERE project IN ('p7', 'p31')"
    )
    options = SyncOptions(method="poll", poll_interval_s=3600, first_delay_s=0.05)
    async with farm.running(options):
        await rounds(farm, 50, 200)
    requested = [path.split("/")[2] for path, _ in upstream.requests]
    assert set(requested[:2]) == {"p7", "p31"}
    assert len(requested) == len(set(requested)) == 50


@pytest.mark.slow
async def test_an_overloaded_upstream_gets_one_request_at_a_time(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    await follow_many(farm, 40)
    upstream.faults[""] = 503
    upstream.slow_s = 0.02
    options = SyncOptions(method="poll", poll_interval_s=0.05, first_delay_s=0.02)
    async with farm.running(options):
        await rounds(farm, 8, 503)
        assert upstream.most_at_once == 1
        upstream.faults.clear()
        await rounds(farm, 40, 200)


@pytest.mark.slow
async def test_a_thousand_projects_are_polled_with_twenty_concurrent_requests(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.etags = True
    await follow_many(farm, 1000)
    options = SyncOptions(method="poll", poll_interval_s=900, first_delay_s=0.05)
    watch = Stopwatch()
    async with farm.running(options):
        await rounds(farm, 1000, 200)
        first_s = watch.seconds
        await farm.db.execute("UPDATE projects SET next_poll_at = now()")
        # The last looks of the first round may be noted after all was made due again.
        await rounds(farm, 1000 - options.max_concurrency, 304)
    again_s = watch.seconds - first_s
    print(f"1,000 pages read in {first_s:.0f} s, found unchanged in {again_s:.0f} s")
    assert 1 < upstream.most_at_once <= options.max_concurrency
