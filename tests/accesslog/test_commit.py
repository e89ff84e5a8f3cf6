"""Blocks are committed while the next is read, and each line is counted once."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from piwheels.accesslog import reader
from piwheels.accesslog.logfile import LogFile
from piwheels.accesslog.reader import LogReader
from piwheels.db.access_log_writer import (
    AccessBatch,
    AccessLogWriter,
    ConcurrentReadError,
    LogAdvance,
)
from piwheels.db.database import Database
from tests.accesslog.assertions import assert_counts
from tests.accesslog.conftest import Read, new_context
from tests.accesslog.log_generator import LogGenerator
from tests.timeouts import WAIT_S

_LINES = 3000


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that a short log has many."""
    monkeypatch.setattr(reader, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 100_000)


@pytest.fixture
def traffic(tmp_path: Path) -> LogGenerator:
    """What is in the log."""
    made = LogGenerator(51)
    (tmp_path / "log").write_bytes(b"".join(made.lines(_LINES)))
    return made


class _Watched(LogFile):
    """A log with a method to wait until it is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.taken = 0  # bytes
        self._was_read = asyncio.Event()

    def read(self, size: int) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        self._was_read.set()
        return data

    async def read_beyond(self, position: int) -> None:
        while self.taken <= position:
            self._was_read.clear()
            await self._was_read.wait()


async def test_a_block_is_read_while_the_previous_one_is_committed(
    database: Database, tmp_path: Path, traffic: LogGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, commits = AccessLogWriter.commit, 0
    with _Watched(tmp_path / "log") as file:

        async def when_read_on(self: AccessLogWriter, step: LogAdvance, batch: AccessBatch) -> int:
            nonlocal commits
            commits += 1
            if commits < 3:  # there is more to read then
                await asyncio.wait_for(file.read_beyond(step.position + reader.PIECE_BYTES), WAIT_S)
            return await commit(self, step, batch)

        monkeypatch.setattr(AccessLogWriter, "commit", when_read_on)
        await LogReader(new_context(database, tmp_path), file).read_to_end()
    assert commits > 3
    await assert_counts(database, traffic.counts)


async def test_two_readers_at_the_same_time_count_a_log_once(
    dsn: str, database: Database, tmp_path: Path, traffic: LogGenerator
) -> None:
    async with await Database.connect(dsn, role="another reader") as other:
        with LogFile(tmp_path / "log") as one, LogFile(tmp_path / "log") as two:
            await asyncio.gather(
                LogReader(new_context(database, tmp_path), one).read_to_end(),
                LogReader(new_context(other, tmp_path), two).read_to_end(),
            )
    await assert_counts(database, traffic.counts)


async def test_a_concurrent_read_is_detected_and_resumed(
    database: Database, tmp_path: Path, traffic: LogGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, commits = AccessLogWriter.commit, 0

    async def moved_at_times(self: AccessLogWriter, step: LogAdvance, batch: AccessBatch) -> int:
        nonlocal commits
        commits += 1
        number = await commit(self, step, batch)
        if commits % 3 == 0:  # as if another process had done it
            raise ConcurrentReadError(step.name)
        return number

    monkeypatch.setattr(AccessLogWriter, "commit", moved_at_times)
    with LogFile(tmp_path / "log") as file:
        await LogReader(new_context(database, tmp_path), file).read_to_end()
    assert commits > 3
    await assert_counts(database, traffic.counts)


async def test_a_stopped_reader_counts_nothing_twice(
    read: Read, database: Database, tmp_path: Path, traffic: LogGenerator
) -> None:
    size = (tmp_path / "log").stat().st_size
    for tenths in range(10):
        with _Watched(tmp_path / "log") as file:
            task = asyncio.create_task(
                LogReader(new_context(database, tmp_path), file).read_to_end()
            )
            # A reader begins with a look at the first line, and at what is known of it.
            await file.read_beyond(size * tenths // 10)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    await read(tmp_path / "log")
    await assert_counts(database, traffic.counts)
