"""Every screen and dialog against its reviewed snapshot at 80x24; at other sizes by properties.

UPDATE_SNAPSHOTS=1 rewrites the snapshots, which then have to be reviewed.
"""

import os
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len

from piwheels.model import LiveDownloads, NamedCount, State
from piwheels.protocol.messages import (
    ExplainReply,
    Explanation,
    FailuresReply,
    ProjectHits,
    ProjectReply,
    SeriesReply,
)
from piwheels.tui.model.actions import TABS
from piwheels.tui.model.navigation import ScreenName
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import FAILURES, PROJECT_HITS, PROJECT_OVERVIEW, snapshot
from tests.tui.sample_series import SERIES
from tests.tui.static_source import StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

SNAPSHOTS = Path(__file__).with_name("snapshots")
STATES = ["connected", "stale", "read-only"]
LOG = b"".join(b"gcc -O2 -c src/part_%d.c\n" % number for number in range(80)) + (
    b"src/part_80.c:12:10: fatal error: jpeglib.h: No such file or directory\n"
    b"error: command 'gcc' failed with exit code 1\n"
)
#: Where to go, and by which keys from the screen before; none: by the finder.
TOUR = {
    ScreenName.OVERVIEW: ("1",),
    ScreenName.BUILDERS: ("2",),
    ScreenName.BUILDS: ("3",),
    ScreenName.QUEUES: ("4",),
    ScreenName.FAILURES: ("5",),
    ScreenName.ALERTS: ("6",),
    ScreenName.DOWNLOADS: ("7",),
    ScreenName.EVENTS: ("8",),
    ScreenName.COMMANDS: (),
    ScreenName.HOST: (),
    ScreenName.LOG: ("3", "l"),
    ScreenName.EXPLAIN: ("3", "e"),
}
DOWNLOADS = LiveDownloads(
    connected=True,
    total=612_004_113,
    today=401_233,
    last_30_days=21_004_551,
    record_day=1_060_767,
    record_date="2026-10-04",
    rate_per_s=11.4,
    per_minute=tuple(range(40, 100)),
    top=(NamedCount(name="numpy", count=9_001), NamedCount(name="cffi", count=4_410)),
    architectures=(NamedCount(name="armv7l", count=301_000),),
    pythons=(NamedCount(name="3.13", count=150_200),),
    installers=(NamedCount(name="pip", count=390_100), NamedCount(name="uv", count=11_133)),
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clocks of the wall are those of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def prepared_source(state: str = "connected") -> StaticSource:
    source = StaticSource(snapshot(downloads=DOWNLOADS), read_only=state == "read-only")
    source.log = LOG
    source.replies[FailuresReply] = FAILURES
    source.replies[SeriesReply] = SERIES
    source.replies[ProjectHits] = PROJECT_HITS
    source.replies[ProjectReply] = ProjectReply(overview=PROJECT_OVERVIEW)
    source.replies[ExplainReply] = ExplainReply(
        answers=(
            Explanation(
                project="pillow",
                version="1.4.2",
                target="cp311-trixie-aarch64",
                state=State.FAILED,
                text="Build 4707 failed for good: jpeglib.h is missing. `piw retry` tries again.",
                build=4707,
            ),
        )
    )
    return source


def check_snapshot(name: str, text: str) -> None:
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{text}\n")
    assert f"{text}\n" == file.read_text(), f"{name} looks otherwise than it did"


async def tour(stage: AppHarness, state: str) -> AsyncIterator[ScreenName]:
    """Each screen in turn, once it shows everything."""
    await stage.wait_for_text("pi5-roof")
    if state == "stale":
        source = stage.console.source
        assert isinstance(source, StaticSource)
        source.disconnect()
        source.time += 125
        await stage.wait_for_text("LINK LOST")
    for screen_name, keys in TOUR.items():
        await stage.press(*keys)
        if not keys:
            await stage.act(screen_name)
        await stage.wait_until(partial(_is_showing, stage, screen_name), f"{screen_name} is shown")
        yield screen_name


def _is_showing(stage: AppHarness, screen_name: ScreenName) -> bool:
    shown = stage.console.current_screen.screen_name is screen_name
    if screen_name is ScreenName.LOG:
        return shown and "of 82, all read" in stage.text
    waits_for = {ScreenName.EXPLAIN: "Last builds", ScreenName.FAILURES: "Built before"}
    return shown and waits_for.get(screen_name, "") in stage.text


@pytest.mark.parametrize("state", STATES)
async def test_screens_match_their_snapshots(state: str) -> None:
    async with run_console(prepared_source(state), size=(80, 24)) as stage:
        async for screen_name in tour(stage, state):
            check_snapshot(f"{screen_name}-80x24-{state}", stage.text)


@pytest.mark.parametrize(("width", "height"), [(40, 20), (120, 40), (200, 60)])
async def test_the_overview_matches_its_snapshots_at_other_sizes(width: int, height: int) -> None:
    async with run_console(
        prepared_source(), size=(width, height), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("█")
        check_snapshot(f"overview-{width}x{height}", stage.text)


@pytest.mark.parametrize(
    "size",
    [
        (40, 20),
        pytest.param((120, 40), marks=pytest.mark.slow),
        pytest.param((200, 60), marks=pytest.mark.slow),
    ],
    ids=lambda it: f"{it[0]}x{it[1]}",
)
async def test_screens_fit_other_sizes(size: tuple[int, int]) -> None:
    width, height = size
    async with run_console(prepared_source(), size=size) as stage:
        async for screen_name in tour(stage, "connected"):
            lines = stage.text.splitlines()
            assert len(lines) == height
            assert max(map(cell_len, lines)) <= width
            assert "running" in lines[0]
            if tab := next((tab for tab in TABS if tab.opens is screen_name), None):
                assert tab.label.upper() in lines[1]
            assert "? Keys" in lines[-1]


async def open_dialogs(stage: AppHarness) -> AsyncIterator[str]:
    """The help, the largest dialogs, and the finder."""
    await stage.wait_for_text("pi5-roof")
    await stage.press("question_mark")
    yield "help"
    await stage.press("escape", "asterisk", "K")
    await stage.wait_for_text("Cancel")
    yield "kill"
    await stage.press("escape")
    await stage.act("stop_master")
    await stage.wait_for_text("Type stop")
    yield "stop"
    await stage.press("escape", "colon")
    await stage.wait_for_text("Esc: close")
    await stage.press(*"num")
    await stage.wait_for_text("numcodecs")
    yield "finder"


async def test_dialogs_match_their_snapshots() -> None:
    async with run_console(prepared_source(), size=(80, 24)) as stage:
        async for name in open_dialogs(stage):
            check_snapshot(f"{name}-80x24", stage.text)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(40, 20), (120, 40)], ids=lambda it: f"{it[0]}x{it[1]}")
async def test_dialogs_fit_other_sizes(size: tuple[int, int]) -> None:
    async with run_console(prepared_source(), size=size) as stage:
        async for name in open_dialogs(stage):
            box = {"finder": "#finder", "help": "#dialog"}.get(name, "#sheet")
            region = stage.console.screen.query_one(box).region
            assert stage.console.screen.region.contains_region(region), name
            if name in {"kill", "stop"}:
                assert "Cancel" in stage.text


async def test_before_a_master_answers_the_screen_says_what_it_waits_for() -> None:
    source = StaticSource()
    async with run_console(source, size=(80, 24)) as stage:
        source.disconnect("no master answers at ipc:///run/piwheels/control")
        await stage.wait_for_text("no master answers")
        check_snapshot("waiting-80x24", stage.text)


async def test_missing_access_logs_are_shown() -> None:
    async with run_console(StaticSource(snapshot()), size=(80, 24)) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("7")
        await stage.wait_for_text("No access log is connected")


async def test_an_empty_farm_shows_how_to_add_projects() -> None:
    source = StaticSource(snapshot(builders=(), queues=()))
    async with run_console(source, size=(80, 24)) as stage:
        await stage.wait_for_text("No builder is connected")
        await stage.press("4")
        await stage.wait_for_text("No targets yet")
