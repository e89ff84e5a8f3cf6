"""What costs much is looked up once for all who ask."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from piwheels.control.adaptive_cache import AdaptiveCache


class Counter:
    """Counts its calls, and returns when `answers` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()

    async def __call__(self) -> int:
        self.asked += 1
        await self.answers.wait()
        return self.asked


async def test_concurrent_calls_share_one_load() -> None:
    count = Counter()
    seldom = AdaptiveCache(count, cost_factor=1e6)
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(seldom.get()) for _ in range(50)]
        await asyncio.sleep(0)
        count.answers.set()
    assert [task.result() for task in asking] == [1] * 50
    assert await seldom.get() == 1


async def test_a_canceled_caller_does_not_cancel_the_load() -> None:
    count = Counter()
    seldom = AdaptiveCache(count, cost_factor=1e6)
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await seldom.get()
    count.answers.set()
    assert await seldom.get() == 1


async def test_without_a_cost_factor_each_call_loads() -> None:
    count = Counter()
    count.answers.set()
    seldom = AdaptiveCache(count, cost_factor=0.0)
    assert [await seldom.get() for _ in range(3)] == [1, 2, 3]


async def test_a_slow_refresh_returns_the_cached_value() -> None:
    count = Counter()
    count.answers.set()
    seldom = AdaptiveCache(count, cost_factor=0.0)
    first = await seldom.get_within(0.0)
    count.answers.clear()
    again = await seldom.get_within(0.0)
    assert (first.value, again.value, again.loaded_at) == (1, 1, first.loaded_at)
    count.answers.set()
    while (await seldom.get_within(1.0)).value == 1:
        pass


async def test_the_first_value_is_waited_for() -> None:
    count = Counter()
    seldom = AdaptiveCache(count, cost_factor=0.0)
    asking = asyncio.create_task(seldom.get_within(0.0))
    await asyncio.sleep(0.01)
    assert not asking.done()
    count.answers.set()
    assert (await asking).value == 1


async def test_an_expensive_value_is_refreshed_after_the_maximum_age() -> None:
    count = Counter()
    count.answers.set()
    seldom = AdaptiveCache(count, cost_factor=1e9, max_age_s=0.0)
    assert [await seldom.get() for _ in range(2)] == [1, 2]


async def test_a_value_invalidated_during_its_refresh_is_loaded_again() -> None:
    count = Counter()
    seldom = AdaptiveCache(count, cost_factor=1e9)
    asking = asyncio.create_task(seldom.get())
    await asyncio.sleep(0)
    seldom.invalidate()
    count.answers.set()
    assert await asking == 1
    while await seldom.get() == 1:  # noqa: ASYNC110 - a refresh rests as long as it took
        await asyncio.sleep(0)


async def test_after_a_failure_the_next_call_loads_again() -> None:
    outcomes: Iterator[int | Exception] = iter([ZeroDivisionError(), 7])

    async def load() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    seldom = AdaptiveCache(load, cost_factor=1e6)
    failed = await asyncio.gather(seldom.get(), return_exceptions=True)
    assert isinstance(failed[0], ZeroDivisionError)
    assert await seldom.get() == 7
