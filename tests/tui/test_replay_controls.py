"""The console on a recording: its keys, its position and its options."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from piwheels.tui.app import Console, DisplayOptions
from piwheels.tui.client.recording import Recorder
from piwheels.tui.client.replay import Replay
from piwheels.tui.model.source_events import Connected, MessageReceived
from piwheels.tui.screens.status_bars import replay_position
from tests.simfarm import FarmModel
from tests.tui.source_probe import wait_until
from tests.tui.test_recording import BEGAN, record, simulate_farm


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    record(tmp_path / "r", simulate_farm(FarmModel(builders=6, build_s=5, seed=3), 300))
    return Replay(tmp_path / "r")


async def test_keys_pause_step_seek_and_change_the_speed(replay: Replay) -> None:
    console = Console(replay, DisplayOptions())
    async with console.run_test(size=(120, 30)) as pilot:
        await wait_until(lambda: console.farm.has_snapshot)
        await pilot.press("0")
        assert replay.paused
        held = replay.now()
        await pilot.press("greater_than_sign", "greater_than_sign")
        await wait_until(lambda: console.farm.last_heard_at == BEGAN + int(held + 120 - BEGAN))
        await pilot.press("full_stop")
        await wait_until(lambda: console.farm.last_heard_at == BEGAN + int(held + 121 - BEGAN))
        await pilot.press("less_than_sign")
        await wait_until(lambda: console.farm.last_heard_at == BEGAN + int(held + 61 - BEGAN))
        await pilot.press("right_curly_bracket", "right_curly_bracket", "left_curly_bracket")
        assert replay.speed == 2.0
        await pilot.press("K")  # a recording takes no orders
        await pilot.pause()
        assert list(console.command_history) == []
        await pilot.press("0")
        assert not replay.paused


async def test_the_replay_position_is_described(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "piwheels.tui.screens.status_bars.format_unix_time", lambda at: f"{at - BEGAN:.0f}"
    )
    replay.pause()
    replay.seek(BEGAN + 50)
    assert replay_position(replay) == "50 (0 to 300), paused"
    replay.set_speed(0.25)
    replay.play()
    assert replay_position(replay) == "50 (0 to 300), 1/4x speed"
    replay.set_speed(1e9)
    assert replay_position(replay).endswith("256x speed (maximum)")
    replay.seek(replay.end)
    async for _ in replay.events():
        if replay.at_end:
            break
    assert replay_position(replay) == "300 (0 to 300), at its end"


def piw_tui(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "piwheels", "tui", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.farm
def test_invalid_options_are_rejected_in_one_line(tmp_path: Path) -> None:
    picture = ("--snapshot", str(tmp_path / "x.svg"))
    missing = piw_tui("--replay", str(tmp_path / "none"), *picture)
    assert "No such file" in missing
    assert "--replay cannot be combined" in piw_tui("--replay", "x", "--record", "y", *picture)
    (tmp_path / "text").write_text("hello\n")
    assert "is not a recording" in piw_tui("--replay", str(tmp_path / "text"), *picture)
    taken = piw_tui("--connect", "ipc:///none", "--record", str(tmp_path / "text"), *picture)
    assert "exists" in taken


@pytest.mark.farm
async def test_a_snapshot_of_a_recording_is_drawn(tmp_path: Path) -> None:
    world = FarmModel(builders=3)
    recorder = Recorder(tmp_path / "r", now=lambda: BEGAN)
    recorder.record(Connected(world.instance, None))
    recorder.record(MessageReceived(world.snapshot(), BEGAN))
    recorder.close()
    picture = tmp_path / "x.svg"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "piwheels", "tui", "--replay", str(tmp_path / "r"),
        "--snapshot", str(picture),
    )  # fmt: skip
    assert await child.wait() == 0
    assert "RECORDING" in picture.read_text()
