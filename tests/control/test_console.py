"""The console's connection and state with a real master."""

import asyncio
import signal

import pytest

from piwheels.errors import RejectedError
from piwheels.model import Outcome
from piwheels.protocol import messages as m
from piwheels.tui.client import connection as link_module
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.command_status import CommandState
from piwheels.tui.model.source_events import Connected, Disconnected
from piwheels.tui.model.tables.builders import builder_rows
from piwheels.tui.model.tables.builds import build_rows
from piwheels.tui.model.tables.queues import queue_rows
from tests.control.conftest import Master
from tests.timeouts import WAIT_S
from tests.tui.source_probe import SourceProbe, wait_until


@pytest.fixture(autouse=True)
def fast_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect immediately; never disconnect because of silence."""
    monkeypatch.setattr(link_module, "RENEWAL_INTERVAL_S", 0.1)
    monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 600.0)
    monkeypatch.setattr(link_module, "MIN_RETRY_DELAY_S", 0.05)


def connect_to(master: Master, *, read_only: bool = False) -> MasterConnection:
    return MasterConnection(master.control, operator_name="ann@desk", read_only=read_only)


async def current_status(master: Master) -> m.StatusReply:
    return await master.ask(m.Status(), m.StatusReply)


async def test_a_build_is_shown_from_start_to_end(master: Master) -> None:
    await master.release("numpy")
    async with (
        SourceProbe(connect_to(master)) as listener,
        master.builder("pi1") as builder,
        builder.keep_alive(),
    ):
        state = listener.state
        job = await builder.take_job()
        await wait_until(lambda: any(b.view.build == job.build_id for b in state.builders.values()))
        [row] = builder_rows(state, listener.now())
        assert row.cells[2].text == "numpy 1.0"
        assert build_rows(state, listener.now())[0].key == str(job.build_id)
        await builder.finish_build(Outcome.FAILED, "\x1b[31mno compiler")
        await wait_until(lambda: job.build_id in state.builds)
        [ended] = build_rows(state, listener.now(), failed=True)
        assert ended.cells[-1].text == "?[31mno compiler"
        await builder.send_idle()
        await wait_until(lambda: state.builders["pi1"].view.state == "idle")
        async with asyncio.timeout(WAIT_S):  # both are counted now and then
            while state.queues != (await current_status(master)).queues:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert len(queue_rows(state)) == len(state.queues)


async def test_results_of_commands_are_in_the_event_list(master: Master) -> None:
    link = connect_to(master)
    async with SourceProbe(link) as listener:
        await wait_until(lambda: listener.state.connected)
        paused = await link.command(m.Pause(), description="pause")
        assert paused.state is CommandState.APPLIED, paused
        await wait_until(lambda: listener.state.paused)
        kill = m.CommandBuilders(command=m.BuilderCommand.KILL, builders=("pi77",))
        refused = await link.command(kill, description="kill pi77")
        assert refused.state is CommandState.REJECTED
        assert "pi77" in refused.text
        await wait_until(
            lambda: any("rejected" in event.outcome for event in listener.state.events)
        )
        who = {event.who for event in listener.state.events if event.outcome}
        assert who == {"ann@desk"}
    assert (await current_status(master)).paused


async def test_a_read_only_console_is_rejected_by_the_master(master: Master) -> None:
    link = connect_to(master, read_only=True)
    async with SourceProbe(link) as listener:
        await wait_until(lambda: listener.state.connected)
        status = await link.command(m.Pause(), description="pause")
    assert status.state is CommandState.REJECTED
    assert not (await current_status(master)).paused


async def test_a_killed_master_is_noticed_immediately_and_its_successor_is_a_new_instance(
    master: Master,
) -> None:
    link = connect_to(master)
    async with SourceProbe(link) as listener:
        await listener.next(Connected)
        await asyncio.to_thread(master.stop, signal.SIGKILL)
        await wait_until(lambda: not listener.state.connected)
        assert "connection ended" in listener.events_of(Disconnected)[0].reason
        status = await link.command(m.Pause(), description="pause")
        assert status.state is CommandState.NOT_SENT
        await master.start()
        await wait_until(lambda: listener.state.connected)
        assert listener.events_of(Connected)[-1].same_master is False
        assert not listener.state.paused


@pytest.mark.slow
async def test_a_hanging_master_is_noticed_and_is_the_same_instance_afterwards(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert master.process is not None
    async with SourceProbe(connect_to(master)) as listener:
        await listener.next(Connected)
        master.process.send_signal(signal.SIGSTOP)
        try:
            monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 2.0)
            assert "silent" in (await listener.next(Disconnected)).reason
        finally:
            monkeypatch.setattr(link_module, "SILENCE_LIMIT_S", 600.0)
            master.process.send_signal(signal.SIGCONT)
        assert (await listener.next(Connected)).same_master is True


async def test_a_running_log_is_followed_to_its_end(master: Master) -> None:
    await master.release("numpy")
    link = connect_to(master)
    async with SourceProbe(link) as listener, master.builder("pi1") as builder:
        await wait_until(lambda: listener.state.connected)
        job = await builder.take_job()
        log = b"".join(b"line %d\n" % number for number in range(20_000))
        received = bytearray()

        async def follow() -> None:
            async for piece in link.follow_log(job.build_id):
                assert piece.offset == len(received)
                received.extend(piece.data)

        following = asyncio.create_task(follow())
        for start in range(0, len(log), 50_000):
            data = log[start : start + 50_000]
            await builder.dealer.send(m.LogChunk(build=job.build_id, offset=start, data=data))
        await wait_until(lambda: len(received) == len(log))
        await builder.finish_build()
        await asyncio.wait_for(following, WAIT_S)
        assert bytes(received) == log
        with pytest.raises(RejectedError, match="no log of build"):
            [piece async for piece in link.follow_log(10**6)]
        message = await link.request(m.Explain(project="numpy"), m.ExplainReply)
        assert {answer.project for answer in message.answers} == {"numpy"}
