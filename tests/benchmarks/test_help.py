"""What `piw --help` costs, in processor time, against an interpreter that only imports click."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_help_costs_little_more_than_importing_click() -> None:
    piw = Path(sys.executable).with_name("piw")
    click_s = min(_cpu_s([sys.executable, "-c", "import click"]) for _ in range(10))
    help_s = min(_cpu_s([str(piw), "--help"]) for _ in range(10))
    print(f"piw --help: {help_s * 1000:.0f} ms, import click: {click_s * 1000:.0f} ms")
    assert help_s < 2.5 * click_s


def _cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
