"""Supervised processes: when a failure is raised, and when the process is restarted."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from piwheels.errors import EXIT_STAYS_ENDED
from piwheels.local import supervisor
from piwheels.local.supervisor import ProcessFailedError, SupervisedProcess
from tests.timeouts import WAIT_S

READY = """
import os, socket
channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
channel.sendto(b"STATUS=x\\nREADY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_RESTART_DELAY_S", 0.01)


def make_process(folder: Path, script: str, **facts: bool) -> SupervisedProcess:
    """A process that notes each of its runs."""
    noted = f"open({str(folder / 'runs')!r}, 'a').write('x')\n{script}"
    return SupervisedProcess("part", [sys.executable, "-c", noted], folder / "part.log", **facts)  # type: ignore[arg-type]


def run_count(folder: Path) -> int:
    return len((folder / "runs").read_text())


async def test_a_process_that_cannot_start_is_reported_at_its_first_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_MIN_UPTIME_S", 0.0)  # it took its time, as on a slow board
    part = make_process(tmp_path, "raise SystemExit('no sandbox here')", sends_ready=True)
    with pytest.raises(ProcessFailedError, match="no sandbox here"):
        await asyncio.wait_for(part.supervise(), WAIT_S)
    assert run_count(tmp_path) == 1


async def test_a_process_that_was_ready_is_restarted_until_it_fails_too_often(
    tmp_path: Path,
) -> None:
    script = f"{READY}\nraise SystemExit('the master refuses')"
    part = make_process(tmp_path, script, sends_ready=True)
    with pytest.raises(ProcessFailedError, match="the master refuses"):
        await asyncio.wait_for(part.supervise(), WAIT_S)
    assert run_count(tmp_path) == 4


async def test_a_process_that_was_ready_for_long_is_always_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_MIN_UPTIME_S", 0.0)
    part = make_process(tmp_path, f"{READY}\nraise SystemExit('now and then')", sends_ready=True)
    await supervise_until_runs(part, tmp_path, 6)


async def test_a_process_killed_before_it_is_ready_is_restarted(tmp_path: Path) -> None:
    script = f"import os, signal\nos.kill(os.getpid(), {signal.SIGKILL.value})"
    await supervise_until_runs(make_process(tmp_path, script, sends_ready=True), tmp_path, 6)


async def test_a_process_without_notifications_may_fail_a_few_times(tmp_path: Path) -> None:
    part = make_process(tmp_path, "raise SystemExit('the port is taken')")
    with pytest.raises(ProcessFailedError, match="the port is taken"):
        await asyncio.wait_for(part.supervise(), WAIT_S)
    assert run_count(tmp_path) == 4


async def test_a_builder_ended_by_an_operator_is_not_restarted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part = make_process(tmp_path, f"raise SystemExit({EXIT_STAYS_ENDED})", sends_ready=True)
    await asyncio.wait_for(part.supervise(), WAIT_S)
    assert run_count(tmp_path) == 1
    assert "stays ended until the next `piw up`" in caplog.text


async def test_processes_do_not_notify_the_systemd_of_their_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    script = "import os; raise SystemExit(bool({'WATCHDOG_USEC', 'NOTIFY_SOCKET'} & {*os.environ}))"
    await asyncio.wait_for(make_process(tmp_path, script).run(), WAIT_S)


async def supervise_until_runs(part: SupervisedProcess, folder: Path, wanted: int) -> None:
    """Supervise until it has run so often, and stop."""
    supervising = asyncio.create_task(part.supervise())
    async with asyncio.timeout(WAIT_S):
        while not (folder / "runs").exists() or run_count(folder) < wanted:
            await part.wait_for_exit()
            await asyncio.sleep(0.01)
            assert not supervising.done()
    await part.stop()
    await supervising
