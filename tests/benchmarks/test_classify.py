"""What it costs to judge the log of a failed build."""

import time

import pytest

from piwheels.causes import classify
from tests.benchmarks.cpu_calibration import piece_of_work, slowness
from tests.causes.samples import GCC_END

pytestmark = pytest.mark.slow

_FLOODS = [
    "\n", " ", "x", "1:", "\x1b]", "\x1b[1", "a.c:1:2: ", "fatal error: ", "/gcc", "Error.",
    "ld: ", "error: subprocess-exited-with-error\n", "CMake Error at x (message):\n",
    "  12 | MemoryError\n",
    "MemoryError: \n\n", "rustc Rust ", "requires Rust\n", "note: No space left on device\n",
    "error: command 'gcc' failed with exit code 1\n", "x = out of memory\n", "\u00e9\n",
]  # fmt: skip


def _cost_s(text: str, size: int) -> float:
    log = (text * (size // len(text) + 1))[:size]
    costs = []
    for _ in range(3):
        began = time.process_time()
        classify(log)
        costs.append(time.process_time() - began)
    return min(costs)


@pytest.mark.parametrize("text", _FLOODS)
def test_the_cost_is_linear_in_the_length_of_the_log(text: str) -> None:
    _cost_s(text, 1000)  # compiles what is compiled once
    small, large = _cost_s(text, 64 * 1024), _cost_s(text, 1024 * 1024)
    # Sixteen times as much; a quadratic search would cost 256 times.
    assert large < 64 * max(small, 0.002)


def test_a_long_build_log_is_analyzed_in_a_tenth_of_a_second() -> None:
    lines = [
        f"  gcc -Wall -fPIC -I/usr/include/python3.11 -DNAME=x{number} -c src/part{number}.c -o "
        f"build/temp/src/part{number}.o\n"
        f"  src/part{number}.c:7:5: warning: implicit declaration of function 'x{number}'\n"
        f"      {number % 900} |     x();\n"
        "        |     ^\n"
        for number in range(5000)
    ]
    log = "".join(lines)[: 1024 * 1024] + "\nsrc/last.c:9:12: error: why\n" + GCC_END
    works, costs = [], []
    for _ in range(3):
        works.append(piece_of_work())
        began = time.process_time()
        assert classify(log).line == "src/last.c:9:12: error: why"
        costs.append(time.process_time() - began)
    assert min(costs) < 0.1 * slowness([min(works)])
