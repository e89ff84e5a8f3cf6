"""Synchronization by changelog and by polling."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from piwheels.db import key_values
from piwheels.db.upstream_pages import last_upstream_page
from piwheels.index_client.client import SimpleIndex
from piwheels.upstream.last_check import record_page
from piwheels.upstream.sync import SERIAL, SyncOptions
from tests.fake_index import FakeIndex
from tests.upstream.conftest import QUICK_POLL, SyncHarness

#: A release of the future: newer than the moment at which a test follows the project.
LATER = "2099-01-01T00:00:00Z"
SDIST = "demo-2.0.tar.gz"
WHEEL = "demo-2.0-py3-none-any.whl"


def remove_file(upstream: FakeIndex, filename: str) -> None:
    files = upstream.projects["demo"]
    upstream.projects["demo"] = [file for file in files if file["filename"] != filename]


def yank(upstream: FakeIndex, yanked: bool | str) -> None:
    for file in upstream.projects["demo"]:
        file["yanked"] = yanked


class Changes:
    """Changes upstream, reported by the changelog or only visible on the page."""

    def __init__(self, upstream: FakeIndex, *, has_changelog: bool) -> None:
        self.upstream, self.has_changelog, self.serial = upstream, has_changelog, 100
        if has_changelog:
            self.upstream.add_event("demo", "create", 100)

    def do(self, action: str, change: Callable[[], Any]) -> None:
        change()
        self.serial += 1
        self.upstream.extras["demo"] = {
            "meta": {"api-version": "1.1", "_last-serial": str(self.serial)}
        }
        if self.has_changelog:
            self.upstream.add_event("Demo", action, self.serial, "2.0")


@pytest.fixture(params=[True, False], ids=["changelog", "polling"])
async def changes(
    request: pytest.FixtureRequest, farm: SyncHarness, upstream: FakeIndex
) -> Changes:
    """A followed project with release 1.0, with or without a changelog."""
    changes = Changes(upstream, has_changelog=request.param)
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    assert await farm.add("demo") == [""]
    if changes.has_changelog:
        await key_values.set_value(farm.db, SERIAL, "100")
    return changes


async def test_a_new_release_is_queued(farm: SyncHarness, changes: Changes) -> None:
    async with farm.running():
        changes.do(
            "add source file demo-2.0.tar.gz",
            lambda: changes.upstream.add("demo", SDIST, b"y", **{"upload-time": LATER}),
        )
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])


async def test_a_release_with_a_late_sdist_becomes_buildable(
    farm: SyncHarness, changes: Changes
) -> None:
    upstream = changes.upstream
    async with farm.running():
        changes.do(
            "new release", lambda: upstream.add("demo", WHEEL, b"w", **{"upload-time": LATER})
        )
        await farm.wait_until(lambda: farm.releases("demo"), {"1.0": None, "2.0": None})
        assert await farm.queue() == [("demo", "1.0")]
        changes.do("add source file", lambda: upstream.add("demo", SDIST, b"y"))
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])


async def test_a_yank_is_stored_with_its_reason_and_reverted(
    farm: SyncHarness, changes: Changes
) -> None:
    async with farm.running():
        changes.do("yank release", lambda: yank(changes.upstream, "broken <b>"))
        await farm.wait_until(lambda: farm.releases("demo"), {"1.0": "broken <b>"})
        changes.do("unyank release", lambda: yank(changes.upstream, False))
        await farm.wait_until(lambda: farm.releases("demo"), {"1.0": None})


async def test_a_removed_release_is_hidden_and_its_reported_removal_stored(
    farm: SyncHarness, changes: Changes
) -> None:
    upstream = changes.upstream
    async with farm.running():
        changes.do("add", lambda: upstream.add("demo", SDIST, b"y", **{"upload-time": LATER}))
        await farm.wait_until(lambda: farm.releases("demo"), {"1.0": None, "2.0": None})
        changes.do("remove release", lambda: remove_file(upstream, SDIST))
        await farm.wait_until(
            farm.hidden, {"2.0": "removed" if changes.has_changelog else "missing"}
        )
        assert await farm.queue() == [("demo", "1.0")]


async def test_the_status_of_a_project_is_updated(farm: SyncHarness, changes: Changes) -> None:
    async def status() -> object:
        return await farm.db.row("SELECT status, status_reason FROM projects")

    async with farm.running():
        changes.do("quarantine", lambda: None)
        changes.upstream.extras["demo"] |= {
            "project-status": {"status": "quarantined", "reason": "malware"}
        }
        await farm.wait_until(status, {"status": "quarantined", "status_reason": "malware"})
        assert await farm.queue() == []


@pytest.mark.parametrize("fault", [500, 503, 429])
async def test_a_fault_delays_and_nothing_is_missed(
    farm: SyncHarness, changes: Changes, fault: int
) -> None:
    upstream = changes.upstream
    async with farm.running() as follower:
        upstream.faults[""] = fault

        async def is_reported() -> bool:
            return str(fault) in follower.status_text

        await farm.wait_until(is_reported, True)
        changes.do("add", lambda: upstream.add("demo", SDIST, b"y", **{"upload-time": LATER}))
        upstream.faults.clear()
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])


async def test_retry_after_is_honored(farm: SyncHarness, upstream: FakeIndex) -> None:
    for project in ("demo", "other"):
        upstream.add(project, f"{project}-1.0.tar.gz", b"x")
    assert await farm.add("demo", "other") == ["", ""]
    await farm.db.execute("UPDATE projects SET check_result = 'current'")
    upstream.requests.clear()
    upstream.faults[""] = 429
    upstream.headers["Retry-After"] = "17"
    async with farm.running(QUICK_POLL) as follower:

        async def is_reported() -> bool:
            # Both are due; which is checked first is not defined.
            return sorted((await farm.findings()).values()) == ["current", "fault"]

        await farm.wait_until(is_reported, True)
        assert len(upstream.requests) == 1, "the next project would fare no better"
        assert 15 < follower._health.retry_at - time.monotonic() <= 17


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>sorry</html>",
        b"<?xml version='1.0'?><methodResponse><params>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><methodResponse/>",
        b"\x00\xff" * 100,
    ],
)
async def test_garbage_instead_of_the_changelog_delays_requests(
    farm: SyncHarness, garbage: bytes
) -> None:
    upstream = farm.upstream
    changes = Changes(upstream, has_changelog=True)
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    await farm.add("demo")
    await key_values.set_value(farm.db, SERIAL, "100")
    upstream.pages["/pypi"] = ("text/xml", garbage)
    async with farm.running() as follower:

        async def is_reported() -> bool:
            return bool(follower.status_text)

        await farm.wait_until(is_reported, True)
        del upstream.pages["/pypi"]
        changes.do("add", lambda: upstream.add("demo", SDIST, b"y", **{"upload-time": LATER}))
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])


async def test_a_garbage_page_delays_only_its_project(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add("other", "other-1.0.tar.gz", b"x")
    await farm.add("demo", "other")
    upstream.pages["demo"] = ("application/vnd.pypi.simple.v1+json", b'{"files": [}')
    async with farm.running():
        upstream.add("other", "other-2.0.tar.gz", b"y", **{"upload-time": LATER})
        upstream.extras["other"] = {"meta": {"api-version": "1.1", "_last-serial": 43}}
        wanted = [("demo", "1.0"), ("other", "1.0"), ("other", "2.0")]
        await farm.wait_until(farm.queue, wanted)
        assert await farm.releases("demo") == {"1.0": None}, "a bad page removes nothing"


async def test_unordered_repeated_and_malformed_events_are_accepted(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.changelog = []
    await farm.add("demo")
    await key_values.set_value(farm.db, SERIAL, "100")
    upstream.add("demo", SDIST, b"y", **{"upload-time": LATER})
    for serial in (105, 103, 104, 103, 101):
        upstream.add_event("demo", "new release", serial)
    upstream.changelog += [["", None, 0, "create", 106], ["demo", None, 0, None, 107], ["x" * 9999]]
    upstream.changelog = [event for event in upstream.changelog if len(event) == 5]
    async with farm.running():
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "105")
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])


async def test_the_serial_is_kept_across_restarts(farm: SyncHarness, upstream: FakeIndex) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add_event("demo", "create", 100)
    await farm.add("demo")
    async with farm.running():
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "100")
    upstream.add("demo", SDIST, b"y", **{"upload-time": LATER})
    upstream.add_event("demo", "new release", 101)
    async with farm.running():
        await farm.wait_until(farm.queue, [("demo", "1.0"), ("demo", "2.0")])
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "101")


async def test_other_projects_are_ignored_unless_all_are_followed(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add_event("demo", "create", 100)
    await key_values.set_value(farm.db, SERIAL, "99")
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    async with farm.running():
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "100")
        assert await farm.queue() == []
    upstream.add_event("demo", "new release", 101)
    every = SyncOptions(follow_all=True, changelog_interval_s=0.05, first_delay_s=0.05)
    async with farm.running(every):
        await farm.wait_until(farm.queue, [("demo", "1.0")])


async def test_older_releases_than_requested_are_not_built(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    for version in ("1.0", "1.1", "2.0"):
        upstream.add("demo", f"demo-{version}.tar.gz", version.encode())
    assert await farm.add("demo==1.1") == [""]
    async with farm.running():
        upstream.extras["demo"] = {"meta": {"api-version": "1.1", "_last-serial": "77"}}

        async def seen() -> object:
            return await farm.db.value("SELECT page_serial FROM projects")

        await farm.wait_until(seen, 77)
    assert await farm.queue() == [("demo", "1.1")]


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("nowhere", "has no project nowhere"),
        ("demo>5", "the newest is 1.0"),
        ("not a requirement!", "not a requirement"),
        ("bad", "the upstream index quarantined it (malware)"),
    ],
)
async def test_why_nothing_is_added(
    farm: SyncHarness, upstream: FakeIndex, requirement: str, message: str
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add("bad", "bad-1.0.tar.gz", b"x")
    status = {"status": "quarantined", "reason": "malware"}
    upstream.extras["bad"] = {"files": [], "project-status": status}
    problems = await farm.add(requirement, "demo")
    assert message in problems[0]
    assert "\n" not in problems[0]
    assert problems[1] == "", "the others are added all the same"
    assert await farm.queue() == [("demo", "1.0")]


async def test_a_page_without_releases_keeps_the_stored_newest_release(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    assert await farm.add("demo") == [""]
    async with SimpleIndex(upstream.simple) as index:
        page = await index.project("demo")
    assert page is not None
    await record_page(farm.db, structs.replace(page, files=(), problems=("odd",)), [])
    kept = await last_upstream_page(farm.db, "demo")
    assert kept is not None
    assert (kept.newest_version, kept.newest_has_sdist, kept.problems) == ("1.0", True, ("odd",))


async def test_malformed_entries_are_stored_and_logged_once(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"x")
    upstream.add("demo", "demo-1.1.tar.gz", b"y", url=None)
    upstream.add("demo", "demo-2.0.tar.gz", b"z", yanked="bad")
    assert await farm.add("demo", "demo") == ["", ""]
    page = await last_upstream_page(farm.db, "demo")
    assert page is not None
    assert (page.newest_version, page.newest_known, page.problem_count) == ("1.0", True, 1)
    events = await farm.db.rows("SELECT text FROM events WHERE subject = 'demo'")
    assert [event["text"] for event in events if "malformed" in event["text"]] == [
        "1 malformed entry on its index page: entry 2 (demo-1.1.tar.gz) has no url; ignored"
    ]
