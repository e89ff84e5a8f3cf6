"""The console's link and state against a real master: what is shown is what is true."""

import asyncio
import signal

import pytest

from piwheels.errors import RefusedError
from piwheels.model import Outcome
from piwheels.protocol import messages as m
from piwheels.tui import link as link_module
from piwheels.tui.builderrows import builder_rows
from piwheels.tui.farmrows import build_rows, queue_rows
from piwheels.tui.fates import Turn
from piwheels.tui.link import Link
from piwheels.tui.source import Connected, Lost
from tests.master.conftest import Master
from tests.patience import WAIT_S
from tests.tui.listening import Listener, until


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once; silence is for the test that is about it."""
    monkeypatch.setattr(link_module, "RENEW_S", 0.1)
    monkeypatch.setattr(link_module, "SILENT_S", 600.0)
    monkeypatch.setattr(link_module, "FIRST_DELAY_S", 0.05)


def link_to(master: Master, *, read_only: bool = False) -> Link:
    return Link(master.control, who="ann@desk", read_only=read_only)


async def true_now(master: Master) -> m.StatusReply:
    return await master.ask(m.Status(), m.StatusReply)


async def test_a_build_is_shown_from_its_start_to_its_end(master: Master) -> None:
    await master.release("numpy")
    async with Listener(link_to(master)) as listener, master.builder("pi1") as builder:
        state = listener.state
        job = await builder.take()
        await until(lambda: any(b.view.build == job.build for b in state.builders.values()))
        [row] = builder_rows(state, listener.now())
        assert row.cells[2].text == "numpy 1.0"
        assert build_rows(state, listener.now())[0].key == str(job.build)
        await builder.end(Outcome.FAILED, "\x1b[31mno compiler")
        await until(lambda: job.build in state.builds)
        [ended] = build_rows(state, listener.now(), failed=True)
        assert ended.cells[-1].text == "?[31mno compiler"
        await builder.idle()
        await until(lambda: state.builders["pi1"].view.state == "idle")
        true = await true_now(master)
        await until(lambda: state.queues == true.queues)
        assert len(queue_rows(state)) == len(true.queues)


async def test_commands_have_their_fates_and_are_in_the_event_list(master: Master) -> None:
    link = link_to(master)
    async with Listener(link) as listener:
        await until(lambda: listener.state.connected)
        paused = await link.command(m.Pause(), what="pause")
        assert paused.turn is Turn.APPLIED, paused
        await until(lambda: listener.state.paused)
        kill = m.OrderBuilders(order=m.Order.KILL, builders=("pi77",))
        refused = await link.command(kill, what="kill pi77")
        assert refused.turn is Turn.REFUSED
        assert "pi77" in refused.text
        await until(lambda: any("refused" in event.outcome for event in listener.state.events))
        who = {event.who for event in listener.state.events if event.outcome}
        assert who == {"ann@desk"}
    assert (await true_now(master)).paused


async def test_a_read_only_console_is_refused_by_the_master(master: Master) -> None:
    link = link_to(master, read_only=True)
    async with Listener(link) as listener:
        await until(lambda: listener.state.connected)
        fate = await link.command(m.Pause(), what="pause")
    assert fate.turn is Turn.REFUSED
    assert not (await true_now(master)).paused


async def test_a_master_that_is_killed_is_lost_at_once_and_the_next_is_a_new_one(
    master: Master,
) -> None:
    link = link_to(master)
    async with Listener(link) as listener:
        await listener.next(Connected)
        await asyncio.to_thread(master.end, signal.SIGKILL)
        await until(lambda: not listener.state.connected)
        assert "connection ended" in listener.of(Lost)[0].reason
        fate = await link.command(m.Pause(), what="pause")
        assert fate.turn is Turn.NOT_SENT
        await master.start()
        await until(lambda: listener.state.connected)
        assert listener.of(Connected)[-1].same_master is False
        assert not listener.state.paused


async def test_a_master_that_hangs_is_noticed_and_is_the_same_afterwards(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert master.process is not None
    async with Listener(link_to(master)) as listener:
        await listener.next(Connected)
        master.process.send_signal(signal.SIGSTOP)
        try:
            monkeypatch.setattr(link_module, "SILENT_S", 2.0)
            assert "silent" in (await listener.next(Lost)).reason
        finally:
            monkeypatch.setattr(link_module, "SILENT_S", 600.0)
            master.process.send_signal(signal.SIGCONT)
        assert (await listener.next(Connected)).same_master is True


async def test_a_running_log_is_followed_to_its_end(master: Master) -> None:
    await master.release("numpy")
    link = link_to(master)
    async with Listener(link) as listener, master.builder("pi1") as builder:
        await until(lambda: listener.state.connected)
        job = await builder.take()
        log = b"".join(b"line %d\n" % number for number in range(20_000))
        heard = bytearray()

        async def follow() -> None:
            async for piece in link.follow_log(job.build):
                assert piece.offset == len(heard)
                heard.extend(piece.data)

        following = asyncio.create_task(follow())
        for start in range(0, len(log), 50_000):
            data = log[start : start + 50_000]
            await builder.dealer.send(m.LogLines(build=job.build, offset=start, data=data))
        await until(lambda: len(heard) == len(log))
        await builder.end()
        await asyncio.wait_for(following, WAIT_S)
        assert bytes(heard) == log
        with pytest.raises(RefusedError, match="no log of build"):
            [piece async for piece in link.follow_log(10**6)]
        told = await link.ask(m.Explain(project="numpy"), m.ExplainReply)
        assert {answer.project for answer in told.answers} == {"numpy"}
