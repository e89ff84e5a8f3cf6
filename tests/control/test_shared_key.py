"""Two builders that hold one key, as after a card was copied."""

import asyncio
from contextlib import suppress

import pytest

from piwheels.model import Outcome
from piwheels.protocol import messages as m
from tests.control.conftest import Builder, Master


async def send_alternately(first: Builder, second: Builder) -> None:
    """Send heartbeats alternately, forever: one builds, the other waits for a job."""
    while True:
        await first.send_progress("building")
        await second.send_idle()
        await asyncio.sleep(0.5)  # as builders do


@pytest.mark.slow  # what was under way on a cut link may take half a minute
async def test_the_second_builder_with_a_key_is_rejected_and_the_first_continues(
    master: Master,
) -> None:
    await master.release("demo")
    second = master.builder("pi1")
    async with master.builder("pi1") as first:
        await first.take_job()
        await second.say_hello()
        talking = asyncio.create_task(send_alternately(first, second))
        while not (refused := await second.receive_type(m.Rejected)).permanent:
            pass
        talking.cancel()
        with suppress(asyncio.CancelledError):
            await talking
        assert refused.reason.startswith("another builder uses the key of pi1; give this")
        assert "`piw key generate NAME`" in refused.reason
        second.dealer.close()
        third = master.builder("pi1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await third.say_hello()
        third.dealer.close()
        first.job = None
        assert (await first.take_job()).project == "demo"
        await first.finish_build()
    message = await master.ask(m.ListEvents(), m.EventsReply)
    assert [event.what for event in message.events if "two builders" in event.what]


async def test_a_second_process_waits_while_the_build_of_the_first_continues(
    master: Master,
) -> None:
    await master.release("demo")
    async with master.builder("pi1", instance="first") as first:
        await first.take_job()
        second = master.builder("pi1", instance="second")
        refused = await receive_rejection(second)
        assert not refused.permanent
        assert "waiting until that one has been silent" in refused.reason
        second.dealer.close()
        await first.finish_build(Outcome.FAILED)
    assert [row["outcome"] for row in await master.builds()] == ["failed"]


async def test_a_process_is_accepted_immediately_after_the_previous_one_said_goodbye(
    master: Master,
) -> None:
    async with master.builder("pi1", instance="first") as first:
        await first.say_goodbye()
        await master.wait_for_query("SELECT count(*) > 0 FROM events WHERE text LIKE '%pi1 left%'")
        async with master.builder("pi1", instance="second") as second:
            await second.send_idle()
            assert isinstance(await second.receive(), m.NoJobAvailable)


async def receive_rejection(builder: Builder) -> m.Rejected:
    """The rejection that a builder gets as the answer to Hello."""
    greeting = asyncio.create_task(builder.say_hello())
    try:
        return await builder.receive_type(m.Rejected)
    finally:
        greeting.cancel()
        with suppress(asyncio.CancelledError):
            await greeting
