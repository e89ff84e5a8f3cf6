"""Functions in a child process: what they return, what they raise, and what ends them."""

import asyncio
import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from piwheels.errors import RejectedError
from piwheels.isolated_process import Limits, run_isolated
from piwheels.model import WheelCompatibility
from tests.isolated_functions import (
    allocate_too_much,
    kill_self,
    raise_disk_full,
    raise_name_too_long,
    raise_rejected,
    raise_unexpected,
    recurse,
    return_compatibility,
    return_too_much,
    run_forever,
)
from tests.timeouts import WAIT_S

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


async def test_the_result_of_the_function_is_returned(tmp_path: Path) -> None:
    kind = await run_isolated(
        Limits(), return_compatibility, "py3-none-any", path=tmp_path / "2.36"
    )
    assert kind == WheelCompatibility(tags="py3-none-any", glibc="2.36")


async def test_a_rejection_of_the_function_is_raised() -> None:
    with pytest.raises(RejectedError, match="not this"):
        await run_isolated(Limits(), raise_rejected)


@pytest.mark.parametrize(
    ("function", "limits", "message"),
    [
        (raise_unexpected, Limits(), "it cannot be read: KeyError: 'odd'"),
        (raise_name_too_long, Limits(), "it cannot be read: File name too long"),
        (recurse, Limits(), "it cannot be read: RecursionError"),
        (run_forever, Limits(cpu_s=1), "more than 1 s of processor time"),
        (allocate_too_much, Limits(memory_bytes=256 << 20), "more memory than allowed"),
        (return_too_much, Limits(max_result_bytes=1 << 20), "longer than 1 MiB"),
    ],
    ids=["exception", "name", "recursion", "time", "memory", "answer"],
)
async def test_errors_caused_by_a_file_are_rejections(
    function: Callable[[], int | bytes], limits: Limits, message: str
) -> None:
    with pytest.raises(RejectedError, match=message):
        await run_isolated(limits, function)


async def test_a_crash_of_the_parser_is_a_rejection() -> None:
    with pytest.raises(RejectedError, match="SIGSEGV"):
        await run_isolated(Limits(), kill_self, signal.SIGSEGV)


async def test_a_killed_process_is_not_a_rejection() -> None:
    with pytest.raises(OSError, match="SIGKILL"):
        await run_isolated(Limits(), kill_self, signal.SIGKILL)


async def test_a_full_disk_is_not_a_rejection(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        await run_isolated(Limits(), raise_disk_full, tmp_path)
    assert raised.value.errno == errno.ENOSPC


async def test_a_timeout_is_not_a_rejection() -> None:
    with pytest.raises(TimeoutError, match="no answer after"):
        await run_isolated(Limits(wall_s=0.5), run_forever)


async def test_a_canceled_call_leaves_no_process(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    task = asyncio.create_task(run_isolated(Limits(), run_forever, note))
    async with asyncio.timeout(WAIT_S):
        while not (note.exists() and note.read_text()):  # noqa: ASYNC110 - a child writes it
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


async def test_a_process_with_limits_can_run_isolated_functions(tmp_path: Path) -> None:
    script = (
        "import asyncio, resource\n"
        "from piwheels.isolated_process import Limits, run_isolated\n"
        "from tests.isolated_functions import Path, return_compatibility\n"
        "resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "result = run_isolated(Limits(memory_bytes=1 << 30), return_compatibility, 'x', Path('y'))\n"
        "print(asyncio.run(result))\n"
    )
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await done.communicate()
    assert output.decode() == "WheelCompatibility(tags='x', glibc='y')\n"


@pytest.mark.parametrize(
    ("board_mb", "share_mb"), [(256, 256), (512, 256), (1024, 512), (8192, 768)]
)
def test_a_small_board_keeps_half_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, board_mb: int, share_mb: int
) -> None:
    sizes = {"SC_PHYS_PAGES": board_mb << 8, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert Limits().memory_bytes == share_mb << 20


async def test_limits_apply_only_to_the_child() -> None:
    before = [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)]
    with pytest.raises(RejectedError):
        await run_isolated(Limits(cpu_s=1), raise_rejected)
    assert before == [resource.getrlimit(k) for k in (resource.RLIMIT_AS, resource.RLIMIT_CPU)]


def test_a_child_of_a_killed_process_prints_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "piwheels.isolated_process", "10", str(1 << 30)],
        input=pickle.dumps((len, ("answer",), {})),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert done.stderr == b""
