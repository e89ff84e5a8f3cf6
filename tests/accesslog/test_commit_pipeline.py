"""Work is done in order, one at a time, and not left running."""

import asyncio

import pytest

from piwheels.accesslog.commit_pipeline import CommitPipeline


class _Worker:
    """Work that waits until the test releases it."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.at_work = asyncio.Event()
        self.go = asyncio.Semaphore(0)

    async def work(self, name: str) -> None:
        self.began.append(name)
        self.at_work.set()
        try:
            await self.go.acquire()
        finally:
            self.ended.append(name)
        if name == "bad":
            raise ValueError(name)


async def test_the_caller_continues_and_work_keeps_its_order() -> None:
    worker = _Worker()
    async with CommitPipeline() as behind:
        await behind.submit(worker.work, "a")
        await worker.at_work.wait()
        assert (worker.began, worker.ended) == (["a"], [])
        worker.go.release()
        await behind.submit(worker.work, "b")
        assert worker.ended == ["a"], "b is not begun before a is done"
        worker.go.release()
    assert worker.ended == ["a", "b"]


async def test_an_exception_is_raised_at_the_next_submit() -> None:
    worker = _Worker()

    async def give() -> None:
        async with CommitPipeline() as behind:
            await behind.submit(worker.work, "bad")
            worker.go.release()
            await behind.submit(worker.work, "never")

    with pytest.raises(ValueError, match="bad"):
        await give()
    assert worker.began == ["bad"]


async def test_an_exception_of_the_last_work_is_raised_at_the_end() -> None:
    worker = _Worker()
    worker.go.release()
    behind = CommitPipeline()
    await behind.submit(worker.work, "bad")
    with pytest.raises(ValueError, match="bad"):
        await behind.__aexit__(None, None, None)


async def test_a_failed_caller_waits_for_its_work() -> None:
    worker = _Worker()
    worker.go.release()

    async def give() -> None:
        async with CommitPipeline() as behind:
            await behind.submit(worker.work, "a")
            raise KeyError

    with pytest.raises(KeyError):
        await give()
    assert worker.ended == ["a"]


async def test_a_canceled_caller_cancels_its_work() -> None:
    worker = _Worker()

    async def give() -> None:
        async with CommitPipeline() as behind:
            await behind.submit(worker.work, "a")
            await asyncio.Event().wait()

    giver = asyncio.create_task(give())
    await worker.at_work.wait()
    giver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giver
    assert worker.ended == ["a"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
