"""Why a builder is slow, as far as its reports and its builds tell."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from piwheels.formatting import format_percent, format_temperature
from piwheels.model import BuildSummary, HostMetrics, Outcome
from piwheels.tui.model.tables.builders import MEMORY_LOW, TEMPERATURE_CRITICAL

#: A builder is slow if its builds take so many times as long as those of its peers, ...
SLOW_RATIO = 1.5
#: ... where so many can be compared at least.
_MIN_COMPARED = 3
#: With less than this share of its swap free, a machine waits for its disk.
_SWAP_LOW = 0.5


def ratios(builds: Sequence[BuildSummary], usual_s: Mapping[int, float]) -> dict[int, float]:
    """By number, how many times as long as usual those of the builds took that can be compared."""
    return {
        build.build_id: build.duration_s / usual
        for build in builds
        if build.outcome is Outcome.BUILT and (usual := usual_s.get(build.build_id, 0.0)) > 0
    }


def why_slow(
    host: HostMetrics, builds: Sequence[BuildSummary], usual_s: Mapping[int, float]
) -> str:
    """What makes a builder slow, and how slow it is; "" if nothing does."""
    return ", ".join((*_causes(host), *_comparison(builds, usual_s)))


def _causes(host: HostMetrics) -> Iterator[str]:
    if host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL:
        yield f"{format_temperature(host.temperature)}, where a board throttles itself"
    if host.memory_total and host.memory_free / host.memory_total < MEMORY_LOW:
        used = format_percent(host.memory_total - host.memory_free, host.memory_total)
        yield f"{used} of its memory used"
    if host.swap_total and host.swap_free / host.swap_total < _SWAP_LOW:
        yield "it swaps"


def _comparison(builds: Sequence[BuildSummary], usual_s: Mapping[int, float]) -> Iterator[str]:
    compared = list(ratios(builds, usual_s).values())
    if len(compared) >= _MIN_COMPARED and (times := median(compared)) >= SLOW_RATIO:
        yield f"{times:.1f}x its peers in {len(compared)} builds"
