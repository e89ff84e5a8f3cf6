"""Why a builder is slow: its sensors, and its builds compared with those of others."""

import pytest
from msgspec.structs import replace

from piwheels.model import BuildSummary, HostMetrics
from piwheels.tui.model.details import builder_details
from piwheels.tui.model.state import Builder
from piwheels.tui.model.why_slow import ratios, why_slow
from tests.tui.sample_farm import BUILDERS, build_finished
from tests.tui.static_source import NOON

COOL = HostMetrics(memory_total=100, memory_free=50, temperature=60.0)


def builds(*durations_s: float, outcome: str = "built") -> list[BuildSummary]:
    return [
        replace(build_finished(number, "numpy", outcome, "", number), duration_s=duration)
        for number, duration in enumerate(durations_s)
    ]


@pytest.mark.parametrize(
    ("host", "durations_s", "usual_s", "told"),
    [
        (COOL, (), {}, ""),
        (COOL, (190.0, 180.0, 200.0), {0: 100.0, 1: 100.0, 2: 100.0}, "1.9x its peers in 3 builds"),
        (COOL, (190.0, 180.0), {0: 100.0, 1: 100.0}, ""),  # too few to say
        (COOL, (140.0, 140.0, 140.0), {0: 100.0, 1: 100.0, 2: 100.0}, ""),
        (replace(COOL, temperature=83.0), (), {}, "83C, where a board throttles itself"),
        (replace(COOL, memory_free=4), (), {}, "96% of its memory used"),
        (replace(COOL, swap_total=10, swap_free=2), (), {}, "it swaps"),
    ],
)
def test_what_makes_a_builder_slow_is_told(
    host: HostMetrics, durations_s: tuple[float, ...], usual_s: dict[int, float], told: str
) -> None:
    assert why_slow(host, builds(*durations_s), usual_s) == told


def test_failed_builds_are_not_compared() -> None:
    assert ratios(builds(500.0, outcome="failed"), {0: 100.0}) == {}


def test_the_last_builds_tell_what_is_usual() -> None:
    builder = Builder(BUILDERS[0], NOON, (), NOON, 0)
    usual_s = {0: 120.0, 1: 100.0, 2: 100.0}
    ended = builds(252.0, 190.0, 180.0)
    lines = builder_details(builder, ended, NOON, width=60, usual_s=usual_s)
    texts = [line.text for line in lines]
    assert "Why slow: 1.9x its peers in 3 builds" in texts
    (first,) = (text for text in texts if "4m12" in text)
    assert first.split()[-3:] == ["4m12", "2m", "2.1x"]
