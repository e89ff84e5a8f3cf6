"""How slow the machine is at the moment: one that is shared with others is at times half as fast.

Budgets of processor time are judged by the speed that there is while they are spent.
"""

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

#: What `piece_of_work` took (seconds of the processor) on the quiet machine of the budgets.
_WORK_S = 0.034
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def piece_of_work() -> float:
    """Do what interpreted programs do; the processor time that it took (s)."""
    began = time.process_time()
    rows: dict[str, int] = {}
    for number in range(60_000):
        words = f"row {number % 997} of {number}"
        rows[words[:9]] = rows.get(words[:9], 0) + len(words.split())
    sorted(rows.items(), key=lambda row: (row[1], row[0]))
    return time.process_time() - began


def cpu_s(pid: int) -> float:
    """Processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def slowness(works_s: Sequence[float]) -> float:
    """By how much these pieces of work took longer than on the machine of the budgets; 1 if not."""
    return max(1.0, statistics.mean(works_s) / _WORK_S)
