"""Why a builder is slow: its sensors, and its builds compared with those of others."""

import pytest
from msgspec.structs import replace

from piwheels.model import BuildSummary, HostMetrics
from piwheels.tui.model.why_slow import ratios, why_slow
from tests.tui.sample_farm import build_finished

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
        (COOL, (190.0, 180.0, 200.0), {0: 100.0, 1: 100.0, 2: 100.0}, "1.9x its peers"),
        (COOL, (190.0, 180.0), {0: 100.0, 1: 100.0}, ""),  # too few to say
        (COOL, (140.0, 140.0, 140.0), {0: 100.0, 1: 100.0, 2: 100.0}, ""),
        (replace(COOL, temperature=83.0), (), {}, "83C"),
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


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            {"throttled": True, "throttled_s": 2240.0, "cpu_hz": 0.9e9, "max_cpu_hz": 1.5e9},
            "60C, throttled 38 of 60 min (1.5 GHz to 0.9)",
        ),
        ({"throttled": False, "throttled_s": 600.0}, "throttled 10 of 60 min"),
        ({"throttled": False, "throttled_s": 30.0, "cpu_hz": 6e8, "max_cpu_hz": 1.5e9}, ""),
        ({"throttled": True, "throttled_s": 1e12}, "60C, throttled 60 of 60 min"),
        ({"throttled": None}, ""),
    ],
)
def test_throttling_is_told_with_its_minutes_and_frequencies(
    facts: dict[str, object], told: str
) -> None:
    assert why_slow(replace(COOL, **facts), (), {}) == told


def test_the_ratio_that_the_master_tells_comes_first_and_names_the_peers() -> None:
    usual_s = {0: 100.0, 1: 100.0, 2: 100.0}
    own = builds(300.0, 300.0, 300.0)
    assert why_slow(COOL, own, usual_s, ratio=1.6, peers=11) == "1.6x its 11 peers"
    assert why_slow(COOL, own, usual_s, ratio=1.0, peers=11) == ""
    hot = replace(COOL, temperature=83.0)
    assert why_slow(hot, own, usual_s, ratio=1.9, peers=1) == "83C; 1.9x its 1 peer"
