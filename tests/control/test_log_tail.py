"""The end of a log, while a builder's client sends it to a real master and after the build."""

import asyncio
from pathlib import Path

import pytest

from piwheels.builder.build_log import OnPhase
from piwheels.builder.job_dir import JobDir
from piwheels.errors import RejectedError
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.tui.model.log_tail import TailBuffer
from tests.control.conftest import Master
from tests.control.test_builder_health import real_builder, wait_for_view
from tests.timeouts import WAIT_S

LINES = [f"line {number}" for number in range(2000)]


async def test_the_end_of_a_log_grows_with_its_build_and_stays_when_it_has_ended(
    shared: Master, tmp_path: Path
) -> None:
    go_on = asyncio.Event()

    async def print_lines(job: Job, job_dir: JobDir, _: OnPhase) -> m.BuildFinished:
        job_dir.append_log("".join(f"{line}\n" for line in LINES).encode())
        await go_on.wait()
        job_dir.append_log(b"the last one\n")
        return m.BuildFinished(
            build=job.build_id, outcome=Outcome.FAILED, reason="it broke", duration_s=1.0
        )

    await shared.release("demo")
    async with (
        shared.watch() as watcher,
        real_builder(shared, tmp_path, HostMetrics, print_lines),
    ):
        build = (await wait_for_view(watcher, lambda it: it.build is not None)).build
        assert build is not None
        tail = TailBuffer()
        await read_until(shared, build, tail, LINES[-1])
        assert tail.end == sum(len(line) + 1 for line in LINES)
        assert tail.lines == LINES[-len(tail.lines) :], "the line that was cut is left out"
        more = await shared.ask(m.TailLog(build=build, known=tail.end), m.LogTail)
        assert (more.offset, more.data, more.running) == (tail.end, b"", True)
        go_on.set()
        await shared.wait_for_query("SELECT count(*) = 1 FROM builds")
        ended = await shared.ask(m.TailLog(build=build, known=tail.end), m.LogTail)
        assert (ended.data, ended.running) == (b"the last one\n", False)
        whole = await shared.ask(m.TailLog(build=build), m.LogTail)
        assert len(whole.data) == m.MAX_TAIL_BYTES
        assert whole.data.endswith(b"line 1999\nthe last one\n")
    with pytest.raises(RejectedError, match="there is no log of build 1000000"):
        await shared.ask(m.TailLog(build=10**6), m.LogTail)


async def read_until(master: Master, build: int, tail: TailBuffer, last: str) -> None:
    """Ask again for what follows until the log ends with a line."""
    async with asyncio.timeout(WAIT_S):
        while tail.lines[-1:] != [last]:
            tail.add(await master.ask(m.TailLog(build=build, known=tail.end), m.LogTail))
            await asyncio.sleep(0.05)
