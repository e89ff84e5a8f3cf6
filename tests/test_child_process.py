"""A child process ends, whatever its pipes hold and whoever has them open."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from piwheels import child_process
from piwheels.child_process import kill_process_group
from tests.timeouts import WAIT_S


async def _start(script: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "sh", "-c", script, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )


async def _read_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_S):
        return (await process.stdout.readline()).decode().strip()


async def test_output_that_nobody_reads_does_not_delay_the_end() -> None:
    process = await _start("echo ready; exec cat /dev/zero")
    assert await _read_line(process) == "ready"
    async with asyncio.timeout(WAIT_S):
        while not process.stdout._paused:  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await kill_process_group(process)
    assert process.returncode == -signal.SIGKILL


async def test_the_whole_group_ends() -> None:
    process = await _start("sleep 600 & echo $!; wait")
    child = await _read_line(process)
    async with asyncio.timeout(WAIT_S):
        await kill_process_group(process)
        while Path(f"/proc/{child}").exists() and "Z" not in _state(child):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


async def test_a_process_that_left_the_group_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_process, "_PIPE_TIMEOUT_S", 0.2)
    process = await _start("setsid sleep 600 & echo $!; wait")
    other = int(await _read_line(process))
    try:
        async with asyncio.timeout(WAIT_S):
            await kill_process_group(process)
        assert process.returncode == -signal.SIGKILL
    finally:
        os.kill(other, signal.SIGKILL)
        async with asyncio.timeout(WAIT_S):
            await kill_process_group(process)
