"""What costs much is looked up once for all who ask."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from piwheels.master.seldom import Seldom


class Count:
    """Counts how often it was asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()

    async def __call__(self) -> int:
        self.asked += 1
        await self.answers.wait()
        return self.asked


async def test_all_who_ask_at_once_get_the_one_answer() -> None:
    count = Count()
    seldom = Seldom(count, rest=1e6)
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(seldom.current()) for _ in range(50)]
        await asyncio.sleep(0)
        count.answers.set()
    assert [task.result() for task in asking] == [1] * 50
    assert await seldom.current() == 1


async def test_one_who_gives_up_waiting_does_not_end_it_for_the_next() -> None:
    count = Count()
    seldom = Seldom(count, rest=1e6)
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await seldom.current()
    count.answers.set()
    assert await seldom.current() == 1


async def test_without_a_rest_it_is_looked_up_each_time() -> None:
    count = Count()
    count.answers.set()
    seldom = Seldom(count, rest=0.0)
    assert [await seldom.current() for _ in range(3)] == [1, 2, 3]


async def test_the_answer_in_memory_is_given_where_refreshing_takes_too_long() -> None:
    count = Count()
    count.answers.set()
    seldom = Seldom(count, rest=0.0)
    first = await seldom.recent(0.0)
    count.answers.clear()
    again = await seldom.recent(0.0)
    assert (first.value, again.value, again.at) == (1, 1, first.at)
    count.answers.set()
    while (await seldom.recent(1.0)).value == 1:
        pass


async def test_the_first_answer_is_waited_for() -> None:
    count = Count()
    seldom = Seldom(count, rest=0.0)
    asking = asyncio.create_task(seldom.recent(0.0))
    await asyncio.sleep(0.01)
    assert not asking.done()
    count.answers.set()
    assert (await asking).value == 1


async def test_an_expensive_answer_is_refreshed_after_the_longest_rest() -> None:
    count = Count()
    count.answers.set()
    seldom = Seldom(count, rest=1e9, longest_rest_s=0.0)
    assert [await seldom.current() for _ in range(2)] == [1, 2]


async def test_an_answer_that_expires_during_its_refresh_is_refreshed_again() -> None:
    count = Count()
    seldom = Seldom(count, rest=1e9)
    asking = asyncio.create_task(seldom.current())
    await asyncio.sleep(0)
    seldom.expire()
    count.answers.set()
    assert await asking == 1
    while await seldom.current() == 1:  # noqa: ASYNC110 - a refresh rests as long as it took
        await asyncio.sleep(0)


async def test_after_a_failure_the_next_one_looks_again() -> None:
    outcomes: Iterator[int | Exception] = iter([ZeroDivisionError(), 7])

    async def look_up() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    seldom = Seldom(look_up, rest=1e6)
    failed = await asyncio.gather(seldom.current(), return_exceptions=True)
    assert isinstance(failed[0], ZeroDivisionError)
    assert await seldom.current() == 7
