"""How slow the machine is at the moment: one that is shared with others is at times half as fast.

Budgets of processor time are judged by the speed that there is while they are spent.
"""

import statistics
import time
from collections.abc import Sequence

#: What `piece_of_work` took (seconds of the processor) on the quiet machine of the budgets.
_WORK_S = 0.034


def piece_of_work() -> float:
    """Do what interpreted programs do; the processor time that it took (s)."""
    began = time.process_time()
    rows: dict[str, int] = {}
    for number in range(60_000):
        words = f"row {number % 997} of {number}"
        rows[words[:9]] = rows.get(words[:9], 0) + len(words.split())
    sorted(rows.items(), key=lambda row: (row[1], row[0]))
    return time.process_time() - began


def slowness(works_s: Sequence[float]) -> float:
    """By how much these pieces of work took longer than on the machine of the budgets; 1 if not."""
    return max(1.0, statistics.mean(works_s) / _WORK_S)
