"""Commands to a real master: answered, rejected, repeated, and published to all consoles."""

import asyncio

import pytest

from piwheels.db import catalog
from piwheels.errors import RejectedError
from piwheels.model import AuditEvent
from piwheels.protocol import messages as m
from piwheels.protocol.client import ControlClient
from tests.control.conftest import Master
from tests.timeouts import WAIT_S


async def replies(
    client: ControlClient, body: m.RequestBody, idempotency_key: str = ""
) -> list[m.ReplyBody]:
    """Every answer to a command, up to the one that ends it."""
    found: list[m.ReplyBody] = []
    async with client.stream(body, idempotency_key=idempotency_key) as talk:
        while not found or isinstance(found[-1], m.Accepted):
            found.append(await talk.next(WAIT_S))
    return found


async def test_a_command_is_accepted_and_then_applied(shared: Master) -> None:
    async with shared.client() as client:
        accepted, applied = await replies(client, m.Pause())
        assert accepted == m.Accepted()
        assert isinstance(applied, m.CommandSucceeded)
        (status,) = await replies(client, m.Status())
    assert isinstance(status, m.StatusReply)
    assert status.paused


async def test_a_repeated_command_is_executed_once(shared: Master) -> None:
    async with shared.client() as client:
        first = await replies(client, m.Pause(), idempotency_key="one")
        await replies(client, m.Resume(), idempotency_key="two")
        again = await replies(client, m.Pause(), idempotency_key="one")
        assert again == first
        status = await client.request(m.Status(), m.StatusReply)
        assert not status.paused, "the repeat changed nothing"
        events = await client.request(m.ListEvents(), m.EventsReply)
    requested = [event.what for event in events.events if event.who == "ann@desk"]
    assert requested == ["resume the farm", "pause the farm"]


async def test_concurrent_commands_with_one_idempotency_key_are_executed_once(
    shared: Master,
) -> None:
    await shared.release("demo")
    async with shared.client() as client:
        body = m.Remove(project="demo")
        both = await asyncio.gather(*(replies(client, body, idempotency_key="x") for _ in range(2)))
    assert both[0] == both[1]
    assert isinstance(both[0][-1], m.CommandSucceeded)


async def test_a_read_only_console_changes_nothing(shared: Master) -> None:
    await shared.release("demo")
    commands: list[m.RequestBody] = [
        m.Pause(),
        m.CommandBuilders(command=m.BuilderCommand.KILL, builders=("pi1",)),
        m.Remove(project="demo"),
        m.Prioritize(project="demo", advance_s=60.0),
        m.ImportWheel(filename="a-1-py3-none-any.whl", size_bytes=1, sha256="0"),
        m.StopMaster(),
    ]
    async with shared.client(read_only=True) as client:
        for body in commands:
            with pytest.raises(RejectedError, match="read-only"):
                await replies(client, body)
        status = await client.request(m.Status(), m.StatusReply)
        events = await client.request(m.ListEvents(), m.EventsReply)
    assert not status.paused
    assert await catalog.existing_projects(shared.db, ["demo"]) == {"demo"}
    message = [(event.what, event.outcome[:19]) for event in events.events if event.outcome]
    assert ("stop the master", "rejected: this cons") in message
    assert len(message) == len(commands)


async def test_every_command_and_its_outcome_is_published_to_subscribers(shared: Master) -> None:
    async with shared.watch("ann@desk") as ann, shared.watch("bob@sofa") as bob:
        await shared.ask(m.Pause(), m.CommandSucceeded, user="ann@desk")
        with pytest.raises(RejectedError, match="no project nobody"):
            await shared.ask(m.Remove(project="nobody"), m.CommandSucceeded, user="bob@sofa")
        for watcher in (ann, bob):
            paused = await watcher.wait_for_event(AuditEvent, lambda event: bool(event.outcome))
            refused = await watcher.wait_for_event(AuditEvent, lambda event: bool(event.outcome))
            assert (paused.who, paused.what, paused.outcome) == (
                "ann@desk", "pause the farm", "applied",
            )  # fmt: skip
            assert (refused.who, refused.what) == ("bob@sofa", "remove nobody")
            assert refused.outcome.startswith("rejected: this farm has no project")
            assert 0 < paused.event_id < refused.event_id


async def test_the_event_list_is_paginated(shared: Master) -> None:
    for number in range(5):
        await shared.ask(
            m.Pause() if number % 2 else m.Resume(), m.CommandSucceeded, user=f"op{number}"
        )
    newest = await shared.ask(m.ListEvents(limit=2), m.EventsReply)
    assert [event.who for event in newest.events] == ["op4", "op3"]
    before = newest.events[-1].event_id
    older = await shared.ask(m.ListEvents(limit=2, before=before), m.EventsReply)
    assert [event.who for event in older.events] == ["op2", "op1"]


async def test_operator_names_are_sanitized_in_the_event_list(shared: Master) -> None:
    await shared.ask(m.Pause(), m.CommandSucceeded, user="ann\x1b[2J\n" + "x" * 150)
    (event,) = (await shared.ask(m.ListEvents(limit=1), m.EventsReply)).events
    assert event.who.startswith("ann?[2J?x")
    assert len(event.who) == 80


async def test_a_command_with_values_that_the_database_rejects_is_answered(shared: Master) -> None:
    with pytest.raises(RejectedError):
        await shared.ask(m.Skip(project="a\0b", reason="x"), m.CommandSucceeded)
    assert (await shared.ask(m.Status(), m.StatusReply)).instance


async def test_stop_is_answered_before_the_master_ends(master: Master) -> None:
    applied = await master.ask(m.StopMaster(), m.CommandSucceeded)
    assert "stopping" in applied.text
    assert master.process is not None
    assert master.process.wait(WAIT_S) == 0
    master.process = None
    assert "ann@desk: stop the master: applied" in master.log


async def test_a_restarted_master_has_another_instance_id(master: Master) -> None:
    first = (await master.ask(m.Status(), m.StatusReply)).instance
    assert first == (await master.ask(m.Status(), m.StatusReply)).instance
    master.stop()
    await master.start()
    assert (await master.ask(m.Status(), m.StatusReply)).instance not in {"", first}
