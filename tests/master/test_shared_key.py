"""Two builders that hold one key, as after a card was copied."""

import asyncio
from contextlib import suppress

import pytest

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
        assert refused.reason == (
            "another builder speaks with the key of pi1; give each one of its own"
        )
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
