"""The link against a simulated master on a real socket: losses, returns, commands, logs."""

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

from piwheels.errors import RefusedError, UsageError
from piwheels.protocol.channels import Gate, Peer, new_key_pair
from piwheels.protocol.client import ControlClient
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    Applied,
    Explain,
    ExplainReply,
    LogPiece,
    Order,
    OrderBuilders,
    Pause,
    Problem,
    ReplyBody,
    Resume,
)
from piwheels.tui import link as link_module
from piwheels.tui.fates import Fate, Turn
from piwheels.tui.link import Link, LinkLostError
from piwheels.tui.source import Alive, Connected, Heard, Lost
from piwheels.tui.state import snapshot_of
from tests.patience import WAIT_S
from tests.simfarm import SimFarm, World
from tests.simfarm.server import socket_in
from tests.tui.listening import Listener, until


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once; silence is for the tests that are about it."""
    monkeypatch.setattr(link_module, "RENEW_S", 0.1)
    monkeypatch.setattr(link_module, "SILENT_S", 600.0)
    monkeypatch.setattr(link_module, "FIRST_DELAY_S", 0.05)


@pytest.fixture
async def farm(tmp_path: Path, brisk: None) -> AsyncIterator[SimFarm]:
    async with SimFarm(socket_in(tmp_path), World(builders=14), hz=0) as farm:
        yield farm


@pytest.fixture
async def link(farm: SimFarm) -> Link:
    return Link(farm.address, who="ada@console")


@pytest.fixture
async def listener(link: Link) -> AsyncIterator[Listener]:
    async with Listener(link) as listener:
        await until(lambda: listener.state.known)
        yield listener


# --- watching ---


async def test_what_is_heard_makes_the_state_that_is_true(
    farm: SimFarm, listener: Listener
) -> None:
    for _ in range(30):
        await farm.step(0.3)
    await farm.tell(farm.world.pulse())
    last = farm.world.note("ada@console", "was here", "applied")
    await farm.tell(last)
    await until(lambda: last in listener.state.events)
    shown = snapshot_of(listener.state, listener.state.heard or 0.0)
    true = farm.world.snapshot()
    assert {view.label: view.state for view in shown.status.builders} == {
        view.label: view.state for view in true.status.builders
    }
    assert shown.status.queues == true.status.queues
    assert shown.builds[:10] == true.builds[:10]


async def test_a_master_that_ends_is_lost_at_once_and_known_again(
    farm: SimFarm, listener: Listener
) -> None:
    assert listener.of(Connected) == [Connected(farm.world.instance, None)]
    await farm.go()
    lost = await listener.next(Lost)
    assert "connection ended" in lost.reason
    assert not listener.state.connected
    farm.come()
    assert (await listener.next(Connected)).same_master is True
    await farm.go()
    farm.come(new=True)
    back = await listener.next(Connected)
    assert back == Connected(farm.world.instance, False)


async def test_a_quiet_master_is_not_lost(farm: SimFarm, listener: Listener) -> None:
    first = await listener.next(Alive)
    async with asyncio.timeout(WAIT_S):
        while (await listener.next(Alive)).at < first.at + 1:
            pass  # it tells nothing, and is heard all the same
    assert listener.of(Lost) == []


async def test_a_master_that_hangs_is_lost_and_found_again(
    farm: SimFarm, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.mute = True
    monkeypatch.setattr(link_module, "SILENT_S", 1.0)
    lost = await listener.next(Lost)
    assert "silent for" in lost.reason
    monkeypatch.setattr(link_module, "SILENT_S", 600.0)
    farm.mute = False
    assert (await listener.next(Connected)).same_master is True


async def test_delays_grow_to_a_limit_and_begin_anew_after_a_success(
    farm: SimFarm, link: Link
) -> None:
    delays = [link._next_delay() for _ in range(30)]
    assert delays[0] <= 1.2 * link_module.FIRST_DELAY_S
    assert max(delays) <= 1.2 * link_module.LONGEST_DELAY_S
    assert min(delays[-5:]) >= 0.8 * link_module.LONGEST_DELAY_S
    assert len(set(delays[-5:])) == 5  # many consoles do not come back in step
    async with Listener(link) as listener:
        await until(lambda: listener.state.known)
    assert link._next_delay() <= 1.2 * link_module.FIRST_DELAY_S


async def test_where_nobody_listens_the_reason_says_so(tmp_path: Path, brisk: None) -> None:
    began = time.time()
    async with Listener(Link(socket_in(tmp_path))) as listener:
        lost = await listener.next(Lost)
        assert lost.reason.startswith(f"no master answers at ipc://{tmp_path}/control.sock")
        assert lost.retry_at > began
        await listener.next(Lost)


async def test_another_protocol_is_told(
    farm: SimFarm, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.simfarm.server.PROTOCOL", 7)
    async with Listener(link) as listener:
        assert f"protocol 7, not {PROTOCOL}" in (await listener.next(Lost)).reason


async def test_a_hundred_restarts_leave_a_state_that_is_true(
    farm: SimFarm, listener: Listener
) -> None:
    dice = random.Random(1)
    for _ in range(100):
        await farm.step(0.2)
        new = dice.random() < 0.3
        await farm.go()
        farm.come(new=new)
        if dice.random() < 0.4:
            await listener.next(Connected)
    await until(lambda: listener.state.instance == farm.world.instance)
    await until(lambda: listener.state.connected)
    assert set(listener.state.builders) == {view.label for view in farm.world.status().builders}
    said = [event.same_master for event in listener.of(Connected)]
    assert said.count(True) > 3
    assert said.count(False) > 3


async def test_a_console_that_is_left_at_any_moment_of_a_loss_ends(farm: SimFarm) -> None:
    dice = random.Random(4)
    for _ in range(25):
        link = Link(farm.address)
        async with Listener(link) as listener:
            await listener.next(Connected)
            late = asyncio.create_task(link.command(Pause(), what="pause"))
            await farm.go()
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
        farm.come()
        assert (await late).settled


# --- commands ---


async def turns_of(link: Link, body: OrderBuilders | Pause | Resume) -> list[Fate]:
    turns: list[Fate] = []
    last = await link.command(body, what="try it", told=turns.append)
    assert turns[-1] == last
    assert len({fate.identity for fate in turns}) == 1
    return turns


async def test_a_command_is_sent_accepted_and_applied(
    farm: SimFarm, listener: Listener, link: Link
) -> None:
    body = OrderBuilders(order=Order.DRAIN, builders=("pi006", "pi007"))
    turns = await turns_of(link, body)
    assert [fate.turn for fate in turns] == [Turn.SENT, Turn.ACCEPTED, Turn.APPLIED]
    [asked] = farm.asked
    assert (asked.body, asked.operator) == (body, "ada@console")
    assert asked.identity == turns[0].identity
    await until(lambda: listener.state.builders["pi007"].view.state == "draining")
    await until(lambda: listener.state.events)
    assert listener.state.events[-1].outcome == "applied"


async def test_a_refusal_has_its_reason(farm: SimFarm, listener: Listener, link: Link) -> None:
    body = OrderBuilders(order=Order.KILL, builders=("pi777",))
    last = (await turns_of(link, body))[-1]
    assert (last.turn, last.text) == (Turn.REFUSED, "there is no builder pi777")


async def test_a_read_only_link_is_refused_by_the_master(farm: SimFarm) -> None:
    link = Link(farm.address, read_only=True)
    async with Listener(link) as listener:
        await until(lambda: listener.state.connected)
        last = await link.command(Pause(), what="pause")
    assert last.turn is Turn.REFUSED
    assert "read-only" in last.text
    assert farm.asked[0].read_only
    assert not farm.world.paused


async def test_nothing_is_kept_for_a_master_that_is_away(
    farm: SimFarm, listener: Listener, link: Link
) -> None:
    await farm.go()
    await listener.next(Lost)
    giving = asyncio.create_task(turns_of(link, Pause()))
    await asyncio.sleep(0)
    assert giving.done(), "it waits for nothing"
    last = (await giving)[-1]
    assert (last.turn, last.text) == (Turn.NOT_SENT, "no master is connected")
    farm.come()
    await listener.next(Connected)
    await farm.step(1)
    assert farm.asked == []


async def test_a_command_in_the_moment_of_a_loss_reaches_no_later_master(
    farm: SimFarm, listener: Listener, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ANSWER_S", 10 * WAIT_S)  # it is not waited for
    turns = set()
    for _ in range(8):
        await farm.go()
        giving = asyncio.create_task(link.command(Pause(), what="pause"))
        await asyncio.sleep(0)
        farm.come(new=True)
        turns.add((await asyncio.wait_for(giving, WAIT_S)).turn)
        await until(lambda: listener.state.instance == farm.world.instance)
        await until(lambda: listener.state.connected)
    assert turns <= {Turn.NOT_SENT, Turn.UNKNOWN}
    assert farm.asked == []


async def test_a_command_waits_for_no_connection_before_the_loss_is_known_either(
    farm: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: ControlClient) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(ControlClient, "disconnected", never)
    link = Link(farm.address)
    async with Listener(link) as listener:
        await until(lambda: listener.state.known)
        assert link._session is not None
        socket: Any = link._session.client._dealer._socket
        await farm.go()
        Path(farm.address.removeprefix("ipc://")).touch()  # a master that is killed leaves it
        async with asyncio.timeout(WAIT_S):
            while await socket.poll(0, zmq.POLLOUT):  # noqa: ASYNC110 - nothing else tells of it
                await asyncio.sleep(0.01)
        giving = asyncio.create_task(link.command(Pause(), what="pause"))
        await asyncio.sleep(0)
        farm.come(new=True)
        assert (await giving).turn is Turn.NOT_SENT
        async with asyncio.timeout(WAIT_S):
            await socket.poll(-1, zmq.POLLOUT)
        await farm.step(1)
    assert farm.asked == []


async def test_a_master_that_dies_under_a_command_leaves_its_fate_unknown(
    farm: SimFarm, listener: Listener, link: Link
) -> None:
    farm.answers.clear()
    under_way = asyncio.create_task(turns_of(link, Pause()))
    await until(lambda: farm.asked)
    await farm.go()
    last = (await under_way)[-1]
    assert last.turn is Turn.UNKNOWN
    assert "while it was under way" in last.text
    farm.come(new=True)
    await listener.next(Connected)
    await farm.step(1)
    assert len(farm.asked) == 1  # never again of itself


async def test_a_master_that_does_not_answer_times_out_and_a_late_answer_is_told(
    farm: SimFarm, listener: Listener, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ANSWER_S", 0.3)
    farm.answers.clear()
    told: list[Turn] = []
    answered = asyncio.create_task(
        link.command(Pause(), what="pause", told=lambda fate: told.append(fate.turn))
    )
    await until(lambda: Turn.TIMED_OUT in told)
    farm.answers.set()
    assert (await answered).turn is Turn.APPLIED
    assert [turn for turn in dict.fromkeys(told) if turn is not Turn.ACCEPTED] == [
        Turn.SENT, Turn.TIMED_OUT, Turn.APPLIED,
    ]  # fmt: skip
    told.clear()
    farm.answers.clear()
    late = asyncio.create_task(
        link.command(Resume(), what="resume", told=lambda fate: told.append(fate.turn))
    )
    await until(lambda: Turn.TIMED_OUT in told)
    await farm.go()
    assert (await late).turn is Turn.TIMED_OUT


async def test_a_rolling_drain_is_seen_through_however_long_it_takes(
    farm: SimFarm, listener: Listener, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ANSWER_S", 0.2)
    labels = ("pi006", "pi007", "pi008")
    body = OrderBuilders(order=Order.DRAIN, builders=labels, rolling=1)
    under_way = asyncio.create_task(turns_of(link, body))
    most = 0
    while not under_way.done():
        await farm.step(2.0)
        most = max(most, sum(farm._drains(label) for label in labels))
        await asyncio.sleep(0.01)
    assert (await under_way)[-1].turn is Turn.APPLIED
    assert most == 1


# --- questions and logs ---


async def test_questions_are_answered_or_fail_in_one_line(
    farm: SimFarm, listener: Listener, link: Link
) -> None:
    reply = await link.ask(Explain(project="numpy"), ExplainReply)
    assert reply.answers[0].project == "numpy"
    with pytest.raises(RefusedError, match="answered with ExplainReply"):
        await link.ask(Explain(project="numpy"), Applied)
    await farm.go()
    await listener.next(Lost)
    with pytest.raises(LinkLostError, match="no master"):
        await link.ask(Explain(project="numpy"), ExplainReply)


async def test_a_live_log_goes_on_where_it_was_after_a_loss(
    farm: SimFarm, listener: Listener, link: Link
) -> None:
    farm.log_lines, farm.lines_per_s = 100_000, 5_000
    build = next(machine.task.build for machine in farm.world.machines.values() if machine.task)
    data = b""
    lost = False
    async for piece in link.follow_log(build):
        assert piece.offset == len(data)
        data += piece.data
        if len(data) > 100_000 and not lost:
            lost = True
            await farm.go()
            farm.come()
        if len(data) > 300_000:
            break
    assert farm.log(build)[0].startswith(data)


async def test_a_finished_log_ends_and_a_missing_one_says_so(
    farm: SimFarm, listener: Listener, link: Link
) -> None:
    build = farm.world.builds[-1].build
    data = b"".join([piece.data async for piece in link.follow_log(build)])
    assert data == farm.log(build)[0]
    with pytest.raises(RefusedError, match="no log of build 7"):
        [piece async for piece in link.follow_log(7)]


class Faulty(SimFarm):
    """Puts something else in place of the second piece of the first log that is read."""

    instead: ReplyBody | None = None
    sent = 0

    async def _send(self, peer: Peer, number: int, body: ReplyBody) -> None:
        if isinstance(body, LogPiece):
            self.sent += 1
            if self.sent == 2:
                if self.instead is not None:
                    await SimFarm._send(self, peer, number, self.instead)
                return
        await SimFarm._send(self, peer, number, body)


@pytest.mark.parametrize(
    "instead",
    [None, Problem(reason="the master was restarted in between; ask again")],
    ids=["a piece got lost", "the lease ended"],
)
async def test_a_log_is_whole_whatever_happens_on_its_way(
    tmp_path: Path, brisk: None, instead: Problem | None
) -> None:
    farm = Faulty(socket_in(tmp_path), World(builders=2), hz=0, log_lines=30_000)
    farm.instead = instead
    async with farm:
        link = Link(farm.address)
        async with Listener(link) as listener:
            await until(lambda: listener.state.known)
            build = farm.world.builds[-1].build
            data = b"".join([piece.data async for piece in link.follow_log(build)])
    assert len(data) > 3 * CHUNK_BYTES
    assert data == farm.log(build)[0]


# --- over TCP ---


async def test_over_tcp_only_a_known_key_gets_in(brisk: None) -> None:
    master, ours, strange = new_key_pair(), new_key_pair(), new_key_pair()
    async with Gate(lambda _, public: public == ours.public) as gate:
        gate.guard("operator")
        farm = SimFarm("tcp://127.0.0.1:*", World(builders=2), key=master, domain="operator")
        async with farm:
            known = Link(farm.address, key=ours, server_key=master.public)
            async with Listener(known) as listener:
                await listener.next(Connected)
            unknown = Link(farm.address, key=strange, server_key=master.public)
            async with Listener(unknown) as listener:
                assert "does not know this console's key" in (await listener.next(Lost)).reason
                assert listener.of(Heard) == []


def test_tcp_wants_keys_and_other_addresses_are_refused() -> None:
    with pytest.raises(UsageError, match="key"):
        Link("tcp://127.0.0.1:5554")
    with pytest.raises(UsageError, match="no address of a master"):
        Link("http://example.org")


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
    return socket_in(tmp_path)


async def test_a_master_that_is_killed_or_stopped_is_noticed(
    address: str, brisk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Listener(Link(address)) as listener:
        async with process(address) as child:
            await listener.next(Connected)
            os.kill(child.pid, signal.SIGSTOP)
            monkeypatch.setattr(link_module, "SILENT_S", 1.0)
            assert "silent" in (await listener.next(Lost)).reason
            monkeypatch.setattr(link_module, "SILENT_S", 600.0)
            os.kill(child.pid, signal.SIGCONT)
            assert (await listener.next(Connected)).same_master is True
            child.kill()
            assert "connection ended" in (await listener.next(Lost)).reason
        async with process(address):
            await listener.next(Connected)
            assert listener.state.connected
