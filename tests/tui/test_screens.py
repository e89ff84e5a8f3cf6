"""Every screen at every size in every state, against what was looked at and found good.

UPDATE_SNAPSHOTS=1 writes the files anew, to be looked at again.
"""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from piwheels.protocol.messages import (
    DownloadCount,
    Downloads,
    ExplainReply,
    Explanation,
)
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import snapshot
from tests.tui.static_source import StaticSource

SNAPSHOTS = Path(__file__).with_name("snapshots")
SIZES = [(40, 20), (80, 24), (120, 40), (200, 60)]
STATES = ["connected", "stale", "read-only"]
LOG = b"".join(b"gcc -O2 -c src/part_%d.c\n" % number for number in range(80)) + (
    b"src/part_80.c:12:10: fatal error: jpeglib.h: No such file or directory\n"
    b"error: command 'gcc' failed with exit code 1\n"
)
#: Where to go, and how from the screen before.
TOUR = {
    "builders": ("1",),
    "queues": ("2",),
    "builds": ("3",),
    "downloads": ("4",),
    "host": ("5",),
    "events": ("7",),
    "commands": ("c",),
    "log": ("3", "enter"),
    "explain": ("3", "e"),
}
DOWNLOADS = Downloads(
    connected=True,
    total=612_004_113,
    today=401_233,
    last_30_days=21_004_551,
    record_day=1_060_767,
    record_date="2026-10-04",
    rate_per_s=11.4,
    per_minute=tuple(range(40, 100)),
    top=(DownloadCount(name="numpy", count=9_001), DownloadCount(name="cffi", count=4_410)),
    architectures=(DownloadCount(name="armv7l", count=301_000),),
    pythons=(DownloadCount(name="3.13", count=150_200),),
    installers=(DownloadCount(name="pip", count=390_100), DownloadCount(name="uv", count=11_133)),
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
    source.replies[ExplainReply] = ExplainReply(
        answers=(
            Explanation(
                project="pillow",
                version="1.4.2",
                target="cp311-trixie-aarch64",
                state="failed",
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


def _cases() -> Iterator[object]:
    """Every size in every state; what differs least from another is tried under the slow mark."""
    for width, height in SIZES:
        for state in STATES:
            quick = state == "connected" or (width, height) == (80, 24)
            marks = [] if quick else [pytest.mark.slow]
            yield pytest.param((width, height), state, marks=marks, id=f"{width}x{height}-{state}")


@pytest.mark.parametrize(("size", "state"), list(_cases()))
async def test_screens_look_as_they_did(size: tuple[int, int], state: str) -> None:
    source = prepared_source(state)
    async with run_console(source, size=size) as stage:
        await stage.wait_for_text("pi5-roof")
        if state == "stale":
            source.disconnect()
            source.time += 125
            await stage.wait_for_text("LINK LOST")
        for place, keys in TOUR.items():
            await stage.press(*keys)
            await stage.wait_until(partial(_is_showing, stage, place), f"{place} is shown")
            check_snapshot(f"{place}-{size[0]}x{size[1]}-{state}", stage.text)


def _is_showing(stage: AppHarness, place: str) -> bool:
    at = stage.console.current_screen.screen_name == place
    if place == "log":
        return at and "following" not in stage.text and "82 lines" in stage.text
    return at and (place != "explain" or "jpeglib" in stage.text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
async def test_dialogs_and_help_fit_the_screen(size: tuple[int, int]) -> None:
    async with run_console(prepared_source(), size=size) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("question_mark")
        check_snapshot(f"help-{size[0]}x{size[1]}", stage.text)
        await stage.press("escape", "asterisk", "K")
        await stage.wait_for_text("Cancel")
        check_snapshot(f"kill-{size[0]}x{size[1]}", stage.text)
        await stage.press("escape", "Q")
        await stage.wait_for_text("Type quit")
        check_snapshot(f"quit-{size[0]}x{size[1]}", stage.text)
        await stage.press("escape", "colon")
        await stage.wait_for_text("What is to be done?")
        await stage.wait_for_text("Who builds what")
        check_snapshot(f"palette-{size[0]}x{size[1]}", stage.text)


async def test_before_a_master_answers_the_screen_says_what_is_waited_for() -> None:
    source = StaticSource()
    async with run_console(source, size=(80, 24)) as stage:
        source.disconnect("no master answers at ipc:///run/piwheels/control")
        await stage.wait_for_text("no master answers")
        check_snapshot("waiting-80x24", stage.text)


async def test_without_an_access_log_downloads_say_so() -> None:
    async with run_console(StaticSource(snapshot()), size=(80, 24)) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("4")
        await stage.wait_for_text("No access log is connected")


async def test_an_empty_farm_says_how_to_fill_it() -> None:
    source = StaticSource(snapshot(builders=(), queues=()))
    async with run_console(source, size=(80, 24)) as stage:
        await stage.wait_for_text("No builder is connected yet")
        await stage.press("2")
        await stage.wait_for_text("no target yet")
