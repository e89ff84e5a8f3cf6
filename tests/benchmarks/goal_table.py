"""The table of what the work of a farm costs, with goals, and whether they are met."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.farm_operations import FarmOperations


@dataclass(frozen=True)
class Rate:
    """A row of the table; `is_met` is None where no goal was set."""

    work: str
    measured: str
    goal: str = ""
    is_met: bool | None = None


@dataclass(frozen=True)
class OperationGoal:
    """What the median of an operation has to be: in ms, or as a ratio to the small farm's."""

    work: str  # as the table calls it
    ms: float | None = None
    ratio: float | None = None

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.ms:.0f} ms" if self.ms else f"ratio below {self.ratio}"


#: By the name of the operation. The ratios of the last two writes are those of the first large farm.
_OPERATION_GOALS = {
    "claim": OperationGoal("claim", ratio=1.5),
    "settle": OperationGoal("settle", ratio=1.6),
    "new release": OperationGoal("new release", ratio=1.5),
    "first status": OperationGoal("console's first snapshot of a new master", ms=100),
    "status": OperationGoal("`piw status`, console's snapshot", ms=100),
    "explain": OperationGoal("`piw explain`", ms=20),
    "page data": OperationGoal("data of a project's page", ms=20),
}
_COLUMNS = (
    "work", "p50 ms", "p99 ms", "CPU ms", "small farm: p50", "p99", "CPU", "ratio of p50",
    "ratio of CPU",
)  # fmt: skip


def operation_rates(small: FarmOperations, large: FarmOperations) -> list[Rate]:
    """The operations that have a goal, as rows of the table."""
    rates = []
    for name, goal in _OPERATION_GOALS.items():
        (p50, p99, _), (small_p50, small_p99, _) = (_figures(farm, name) for farm in (large, small))
        is_met = p50 < goal.ms if goal.ms else p50 / small_p50 < (goal.ratio or 0)
        measured = (
            f"p50 {p50:.2f} ms, p99 {p99:.1f} ms (small farm {small_p50:.2f}, {small_p99:.1f}): "
            f"ratio {p50 / small_p50:.2f}"
        )
        rates.append(Rate(goal.work, measured, goal.text, is_met))
    return rates


def operation_table(small: FarmOperations, large: FarmOperations) -> Iterator[str]:
    """All operations on both farms with their processor time, as Markdown."""
    yield f"\n{load_text()}\n"
    yield _line(_COLUMNS)
    yield _line(["---"] * len(_COLUMNS))
    for name in large.times_ms:
        few, many = (_figures(farm, name) for farm in (small, large))
        ratios = (many[0] / few[0], many[2] / few[2])
        yield _line([name, *(f"{figure:.2f}" for figure in (*many, *few, *ratios))])


def goal_table(rates: Sequence[Rate]) -> Iterator[str]:
    """What was measured beside the goals, as Markdown."""
    yield f"\n{load_text()}\n"
    yield _line(("work", "measured", "goal", "met"))
    yield _line(["---"] * 4)
    for rate in rates:
        met = {True: "yes", False: "no", None: ""}[rate.is_met]
        yield _line((rate.work, rate.measured, rate.goal, met))


def load_text() -> str:
    """The load of the machine, which stands beside figures."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def _figures(farm: FarmOperations, name: str) -> tuple[float, float, float]:
    """The median, the 99th percentile and the mean processor time of an operation (ms)."""
    times = sorted(farm.times_ms[name])
    cpu_ms = 1000 * farm.cpu_s[name] / len(times)
    return times[len(times) // 2], times[int(len(times) * 0.99)], cpu_ms


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
