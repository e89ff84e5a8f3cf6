"""How long a farm takes to stop after an interrupt, and a console to end with its terminal."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builder.conftest import tools, upstream
from tests.endtoend.conftest import Farm, add_release, farm, wait_until
from tests.fake_index import FakeIndex
from tests.timeouts import WAIT_S, Stopwatch
from tests.tui.pty_session import PtySession

__all__ = ["farm", "tools", "upstream"]

pytestmark = pytest.mark.slow

_FARM_STOPS_WITHIN_S = 10.0
_CONSOLE_ENDS_WITHIN_S = 2.0
_TRIES = 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_farm_with_a_running_build_stops_within_ten_seconds(
    farm: Farm, upstream: FakeIndex, number: signal.Signals
) -> None:
    add_release(upstream, "slow", "time.sleep(600)")
    process = farm.start("slow")
    wait_until(lambda: ": building" in farm.output, "the build has begun")
    stopwatch = Stopwatch()
    process.send_signal(number)
    process.wait(WAIT_S)
    print(f"\na farm stops {max(0.0, stopwatch.seconds):.1f} s after {number.name}")
    assert stopwatch.seconds < _FARM_STOPS_WITHIN_S


def test_a_console_ends_within_two_seconds_of_its_terminal(tmp_path: Path) -> None:
    farm = [sys.executable, "-m", "tests.simfarm", "--builders", "5", "--socket", f"{tmp_path}/s"]
    command = [sys.executable, "-m", "piwheels", "tui", "--connect", f"ipc://{tmp_path}/s"]
    with subprocess.Popen(farm, stdout=subprocess.DEVNULL) as simulated:
        took = [_seconds_to_end(command) for _ in range(_TRIES)]
        simulated.terminate()
    print(f"\na console ends {', '.join(f'{seconds:.2f}' for seconds in took)} s after hangup")
    assert min(took) < _CONSOLE_ENDS_WITHIN_S


def _seconds_to_end(command: list[str]) -> float:
    with PtySession(command) as terminal:
        terminal.wait_for_text("pi005")
        terminal.hang_up()
        return terminal.end_in_s()
