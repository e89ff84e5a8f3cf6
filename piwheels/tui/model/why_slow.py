"""Why a builder is slow, as far as its reports and its builds tell."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from piwheels.formatting import format_percent, format_temperature, pluralize
from piwheels.model import BuildSummary, HostMetrics, Outcome
from piwheels.tui.model.tables.builders import MEMORY_LOW, TEMPERATURE_CRITICAL

#: A builder is slow if its builds take so many times as long as those of its peers, ...
SLOW_RATIO = 1.5
#: ... where so many can be compared at least.
_MIN_COMPARED = 3
#: With less than this share of its swap free, a machine waits for its disk.
_SWAP_LOW = 0.5
_MINUTE_S = 60.0


def ratios(builds: Sequence[BuildSummary], usual_s: Mapping[int, float]) -> dict[int, float]:
    """By number, how many times as long as usual those of the builds took that can be compared."""
    return {
        build.build_id: build.duration_s / usual
        for build in builds
        if build.outcome is Outcome.BUILT and (usual := usual_s.get(build.build_id, 0.0)) > 0
    }


def why_slow(
    host: HostMetrics,
    builds: Sequence[BuildSummary],
    usual_s: Mapping[int, float],
    *,
    ratio: float | None = None,
    peers: int = 0,
) -> str:
    """What makes a builder slow, and how slow it is; "" if nothing does.

    Args:
        host: its machine.
        builds: its last builds.
        usual_s: by number, how long other builders take for what a build made.
        ratio: how many times as long as its peers' its builds take, if the master tells.
        peers: how many builders it is compared with; 0: unknown.
    """
    times = ratio if ratio is not None else _median_ratio(builds, usual_s)
    causes = ", ".join(_causes(host))
    return "; ".join(filter(None, (causes, _comparison(times, peers))))


def _causes(host: HostMetrics) -> Iterator[str]:
    hot = host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL
    if host.temperature is not None and (hot or host.throttled):
        yield format_temperature(host.temperature)
    if host.throttled or (host.throttled_s or 0.0) >= _MINUTE_S:
        minutes = min(60, math.ceil((host.throttled_s or 0.0) / _MINUTE_S))
        yield f"throttled {minutes} of 60 min{_frequencies(host)}"
    if host.memory_total and host.memory_free / host.memory_total < MEMORY_LOW:
        used = format_percent(host.memory_total - host.memory_free, host.memory_total)
        yield f"{used} of its memory used"
    if host.swap_total and host.swap_free / host.swap_total < _SWAP_LOW:
        yield "it swaps"


def _frequencies(host: HostMetrics) -> str:
    """What its processor can do and does now, if it does less."""
    now, most = host.cpu_hz, host.max_cpu_hz
    if not now or not most or now >= most:
        return ""
    return f" ({most / 1e9:.1f} GHz to {now / 1e9:.1f})"


def _median_ratio(builds: Sequence[BuildSummary], usual_s: Mapping[int, float]) -> float | None:
    compared = list(ratios(builds, usual_s).values())
    return median(compared) if len(compared) >= _MIN_COMPARED else None


def _comparison(times: float | None, peers: int) -> str:
    if times is None or times < SLOW_RATIO:
        return ""
    return f"{times:.1f}x its {pluralize(peers, 'peer') if peers else 'peers'}"
