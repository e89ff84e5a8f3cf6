"""Two builders that hold one key, as after a card was copied."""

import asyncio
from contextlib import suppress

import pytest

from piwheels.model import Outcome
from piwheels.protocol import messages as m
from tests.master.conftest import Builder, Master


async def talk_on(first: Builder, second: Builder) -> None:
    """Speak by turns, for ever: one builds, the other waits for work."""
    while True:
        await first.work("building")
        await second.idle()
        await asyncio.sleep(0.5)  # as builders do


@pytest.mark.slow  # what was under way on a cut link may take half a minute
async def test_the_one_that_came_last_is_turned_away_and_the_first_works_on(
    master: Master,
) -> None:
    await master.release("demo")
    second = master.builder("pi1")
    async with master.builder("pi1") as first:
        await first.take()
        await second.greet()
        talking = asyncio.create_task(talk_on(first, second))
        while not (refused := await second.hear(m.Refused)).fatal:
            pass
        talking.cancel()
        with suppress(asyncio.CancelledError):
            await talking
        assert refused.reason.startswith("another builder speaks with the key of pi1; give this")
        assert "`piw key new NAME`" in refused.reason
        second.dealer.close()
        third = master.builder("pi1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await third.greet()
        third.dealer.close()
        first.job = None
        assert (await first.take()).project == "demo"
        await first.end()
    told = await master.ask(m.ListEvents(), m.EventsReply)
    assert [event.what for event in told.events if "two builders" in event.what]


async def test_a_second_process_waits_and_the_build_of_the_first_goes_on(master: Master) -> None:
    await master.release("demo")
    async with master.builder("pi1", instance="first") as first:
        await first.take()
        second = master.builder("pi1", instance="second")
        refused = await refusal(second)
        assert not refused.fatal
        assert "waiting until it has been silent" in refused.reason
        second.dealer.close()
        await first.end(Outcome.FAILED)
    assert [row["outcome"] for row in await master.builds()] == ["failed"]


async def test_a_process_that_said_goodbye_is_followed_at_once(master: Master) -> None:
    async with master.builder("pi1", instance="first") as first:
        await first.bye()
        await master.until("SELECT count(*) > 0 FROM events WHERE action LIKE '%pi1 left%'")
        async with master.builder("pi1", instance="second") as second:
            await second.idle()
            assert isinstance(await second.next(), m.Wait)


async def refusal(builder: Builder) -> m.Refused:
    """What a builder that says Hello hears instead of being welcomed."""
    greeting = asyncio.create_task(builder.greet())
    try:
        return await builder.hear(m.Refused)
    finally:
        greeting.cancel()
        with suppress(asyncio.CancelledError):
            await greeting
