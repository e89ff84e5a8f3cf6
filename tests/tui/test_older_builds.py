"""Older builds that a filter by state loads from the master, a page at a time and bounded."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from piwheels.model import BuildSummary
from piwheels.protocol.messages import BuildsReply, ListBuilds
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.older_builds import MAX_PAGES, PAGE_BUILDS, OlderBuilds, asks_for_older
from piwheels.tui.model.tables.row_filter import wanted_states
from tests.tui.app_harness import run_console
from tests.tui.sample_farm import BUILDS, build_finished, snapshot
from tests.tui.static_source import NOON, StaticSource

OLDEST = min(build.ended_at for build in BUILDS)


def page(number: int, count: int = PAGE_BUILDS) -> list[BuildSummary]:
    """Builds before those of the page before."""
    first = build_finished(1, "old", "failed", "error: it broke", 1)
    at = datetime.fromtimestamp(NOON, UTC) - timedelta(days=1 + number)
    return [
        replace(first, build_id=100_000 - number * 1000 - n, ended_at=at - timedelta(seconds=n))
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("state:failed numpy", ("failed",)),
        ("outcome:lost -state:built", ("lost",)),
        ("@bad", ("timed-out",)),
        ("state: older:1h failed", ()),
    ],
)
def test_the_states_that_a_filter_asks_for(text: str, states: tuple[str, ...]) -> None:
    assert wanted_states(text, {"bad": "state:timed-out"}) == states


def test_only_states_of_ended_builds_ask_for_older_ones() -> None:
    assert asks_for_older(["failed"])
    assert asks_for_older(["fail"])
    assert not asks_for_older([])
    assert not asks_for_older(["uploading"])


def test_pages_follow_each_other_until_none_are_left() -> None:
    older = OlderBuilds()
    assert not older.wants_more, "without a filter"
    older.begin(["failed"])
    assert older.query(BUILDS, "") == ListBuilds(
        limit=PAGE_BUILDS, failed=True, ended_before=OLDEST
    )
    older.add(page(0))
    assert older.text == f"so far, {PAGE_BUILDS} older builds read"
    assert older.query(BUILDS, "").ended_before == page(0)[-1].ended_at
    older.add(page(1, count=3))
    assert (older.wants_more, older.text, len(older.builds)) == (False, "", PAGE_BUILDS + 3)
    older.begin(["lost"])
    assert (older.wants_more, older.builds) == (True, {})


def test_what_is_read_for_one_filter_is_bounded() -> None:
    older = OlderBuilds()
    older.begin(["built"])
    assert not older.query((), "").failed
    for number in range(MAX_PAGES):
        assert older.wants_more
        older.add(page(number))
    assert not older.wants_more
    assert older.text.startswith("so far, 2,000"), "there may be more"


@pytest.mark.farm
async def test_a_filter_by_state_loads_older_builds_and_says_so_far() -> None:
    source = StaticSource(snapshot())
    source.replies[BuildsReply] = BuildsReply(builds=tuple(page(0)))
    async with run_console(source, first_screen=ScreenName.BUILDS) as stage:
        await stage.wait_until(lambda: stage.keys, "there are rows")
        await stage.press("slash", *"state:failed", "enter")
        await stage.wait_until(lambda: "100000" in stage.keys, "an older build is listed")
        await stage.wait_for_text("so far, 200 older builds read")
        asked = [it for it in source.sent if isinstance(it, ListBuilds)]
        assert asked[-1] == ListBuilds(limit=PAGE_BUILDS, failed=True, ended_before=OLDEST)
        await stage.press("escape")
        await stage.wait_until(lambda: "100000" not in stage.keys, "they are left out again")
