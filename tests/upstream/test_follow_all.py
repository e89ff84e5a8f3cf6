"""Every project of the upstream is followed: its list, the pages of its projects, then events."""

from dataclasses import replace
from pathlib import Path

import pytest

from piwheels.db import key_values, listed_projects
from piwheels.errors import RejectedError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.listing import ListedProject, read_listing
from piwheels.release_status import StatusContext, explain_with_upstream
from piwheels.upstream import listing_fill
from piwheels.upstream.listing import serial_after_listing
from piwheels.upstream.sync import SERIAL
from tests.fake_index import FakeIndex
from tests.upstream.conftest import QUICK, QUICK_POLL, SyncHarness

FOLLOW_ALL = replace(QUICK, follow_all=True)
#: PyPI's list, a mirror's without serials, and one in HTML.
LISTS = {"serials": (True, 500), "json": (True, None), "html": (False, None)}


@pytest.fixture(
    params=["serials", *(pytest.param(it, marks=pytest.mark.slow) for it in ("json", "html"))]
)
def listing(request: pytest.FixtureRequest, upstream: FakeIndex) -> FakeIndex:
    """An index of three projects with a changelog; each has one release, but for the empty one."""
    upstream.json, upstream.listing_serial = LISTS[request.param]
    for number, project in enumerate(("one", "two", "three"), start=1):
        upstream.add(project, f"{project}-1.0.tar.gz", project.encode())
        upstream.add_event(project, "create", number)
    if upstream.json:  # HTML without links that does not say what it is proves nothing
        upstream.projects["empty"] = []
    return upstream


async def wait_until_filled(farm: SyncHarness) -> None:
    """Wait until the list was read, with all its pages."""

    async def unread() -> object:
        count = await listed_projects.count_unread(farm.db)
        return count, await key_values.get_value(farm.db, "upstream/listing/read-at") is not None

    await farm.wait_until(unread, (0, True))


async def projects(farm: SyncHarness) -> list[str]:
    return [row["project"] for row in await farm.db.rows("SELECT project FROM projects ORDER BY 1")]


async def test_every_project_of_the_list_is_followed(farm: SyncHarness, listing: FakeIndex) -> None:
    async with farm.running(FOLLOW_ALL):
        await wait_until_filled(farm)
        assert await projects(farm) == sorted(listing.projects)
        assert await farm.queue() == [("one", "1.0"), ("three", "1.0"), ("two", "1.0")]
        listing.add("one", "one-2.0.tar.gz", b"new")
        listing.add_event("one", "new release", 600)
        await farm.wait_until(
            farm.queue, [("one", "1.0"), ("one", "2.0"), ("three", "1.0"), ("two", "1.0")]
        )


async def test_the_list_is_followed_without_a_changelog(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.add("one", "one-1.0.tar.gz", b"x")
    async with farm.running(replace(QUICK_POLL, follow_all=True)) as sync:
        await farm.wait_until(farm.queue, [("one", "1.0")])
        assert "polling" in sync.status_text


async def test_only_added_projects_are_followed_by_default(
    farm: SyncHarness, listing: FakeIndex
) -> None:
    assert await farm.add("one") == [""]
    async with farm.running(QUICK_POLL):
        await farm.wait_for_checks("one")
    assert await projects(farm) == ["one"]
    assert "/simple/" not in {path for path, _ in listing.requests}


async def test_events_during_the_fill_are_applied(farm: SyncHarness, listing: FakeIndex) -> None:
    """The pages are held back until a release and a project were reported."""
    listing.slow_s = 0.3
    async with farm.running(FOLLOW_ALL):
        await farm.wait_until(lambda: key_values.get_value(farm.db, SERIAL), "3")
        listing.add("two", "two-2.0.tar.gz", b"new")
        listing.add_event("two", "new release", 600)
        listing.add("four", "four-1.0.tar.gz", b"new")
        listing.add_event("four", "create", 601)
        await farm.wait_until(
            farm.queue,
            [("four", "1.0"), ("one", "1.0"), ("three", "1.0"), ("two", "1.0"), ("two", "2.0")],
        )


async def test_the_changelog_is_read_from_the_serial_of_an_older_list(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    """A cache has a list from before a project was created."""
    upstream.add("one", "one-1.0.tar.gz", b"x")
    upstream.add_event("one", "create", 10)
    upstream.listing_serial = 10
    upstream.pages[""] = upstream._listing("application/vnd.pypi.simple.v1+json")
    upstream.add("two", "two-1.0.tar.gz", b"x")
    upstream.add_event("two", "create", 20)
    async with farm.running(FOLLOW_ALL):
        await farm.wait_until(farm.queue, [("one", "1.0"), ("two", "1.0")])


@pytest.mark.parametrize(
    ("kept", "listed", "expected"),
    [
        (None, 10, 10),
        (10, 10, None),
        (10, 20, None),
        (20, 10, 10),
        (30_000_000, 1, None),
    ],
)
def test_serial_after_listing(kept: int | None, listed: int, expected: int | None) -> None:
    assert serial_after_listing(kept, listed) == expected


async def test_popular_projects_come_first_then_those_that_changed_last(farm: SyncHarness) -> None:
    await farm.db.execute(
        "INSERT INTO downloads_by_project VALUES ('used', 5, 0), ('popular', 900, 0)"
    )
    names = ["old", "new", "popular", "newest", "used"]
    assert await listed_projects.store_listed(farm.db, names, [1, 70, None, 90, 2]) == 5
    order = ["popular", "used", "newest", "new", "old"]
    assert await listed_projects.projects_to_read(farm.db, 9, []) == order
    assert await listed_projects.projects_to_read(farm.db, 2, ["popular"]) == order[1:3]


async def test_postponed_projects_are_not_read_to_find_the_next_ones(farm: SyncHarness) -> None:
    await farm.db.execute(
        """
        INSERT INTO listed_projects (project, downloads, serial, checks, next_check_at)
        SELECT 'p' || n, n, 0, (n > 1)::int, now() + interval '1 day' * (n > 2)::int
          FROM generate_series(1, 20000) n
        """
    )
    await farm.db.execute("ANALYZE listed_projects")
    assert await listed_projects.projects_to_read(farm.db, 9, []) == ["p2", "p1"]
    conditions = ("checks = 0", "checks > 0 AND next_check_at <= now()")
    for condition in conditions:
        plan = await farm.db.rows(
            f"EXPLAIN (ANALYZE) SELECT project FROM listed_projects WHERE {condition}"
        )
        text = "\n".join(str(row["QUERY PLAN"]) for row in plan)
        assert "Seq Scan" not in text
        assert "Rows Removed by Filter" not in text


async def test_an_interrupted_fill_goes_on(farm: SyncHarness, listing: FakeIndex) -> None:
    listing.faults["/simple/two/"] = 503
    async with farm.running(FOLLOW_ALL) as sync:

        async def problem() -> str | None:
            return await listed_projects.listed_problem(farm.db, "two")

        async def failed() -> bool:
            return "503" in (await problem() or "")

        await farm.wait_until(failed, True)
        assert f"of {len(listing.projects)} listed projects" in sync.status_text
    (status,) = explain_with_upstream(
        "two",
        None,
        StatusContext(served_targets=frozenset()),
        asked_version=None,
        asked_target=None,
        listed_problem=await problem(),
    )
    assert "its page was not read yet; the last try failed" in status.text
    del listing.faults["/simple/two/"]
    asked = [path for path, _ in listing.requests].count("/simple/")
    await farm.db.execute("UPDATE listed_projects SET next_check_at = now()")
    async with farm.running(FOLLOW_ALL):
        await wait_until_filled(farm)
    assert await farm.queue() == [("one", "1.0"), ("three", "1.0"), ("two", "1.0")]
    assert [path for path, _ in listing.requests].count("/simple/") == asked


async def test_a_listed_project_without_a_page_is_dropped_after_some_checks(
    farm: SyncHarness, listing: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_fill, "_LOAD_INTERVAL_S", 0.2)
    listing.faults["/simple/two/"] = 404

    async def check_again() -> bool:
        await farm.db.execute("UPDATE listed_projects SET next_check_at = now()")
        return await listed_projects.listed_problem(farm.db, "two") is None and bool(
            await projects(farm)
        )

    async with farm.running(FOLLOW_ALL):
        await farm.wait_until(check_again, True)
    paths = [path for path, _ in listing.requests]
    assert paths.count("/simple/two/") >= 3


async def test_a_list_that_is_no_list_changes_nothing(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    upstream.pages[""] = "text/html", b"<html>Please log in</html>"
    async with farm.running(FOLLOW_ALL) as sync:

        async def said() -> bool:
            return "is not a list of projects" in sync.status_text

        await farm.wait_until(said, True)
    assert await projects(farm) == []
    assert await key_values.get_values(farm.db, "upstream/listing/") == {}


async def test_an_unchanged_list_is_not_sent_again(listing: FakeIndex, tmp_path: Path) -> None:
    listing.etags = True
    async with SimpleIndex(listing.simple) as index:
        first = await index.listing(tmp_path / "first")
        assert first is not None
        assert first.projects == len(listing.projects)
        assert await index.listing(tmp_path / "second", etag=first.etag) is None
    assert set(listing.answered) == {200, 304}
    names = [item.project for item in read_listing(tmp_path / "first")]
    assert names == list(listing.projects)


@pytest.mark.parametrize(
    ("content", "valid", "ignored"),
    [
        (b'{"projects": [{"name": "A.b"}, {"name": 5}, 7, {"name": ""}, {}]}', ["a-b"], 4),
        (b'{"projects": [{"name": "a", "_last-serial": "7"}]}', ["a"], 0),
    ],
)
async def test_odd_entries_are_ignored(
    upstream: FakeIndex, tmp_path: Path, content: bytes, valid: list[str], ignored: int
) -> None:
    upstream.pages[""] = "application/json", content
    async with SimpleIndex(upstream.simple) as index:
        listing = await index.listing(tmp_path / "list")
    assert listing is not None
    assert listing.ignored == ignored
    assert [item.project for item in read_listing(tmp_path / "list")] == valid


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("application/json", b"{}"),
        ("application/json", b'{"projects": []}'),
        ("application/json", b"["),
        ("text/html", b"<html><body>no links</body></html>"),
        ("text/plain", b"one two"),
    ],
)
async def test_what_is_no_list_is_rejected(
    upstream: FakeIndex, tmp_path: Path, media_type: str, content: bytes
) -> None:
    upstream.pages[""] = media_type, content
    async with SimpleIndex(upstream.simple) as index:
        with pytest.raises(RejectedError, match="is not a list of projects"):
            await index.listing(tmp_path / "list")


def test_serials_of_the_list_survive(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("a 7\nb \n")
    expected = [ListedProject(project="a", serial=7), ListedProject(project="b")]
    assert list(read_listing(path)) == expected
