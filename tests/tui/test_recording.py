"""Recordings: playback gives the recorded events, also of a truncated or damaged file."""

import asyncio
import math
import signal
import struct
import sys
import zlib
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

import msgspec
import pytest

from piwheels.errors import ConfigError
from piwheels.protocol.messages import EventBatch, LogChunk, Pause
from piwheels.tui.client import recording
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.client.offline import OfflineError, OfflineSource
from piwheels.tui.client.recording import Reader, Recorder, RecordingSource
from piwheels.tui.client.replay import Replay
from piwheels.tui.model.command_status import CommandState
from piwheels.tui.model.source_events import Connected, Disconnected, MessageReceived, SourceEvent
from piwheels.tui.model.state import FarmState, to_snapshot
from piwheels.tui.screens.status_bars import replay_position
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.tui.source_probe import SourceProbe, wait_until

BEGAN = 1_700_000_000.0


class ScriptedSource(Replay):
    """A source that yields given events and ends."""

    def __init__(self, events: Iterable[SourceEvent]) -> None:
        OfflineSource.__init__(self, "script", "nothing is sent")
        self.told = tuple(events)

    async def events(self) -> AsyncGenerator[SourceEvent]:
        for event in self.told:
            yield event


def simulate_farm(world: FarmModel, seconds: int) -> list[SourceEvent]:
    """The events of some seconds: a disconnection in the middle, then a new master."""
    events: list[SourceEvent] = [
        Connected(world.instance, None),
        MessageReceived(world.snapshot(), BEGAN),
    ]
    for second in range(1, seconds + 1):
        at = BEGAN + second
        events.append(MessageReceived(EventBatch(events=tuple(world.step(1.0))), at))
        if second == seconds // 2:
            world.restart()
            events += [
                Disconnected("the connection ended", at + 1),
                Connected(world.instance, False),
            ]
            events.append(MessageReceived(world.snapshot(), at))
    return events


def record(file: Path, events: Iterable[SourceEvent]) -> None:
    """Write a recording as if time went by with the events."""

    async def write() -> None:
        at = BEGAN
        recorder = Recorder(file, now=lambda: at)
        for event in events:
            at = event.received_at if isinstance(event, MessageReceived) else at
            recorder.record(event)
        recorder.close()

    asyncio.run(write())


def replayed_states(events: Iterable[SourceEvent]) -> dict[float, FarmState]:
    """The state after the last event of each time."""
    states: dict[float, FarmState] = {}
    for last in [event.received_at for event in events if isinstance(event, MessageReceived)]:
        state = FarmState()
        for event in events:
            if isinstance(event, MessageReceived) and event.received_at > last:
                break
            state.apply(event)
        states[last] = state
    return states


def is_same_state(one: FarmState, other: FarmState, now: float) -> bool:
    """Whether two states are equal at a time, except for the times of load samples."""
    shown = [
        (
            state.connected,
            state.instance,
            {label: builder.view for label, builder in state.builders.items()},
            msgspec.structs.replace(to_snapshot(state, now), status=state.status),
        )
        for state in (one, other)
    ]
    return shown[0] == shown[1]


@pytest.fixture
def events() -> list[SourceEvent]:
    return simulate_farm(FarmModel(builders=6, build_s=5, seed=3), 100)


@pytest.fixture
def file(tmp_path: Path, events: list[SourceEvent]) -> Path:
    record(tmp_path / "day.rec", events)
    return tmp_path / "day.rec"


def test_a_recording_contains_every_event(file: Path, events: list[SourceEvent]) -> None:
    reader = Reader(file)
    blocks = [reader.read_block(n) for n in range(len(reader.blocks))]
    assert [entry.event for block in blocks if block for entry in block.entries] == events
    starts = [block for block in reader.blocks if block.is_seek_point]
    assert len(starts) == 4  # in 100 s, one every 30
    assert reader.problem == ""
    assert (reader.begin, reader.end) == (BEGAN, BEGAN + 100)


async def test_a_seek_gives_the_state_of_that_time(
    tmp_path: Path, events: list[SourceEvent]
) -> None:
    await asyncio.to_thread(record, tmp_path / "r", events)
    replay = Replay(tmp_path / "r")
    replay.pause()
    states = replayed_states(events)
    async with SourceProbe(replay) as listener:
        await wait_until(lambda: listener.state.has_snapshot)
        for at in (100, 3, 49, 50, 51, 77, 30, 31, 99, 0, 64):
            count_before = len(listener.received)
            replay.seek(BEGAN + at)
            await wait_until(
                lambda: len(listener.received) > count_before and replay._seek_target is None  # noqa: B023
            )
            now = BEGAN + at
            assert replay.now() == now
            assert is_same_state(listener.state, states[now], now), at


async def test_playback_has_the_chosen_speed_and_pauses_at_the_end(
    tmp_path: Path, events: list[SourceEvent]
) -> None:
    await asyncio.to_thread(record, tmp_path / "r", events)
    replay = Replay(tmp_path / "r")
    replay.set_speed(200.0)
    async with SourceProbe(replay) as listener:
        await wait_until(lambda: replay.at_end)
        assert is_same_state(listener.state, replayed_states(events)[BEGAN + 100], BEGAN + 100)
        assert replay.now() == BEGAN + 100
        replay.play()  # once more
        await wait_until(lambda: replay.now() < BEGAN + 60)
        await wait_until(lambda: replay.at_end)
    replay.set_speed(1e9)
    assert replay.speed == 256.0


async def test_pause_stops_playback_and_step_plays_one_event(
    tmp_path: Path, events: list[SourceEvent]
) -> None:
    await asyncio.to_thread(record, tmp_path / "r", events)
    replay = Replay(tmp_path / "r")
    replay.pause()
    async with SourceProbe(replay) as listener:
        await wait_until(lambda: listener.state.has_snapshot)
        first = len(listener.received)
        for step in range(1, 6):
            replay.step()
            await wait_until(lambda: len(listener.received) == first + step)  # noqa: B023
            assert replay.now() == BEGAN + step
        replay.seek_by(-3)
        await wait_until(lambda: replay._seek_target is None and replay.now() == BEGAN + 2)
        replay.toggle()
        assert not replay.paused
        await wait_until(lambda: listener.state.last_heard_at == BEGAN + 3)


async def test_a_recording_accepts_no_commands_and_has_no_unread_logs(file: Path) -> None:
    replay = Replay(file)
    turns: list[CommandState] = []
    last = await replay.command(
        Pause(), description="pause", on_update=lambda status: turns.append(status.state)
    )
    assert (last.state, turns) == (CommandState.NOT_SENT, [CommandState.NOT_SENT])
    assert "this is a recording" in last.text
    with pytest.raises(OfflineError, match="without a master"):
        await replay.request(Pause(), object)
    with pytest.raises(OfflineError, match="log of build 5"):
        [piece async for piece in replay.follow_log(5)]


async def test_recorded_logs_are_played_completely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SimFarm(
        control_address(tmp_path), FarmModel(builders=2), hz=0, log_lines=30_000
    ) as farm:
        builds = [build.build_id for build in list(farm.model.builds)[:2]]
        source = RecordingSource(
            MasterConnection(farm.address), Recorder(tmp_path / "r", now=lambda: BEGAN)
        )
        async with SourceProbe(source) as listener:
            await wait_until(lambda: listener.state.has_snapshot)
            for build in (*builds, builds[0]):  # the first is read again
                assert [piece async for piece in source.follow_log(build)][-1].finished
    replay = Replay(tmp_path / "r")
    for build in builds:
        pieces = [piece async for piece in replay.follow_log(build)]
        assert b"".join(piece.data for piece in pieces) == farm.log(build)[0]
        assert pieces[-1].finished
        later = [piece async for piece in replay.follow_log(build, offset=pieces[-2].offset)]
        assert later == pieces[-2:]
    logs = [block for block in Reader(tmp_path / "r").blocks if block.has_logs]
    assert 2 <= len(logs) < len(pieces) * 2
    async with SourceProbe(replay) as listener:
        await wait_until(lambda: replay.at_end and listener.state.has_snapshot)
        assert not [event for event in listener.received if isinstance(event, LogChunk)]


async def test_a_partly_recorded_log_is_reported(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", now=lambda: BEGAN)
    recorder.record(Connected("one", None))
    recorder.record_log(LogChunk(build=7, offset=0, data=b"gcc\n"))
    recorder.close()
    pieces = Replay(tmp_path / "r").follow_log(7)
    assert (await anext(pieces)).data == b"gcc\n"
    with pytest.raises(OfflineError, match="only this part of the log"):
        await anext(pieces)


async def test_a_seek_past_a_damaged_first_block_works(file: Path, tmp_path: Path) -> None:
    damaged = bytearray(file.read_bytes())
    damaged[Reader(file).blocks[0].offset + 20] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    replay = Replay(tmp_path / "damaged")
    async with SourceProbe(replay):
        await wait_until(lambda: replay.at_end)
        replay.seek(BEGAN + 50)
        await wait_until(lambda: replay.at_end)
    assert "damaged" in replay.problem
    assert "damaged end" in replay_position(replay)


def test_a_truncated_end_is_left_out(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    blocks = Reader(file).blocks
    third = blocks[3].offset - 12
    for cut in range(third, third + 40):
        short = tmp_path / "short"
        short.write_bytes(whole[:cut])
        reader = Reader(short)
        assert len(reader.blocks) == 3
        assert reader.end == BEGAN + 2
        assert (reader.problem == "") == (cut == third)
        if cut > third:
            assert reader.problem == (
                f"{short} is damaged at byte {third:,}; it plays up to there"
            ) or reader.problem.startswith(f"{short} is damaged at byte {third + 12:,}")


def test_playback_ends_at_a_damaged_block(file: Path, tmp_path: Path) -> None:
    damaged = bytearray(file.read_bytes())
    place = Reader(file).blocks[50]
    damaged[place.offset + 20] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    reader = Reader(tmp_path / "damaged")
    assert len([n for n in range(50) if reader.read_block(n)]) == 50
    assert reader.read_block(50) is None
    assert "damaged at byte" in reader.problem
    assert len(reader.blocks) == 50


def write_damaged_recording(
    file: Path, at: float, *events: SourceEvent, entry_at: float = BEGAN
) -> None:
    """Write a crafted recording of one block."""
    entries = [[entry_at, msgspec.to_builtins(event, str_keys=True)] for event in events]
    packed = zlib.compress(msgspec.msgpack.encode([[], entries]))
    block = struct.pack("<Bd", 1, at) + packed
    frame = b"PWRB" + struct.pack("<II", len(block), zlib.crc32(block))
    file.write_bytes(recording._FILE_HEADER + frame + block)


def test_a_crafted_valid_recording_is_played(tmp_path: Path) -> None:
    write_damaged_recording(tmp_path / "x", BEGAN, Disconnected("gone", BEGAN))
    assert Reader(tmp_path / "x").end == BEGAN


@pytest.mark.parametrize("at", [math.nan, math.inf, -1.0, 1e300])
def test_impossible_times_are_damage(tmp_path: Path, at: float) -> None:
    write_damaged_recording(tmp_path / "head", at, Disconnected("gone", BEGAN))
    write_damaged_recording(tmp_path / "entry", BEGAN, Disconnected("gone", BEGAN), entry_at=at)
    write_damaged_recording(tmp_path / "event", BEGAN, Disconnected("gone", at))
    for name in ("head", "entry", "event"):
        with pytest.raises(ConfigError, match="has nothing to play"):
            Reader(tmp_path / name)


def test_a_block_that_decompresses_without_end_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_damaged_recording(tmp_path / "x", BEGAN, Disconnected("gone" * 1000, BEGAN))
    monkeypatch.setattr(recording, "_MAX_BLOCK_BYTES", 1000)
    with pytest.raises(ConfigError, match="has nothing to play"):
        Reader(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a recording"),
        (b"\x7fELF" + bytes(500), "is not a recording"),
        (b"piwheels recording 9, protocol 4\n", "this piwheels plays"),
        (recording._FILE_HEADER, "has nothing to play"),
        (
            recording._FILE_HEADER + b"PWRB" + struct.pack("<II", 2**31, 0) + bytes(99),
            "nothing to play",
        ),
    ],
)
def test_an_invalid_recording_is_rejected_in_one_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as refusal:
        Replay(tmp_path / "x")
    assert "\n" not in str(refusal.value)


async def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        Recorder(tmp_path / "kept", now=lambda: BEGAN)
    assert (tmp_path / "kept").read_text() == "mine"
    with pytest.raises(ConfigError, match="No such file"):
        Recorder(tmp_path / "no" / "folder", now=lambda: BEGAN)


async def test_a_full_disk_ends_only_the_recording(
    tmp_path: Path, events: list[SourceEvent]
) -> None:
    recorder = Recorder(tmp_path / "r", now=lambda: BEGAN)
    assert recorder._stream is not None
    recorder._stream.close()
    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230
        recorder._stream = full
        received = [
            event async for event in RecordingSource(ScriptedSource(events), recorder).events()
        ]
    assert received == events
    assert "No space left on device; the recording ends here" in recorder.problem


@pytest.mark.farm
async def test_a_recording_is_complete_up_to_the_last_second_before_a_kill(
    tmp_path: Path,
) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from piwheels.tui.client.connection import MasterConnection\n"
        "from piwheels.tui.client.recording import Recorder, RecordingSource\n"
        "async def main():\n"
        "    link = MasterConnection(sys.argv[1])\n"
        "    source = RecordingSource(link, Recorder(Path(sys.argv[2]), now=link.now))\n"
        "    async for event in source.events():\n"
        "        print(getattr(event, 'received_at', 0), flush=True)\n"
        "asyncio.run(main())\n"
    )
    file = tmp_path / "live.rec"
    async with SimFarm(control_address(tmp_path), FarmModel(builders=3), hz=20) as farm:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, farm.address, str(file), stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        first = last = 0.0
        while last - first < 3.0:
            last = float(await child.stdout.readline())
            first = first or last
        child.send_signal(signal.SIGKILL)
        await child.wait()
    replay = Replay(file)
    assert last - replay.end < recording.MAX_BLOCK_AGE_S + 1.0
    async with SourceProbe(replay) as listener:
        replay.seek(replay.end)
        await wait_until(lambda: listener.state.last_heard_at == replay.end)
        assert set(listener.state.builders) == set(farm.model.machines)
