"""The connection to a simulated master on a real socket: disconnections, commands, logs."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from piwheels.errors import RejectedError, UsageError
from piwheels.protocol.client import ControlClient
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    BuilderCommand,
    CommandBuilders,
    CommandFailed,
    CommandSucceeded,
    Explain,
    ExplainReply,
    LogChunk,
    Pause,
    ReplyBody,
    Resume,
)
from piwheels.protocol.sockets import CurveGate, generate_key_pair
from piwheels.tui.client import connection as link_module
from piwheels.tui.client.connection import ConnectionLostError, MasterConnection
from piwheels.tui.model.command_status import CommandState, CommandStatus
from piwheels.tui.model.source_events import Connected, Disconnected, Heartbeat, MessageReceived
from piwheels.tui.model.state import to_snapshot
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.timeouts import WAIT_S
from tests.tui.source_probe import SourceProbe, wait_until


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect immediately; never disconnect because of silence."""
    monkeypatch.setattr(link_module, "RENEWAL_INTERVAL_S", 0.1)
    monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 600.0)
    monkeypatch.setattr(link_module, "MIN_RETRY_DELAY_S", 0.05)


@pytest.fixture
async def farm(tmp_path: Path, brisk: None) -> AsyncIterator[SimFarm]:
    async with SimFarm(control_address(tmp_path), FarmModel(builders=14), hz=0) as farm:
        yield farm


@pytest.fixture
async def link(farm: SimFarm) -> MasterConnection:
    return MasterConnection(farm.address, operator_name="ada@console")


@pytest.fixture
async def listener(link: MasterConnection) -> AsyncIterator[SourceProbe]:
    async with SourceProbe(link) as listener:
        await wait_until(lambda: listener.state.has_snapshot)
        yield listener


# --- watching ---


async def test_received_events_give_the_state_of_the_farm(
    farm: SimFarm, listener: SourceProbe
) -> None:
    for _ in range(30):
        await farm.step(0.3)
    farm.publish(farm.model.pulse())
    last = farm.model.note("ada@console", "was here", "applied")
    farm.publish(last)
    await wait_until(lambda: last in listener.state.events)
    shown = to_snapshot(listener.state, listener.state.last_heard_at or 0.0)
    true = farm.model.snapshot()
    assert {view.label: view.state for view in shown.status.builders} == {
        view.label: view.state for view in true.status.builders
    }
    assert shown.status.queues == true.status.queues
    assert shown.builds[:10] == true.builds[:10]


async def test_a_stopped_master_is_noticed_immediately_and_recognized_afterwards(
    farm: SimFarm, listener: SourceProbe
) -> None:
    assert listener.events_of(Connected) == [Connected(farm.model.instance, None)]
    await farm.stop()
    lost = await listener.next(Disconnected)
    assert "connection ended" in lost.reason
    assert not listener.state.connected
    farm.start()
    assert (await listener.next(Connected)).same_master is True
    await farm.stop()
    farm.start(new=True)
    back = await listener.next(Connected)
    assert back == Connected(farm.model.instance, False)


async def test_a_quiet_master_stays_connected(farm: SimFarm, listener: SourceProbe) -> None:
    first = await listener.next(Heartbeat)
    async with asyncio.timeout(WAIT_S):
        while (await listener.next(Heartbeat)).received_at < first.received_at + 1:
            pass  # it tells nothing, and is heard all the same
    assert listener.events_of(Disconnected) == []


async def test_a_hanging_master_is_disconnected_and_reconnected(
    farm: SimFarm, listener: SourceProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.mute = True
    monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 1.0)
    lost = await listener.next(Disconnected)
    assert "silent for" in lost.reason
    monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 600.0)
    farm.mute = False
    assert (await listener.next(Connected)).same_master is True


async def test_delays_grow_to_a_maximum_and_are_reset_by_a_success(
    farm: SimFarm, link: MasterConnection
) -> None:
    delays = [link._next_delay() for _ in range(30)]
    assert delays[0] <= 1.2 * link_module.MIN_RETRY_DELAY_S
    assert max(delays) <= 1.2 * link_module.MAX_RETRY_DELAY_S
    assert min(delays[-5:]) >= 0.8 * link_module.MAX_RETRY_DELAY_S
    assert len(set(delays[-5:])) == 5  # many consoles do not come back in step
    async with SourceProbe(link) as listener:
        await wait_until(lambda: listener.state.has_snapshot)
    assert link._next_delay() <= 1.2 * link_module.MIN_RETRY_DELAY_S


async def test_a_missing_listener_is_the_reason(tmp_path: Path, brisk: None) -> None:
    began = time.time()
    async with SourceProbe(MasterConnection(control_address(tmp_path))) as listener:
        lost = await listener.next(Disconnected)
        assert lost.reason.startswith(f"no master answers at ipc://{tmp_path}/control.sock")
        assert lost.retry_at > began
        await listener.next(Disconnected)


async def test_another_protocol_is_reported(
    farm: SimFarm, link: MasterConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.control.control_server.PROTOCOL", 7)
    monkeypatch.setattr("piwheels.protocol.message_base.PROTOCOL", 7)
    async with SourceProbe(link) as listener:
        assert f"protocol 7, not {PROTOCOL}" in (await listener.next(Disconnected)).reason


@pytest.mark.farm
async def test_a_hundred_restarts_leave_a_correct_state(
    farm: SimFarm, listener: SourceProbe
) -> None:
    dice = random.Random(1)
    for _ in range(100):
        await farm.step(0.2)
        new = dice.random() < 0.3
        await farm.stop()
        farm.start(new=new)
        if dice.random() < 0.4:
            await listener.next(Connected)
    await wait_until(lambda: listener.state.instance == farm.model.instance)
    await wait_until(lambda: listener.state.connected)
    assert set(listener.state.builders) == {view.label for view in farm.model.status().builders}
    message = [event.same_master for event in listener.events_of(Connected)]
    assert message.count(True) > 3
    assert message.count(False) > 3


async def test_a_console_can_quit_at_any_moment_of_a_disconnection(farm: SimFarm) -> None:
    dice = random.Random(4)
    for _ in range(25):
        link = MasterConnection(farm.address)
        async with SourceProbe(link) as listener:
            await listener.next(Connected)
            late = asyncio.create_task(link.command(Pause(), description="pause"))
            await farm.stop()
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
        farm.start()
        assert (await late).is_final


# --- commands ---


async def states_of(
    link: MasterConnection, body: CommandBuilders | Pause | Resume
) -> list[CommandStatus]:
    turns: list[CommandStatus] = []
    last = await link.command(body, description="try it", on_update=turns.append)
    assert turns[-1] == last
    assert len({status.command_id for status in turns}) == 1
    return turns


async def test_a_command_is_sent_accepted_and_applied(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection
) -> None:
    body = CommandBuilders(command=BuilderCommand.DRAIN, builders=("pi006", "pi007"))
    turns = await states_of(link, body)
    assert [status.state for status in turns] == [
        CommandState.SENT,
        CommandState.ACCEPTED,
        CommandState.APPLIED,
    ]
    [requested] = farm.received_commands
    assert (requested.body, requested.operator) == (body, "ada@console")
    assert requested.identity == turns[0].command_id
    await wait_until(lambda: listener.state.builders["pi007"].view.state == "draining")
    await wait_until(lambda: listener.state.events)
    assert listener.state.events[-1].outcome == "applied"


async def test_a_rejection_has_its_reason(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection
) -> None:
    body = CommandBuilders(command=BuilderCommand.KILL, builders=("pi777",))
    last = (await states_of(link, body))[-1]
    assert (last.state, last.text) == (CommandState.REJECTED, "there is no builder pi777")


async def test_a_read_only_connection_is_rejected_by_the_master(farm: SimFarm) -> None:
    link = MasterConnection(farm.address, read_only=True)
    async with SourceProbe(link) as listener:
        await wait_until(lambda: listener.state.connected)
        last = await link.command(Pause(), description="pause")
    assert last.state is CommandState.REJECTED
    assert "read-only" in last.text
    assert farm.received_commands[0].read_only
    assert not farm.model.paused


async def test_nothing_is_queued_for_a_disconnected_master(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection
) -> None:
    await farm.stop()
    await listener.next(Disconnected)
    giving = asyncio.create_task(states_of(link, Pause()))
    await asyncio.sleep(0)
    assert giving.done(), "it waits for nothing"
    last = (await giving)[-1]
    assert (last.state, last.text) == (CommandState.NOT_SENT, link_module._NOT_CONNECTED)
    farm.start()
    await listener.next(Connected)
    await farm.step(1)
    assert farm.received_commands == []


async def test_a_command_during_a_disconnection_reaches_no_later_master(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "REPLY_TIMEOUT_S", 10 * WAIT_S)  # it is not waited for
    turns = set()
    for _ in range(8):
        await farm.stop()
        giving = asyncio.create_task(link.command(Pause(), description="pause"))
        await asyncio.sleep(0)
        farm.start(new=True)
        turns.add((await asyncio.wait_for(giving, WAIT_S)).state)
        await wait_until(lambda: listener.state.instance == farm.model.instance)
        await wait_until(lambda: listener.state.connected)
    assert turns <= {CommandState.NOT_SENT, CommandState.UNKNOWN}
    assert farm.received_commands == []


async def test_a_command_is_not_sent_before_a_disconnection_is_noticed(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: ControlClient) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(ControlClient, "disconnected", never)
    link = MasterConnection(farm.address)
    async with SourceProbe(link) as listener:
        await wait_until(lambda: listener.state.has_snapshot)
        assert link._session is not None
        socket: Any = link._session.client._dealer._socket
        await farm.stop()
        Path(farm.address.removeprefix("ipc://")).touch()  # a master that is killed leaves it
        async with asyncio.timeout(WAIT_S):
            while await socket.poll(0, zmq.POLLOUT):  # noqa: ASYNC110 - nothing else tells of it
                await asyncio.sleep(0.01)
        giving = asyncio.create_task(link.command(Pause(), description="pause"))
        await asyncio.sleep(0)
        farm.start(new=True)
        assert (await giving).state is CommandState.NOT_SENT
        async with asyncio.timeout(WAIT_S):
            await socket.poll(-1, zmq.POLLOUT)
        await farm.step(1)
    assert farm.received_commands == []


async def test_a_command_is_unknown_if_the_master_dies_during_it(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection
) -> None:
    farm.replies_allowed.clear()
    under_way = asyncio.create_task(states_of(link, Pause()))
    await wait_until(lambda: farm.received_commands)
    await farm.stop()
    last = (await under_way)[-1]
    assert last.state is CommandState.UNKNOWN
    assert "before the result arrived" in last.text
    farm.start(new=True)
    await listener.next(Connected)
    await farm.step(1)
    assert len(farm.received_commands) == 1  # never repeated automatically


async def test_a_command_times_out_and_a_late_reply_is_shown(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "REPLY_TIMEOUT_S", 0.3)
    farm.replies_allowed.clear()
    message: list[CommandState] = []
    answered = asyncio.create_task(
        link.command(
            Pause(), description="pause", on_update=lambda status: message.append(status.state)
        )
    )
    await wait_until(lambda: CommandState.TIMED_OUT in message)
    farm.replies_allowed.set()
    assert (await answered).state is CommandState.APPLIED
    assert [turn for turn in dict.fromkeys(message) if turn is not CommandState.ACCEPTED] == [
        CommandState.SENT, CommandState.TIMED_OUT, CommandState.APPLIED,
    ]  # fmt: skip
    message.clear()
    farm.replies_allowed.clear()
    late = asyncio.create_task(
        link.command(
            Resume(), description="resume", on_update=lambda status: message.append(status.state)
        )
    )
    await wait_until(lambda: CommandState.TIMED_OUT in message)
    await farm.stop()
    assert (await late).state is CommandState.TIMED_OUT


async def test_a_rolling_restart_is_followed_to_its_end(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "REPLY_TIMEOUT_S", 0.2)
    labels = ("pi006", "pi007", "pi008")
    body = CommandBuilders(command=BuilderCommand.RESTART, builders=labels, max_parallel=1)
    under_way = asyncio.create_task(states_of(link, body))
    most = 0
    while not under_way.done():
        await farm.step(2.0)
        most = max(most, sum(farm.model.is_restarting(label) for label in labels))
        await asyncio.sleep(0.01)
    assert (await under_way)[-1].state is CommandState.APPLIED
    assert most == 1


# --- questions and logs ---


async def test_queries_are_answered_or_fail_in_one_line(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection
) -> None:
    reply = await link.request(Explain(project="numpy"), ExplainReply)
    assert reply.answers[0].project == "numpy"
    with pytest.raises(RejectedError, match="unexpected reply from the master: ExplainReply"):
        await link.request(Explain(project="numpy"), CommandSucceeded)
    await farm.stop()
    await listener.next(Disconnected)
    with pytest.raises(ConnectionLostError, match="no master"):
        await link.request(Explain(project="numpy"), ExplainReply)


async def test_a_live_log_is_resumed_after_a_disconnection(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection
) -> None:
    farm.log_lines, farm.lines_per_s = 100_000, 5_000
    build = next(machine.build.build for machine in farm.model.machines.values() if machine.build)
    data = b""
    lost = False
    async for piece in link.follow_log(build):
        assert piece.offset == len(data)
        data += piece.data
        if len(data) > 100_000 and not lost:
            lost = True
            await farm.stop()
            farm.start()
        if len(data) > 300_000:
            break
    assert farm.log(build)[0].startswith(data)


async def test_a_finished_log_ends_and_a_missing_one_is_reported(
    farm: SimFarm, listener: SourceProbe, link: MasterConnection
) -> None:
    build = farm.model.builds[-1].build_id
    data = b"".join([piece.data async for piece in link.follow_log(build)])
    assert data == farm.log(build)[0]
    with pytest.raises(RejectedError, match="no log of build 9999"):
        [piece async for piece in link.follow_log(9999)]


class FaultyServer(SimFarm):
    """Puts something else in place of the second piece of the first log that is read."""

    instead: ReplyBody | None = None
    sent = 0

    def intercept(self, body: ReplyBody) -> ReplyBody | None:
        if isinstance(body, LogChunk):
            self.sent += 1
            if self.sent == 2:
                return self.instead
        return body


@pytest.mark.parametrize(
    "instead",
    [None, CommandFailed(reason="the master was restarted in between; ask again")],
    ids=["a piece got lost", "the lease ended"],
)
async def test_a_log_is_complete_despite_faults(
    tmp_path: Path, brisk: None, instead: CommandFailed | None
) -> None:
    farm = FaultyServer(control_address(tmp_path), FarmModel(builders=2), hz=0, log_lines=30_000)
    farm.instead = instead
    async with farm:
        link = MasterConnection(farm.address)
        async with SourceProbe(link) as listener:
            await wait_until(lambda: listener.state.has_snapshot)
            build = farm.model.builds[-1].build_id
            data = b"".join([piece.data async for piece in link.follow_log(build)])
    assert len(data) > 3 * CHUNK_BYTES
    assert data == farm.log(build)[0]


# --- over TCP ---


@pytest.mark.farm
async def test_over_tcp_only_an_authorized_key_connects(brisk: None) -> None:
    master, ours, strange = generate_key_pair(), generate_key_pair(), generate_key_pair()
    async with CurveGate(lambda _, public: public == ours.public) as gate:
        gate.protect("operator")
        farm = SimFarm("tcp://127.0.0.1:*", FarmModel(builders=2), key=master, domain="operator")
        async with farm:
            known = MasterConnection(farm.address, key=ours, server_key=master.public)
            async with SourceProbe(known) as listener:
                await listener.next(Connected)
            unknown = MasterConnection(farm.address, key=strange, server_key=master.public)
            async with SourceProbe(unknown) as listener:
                assert (
                    "does not know this console's key" in (await listener.next(Disconnected)).reason
                )
                assert listener.events_of(MessageReceived) == []


def test_tcp_requires_keys_and_other_addresses_are_rejected() -> None:
    with pytest.raises(UsageError, match="key"):
        MasterConnection("tcp://127.0.0.1:5554")
    with pytest.raises(UsageError, match="not an address of a master"):
        MasterConnection("http://example.org")


# --- a master in a process of its own ---


@asynccontextmanager
async def process(address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.simfarm", "--socket", address.removeprefix("ipc://"),
        "--builders", "3", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert (await child.stdout.readline()).startswith(b"listening")
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return control_address(tmp_path)


@pytest.mark.farm
async def test_a_killed_or_stopped_master_is_noticed(
    address: str, brisk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SourceProbe(MasterConnection(address)) as listener:
        async with process(address) as child:
            await listener.next(Connected)
            os.kill(child.pid, signal.SIGSTOP)
            monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 1.0)
            assert "silent" in (await listener.next(Disconnected)).reason
            monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 600.0)
            os.kill(child.pid, signal.SIGCONT)
            assert (await listener.next(Connected)).same_master is True
            child.kill()
            assert "connection ended" in (await listener.next(Disconnected)).reason
        async with process(address):
            await listener.next(Connected)
            assert listener.state.connected
