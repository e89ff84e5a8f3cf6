"""The overview's indicators: figures with their course over a window, and the period before it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from piwheels.formatting import format_count, format_percent, format_rate, format_short_duration
from piwheels.model import FarmSeries, QueueStatus, SeriesBars, SeriesWindow
from piwheels.protocol.messages import StatusReply
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.queue_lengths import drain_s, waiting_jobs

#: What the overview asks the master for.
INDICATOR_SERIES = (
    FarmSeries.BUILT,
    FarmSeries.FAILED,
    FarmSeries.WAITING,
    FarmSeries.DOWNLOADS,
    FarmSeries.LOAD,
    FarmSeries.BUSY,
)
#: What the period before a window is called.
BEFORE = {
    SeriesWindow.HOUR: "1h before",
    SeriesWindow.DAY: "yesterday",
    SeriesWindow.WEEK: "7d before",
    SeriesWindow.MONTH: "30d before",
}
#: So much less built or good, or more waiting, than before is clearly worse.
_FEWER_BUILT = 0.25
_MORE_WAITING = 0.25
_LESS_GOOD = 0.03
_UNKNOWN = "-"
#: When queues are empty that nothing builds for.
NEVER = "never"
_MAX_CHANGE = 9.99
HOUR_S = 3600.0
#: A rate of less time says nothing.
_LEAST_MEASURED_S = 60.0
BUILT_LABEL = "Built/h"

Series = Mapping[str, SeriesBars]


class Indicator(NamedTuple):
    """A figure of the farm, with its course over a window.

    Attributes:
        label: What it is.
        now: Its value.
        bars: Its course, the oldest bar first, None where it is unknown; empty without a reply.
        top: The value of a full bar, at least the value now, and `top_text` as it is shown.
        mean: Its mean over the window, and `before` over the period before.
        change: From the period before to this: in percent, of shares in percentage points.
        is_worse: Whether that is clearly worse.
        opens: The screen with its details.
    """

    label: str
    now: str
    opens: ScreenName
    bars: tuple[float | None, ...] = ()
    top: float = 0.0
    top_text: str = ""
    mean: str = _UNKNOWN
    before: str = _UNKNOWN
    change: str = ""
    is_worse: bool = False


class _Bars(NamedTuple):
    bars: tuple[float | None, ...] = ()
    mean: float | None = None
    before: float | None = None


def indicators(status: StatusReply, series: Series) -> list[Indicator]:
    """The indicators: builds, what waits, downloads and the master's load."""
    downloads = status.downloads
    return [
        _built(status, series),
        _good(status, series),
        _waiting(status, series),
        _rated(
            Indicator(
                "Downloads/s",
                format_rate(downloads.rate_per_s) if downloads.connected else _UNKNOWN,
                ScreenName.DOWNLOADS,
            ),
            _bars(series, FarmSeries.DOWNLOADS, 1 / 60),
            format_rate,
            least_top=downloads.rate_per_s if downloads.connected else 0.0,
        ),
        _rated(
            Indicator("Load", format_rate(status.host.load), ScreenName.HOST),
            _bars(series, FarmSeries.LOAD),
            format_rate,
            least_top=max(status.host.cores or 1, status.host.load),
        ),
    ]


def busy_indicator(busy: int, builders: int, series: Series) -> Indicator:
    """How many builders have a build."""
    return _rated(
        Indicator("Busy", f"{busy} of {builders}", ScreenName.BUILDERS),
        _bars(series, FarmSeries.BUSY),
        format_rate,
        least_top=builders,
    )


def _built(status: StatusReply, series: Series) -> Indicator:
    now, measured_s = built_per_hour(status), measured_hour_s(status)
    found = _bars(series, FarmSeries.BUILT, 60)
    since = "" if measured_s >= HOUR_S else f" {format_short_duration(measured_s)}"
    text = _UNKNOWN if now is None else _count(now)
    indicator = Indicator(f"{BUILT_LABEL}{since}", text, ScreenName.BUILDS)
    rated = _rated(indicator, found, _count, least_top=now or 0.0)
    return rated._replace(is_worse=_relative(found) < -_FEWER_BUILT)


def _waiting(status: StatusReply, series: Series) -> Indicator:
    now = waiting_jobs(status.queues)
    found = _bars(series, FarmSeries.WAITING)
    indicator = Indicator("Waiting", format_count(now), ScreenName.QUEUES)
    rated = _rated(indicator, found, _count, least_top=now)
    return rated._replace(is_worse=_relative(found) > _MORE_WAITING)


def _good(status: StatusReply, series: Series) -> Indicator:
    built, failed = (_bars(series, name) for name in (FarmSeries.BUILT, FarmSeries.FAILED))
    mean, before = _good_of(built.mean, failed.mean), _good_of(built.before, failed.before)
    change = mean - before if mean is not None and before is not None else None
    return Indicator(
        "Good",
        _percent(good_last_hour(status)),
        ScreenName.BUILDS,
        tuple(_good_of(*pair) for pair in zip(built.bars, failed.bars, strict=False)),
        1.0,
        "100%",
        _percent(mean),
        _percent(before),
        "" if change is None else _signed(100 * change),
        change is not None and change < -_LESS_GOOD,
    )


def measured_hour_s(status: StatusReply) -> float:
    """How much of the last hour the builds of it are of: a new farm is younger than that."""
    history = status.build_history
    is_older = any((*history.built[:-1], *history.failed[:-1]))
    return HOUR_S if is_older else min(HOUR_S, status.uptime_s)


def built_per_hour(status: StatusReply) -> float | None:
    """Built builds at the rate of the last hour; None until a new farm has run for a minute."""
    measured_s = measured_hour_s(status)
    if measured_s < _LEAST_MEASURED_S:
        return None
    return status.last_hour.get("built", 0) * HOUR_S / measured_s


def good_last_hour(status: StatusReply) -> float | None:
    """Built builds as a share of those that built or finally failed; None without any."""
    history = status.build_history
    if not history.built or not history.failed:
        return None
    return _good_of(history.built[-1], history.failed[-1])


def _good_of(built: float | None, failed: float | None) -> float | None:
    if built is None or failed is None or not built + failed:
        return None
    return built / (built + failed)


def empty_in(queues: Sequence[QueueStatus]) -> str:
    """When the queues are empty at the rate of the last hour: `19h`, NEVER; "" when they are."""
    seconds = drain_s(*queues)
    if seconds is None:
        return NEVER
    return format_short_duration(seconds) if seconds else ""


def _bars(series: Series, name: str, factor: float = 1.0) -> _Bars:
    found = series.get(name)
    if found is None:
        return _Bars()
    bars = tuple(_times(value, factor) for value in found.means)
    return _Bars(bars, _times(found.mean, factor), _times(found.mean_before, factor))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _rated(
    indicator: Indicator, found: _Bars, text: Callable[[float], str], *, least_top: float = 0.0
) -> Indicator:
    """An indicator with its course: the largest bar, or `least_top` if that is more, is full."""
    top = max(least_top, *(value for value in found.bars if value is not None), 0.0)
    is_known = found.mean is not None and bool(found.before)
    change = _signed(100 * min(_relative(found), _MAX_CHANGE), "%") if is_known else ""
    return indicator._replace(
        bars=found.bars,
        top=top,
        top_text=text(top) if found.bars else "",
        mean=_UNKNOWN if found.mean is None else text(found.mean),
        before=_UNKNOWN if found.before is None else text(found.before),
        change=change,
    )


def _signed(number: float, unit: str = "") -> str:
    """A change, without a sign if it rounds to nothing."""
    whole = round(number)
    return f"{whole:+}{unit}" if whole else f"0{unit}"


def _relative(found: _Bars) -> float:
    """By which share the mean is more than before; 0 if one is unknown."""
    if found.mean is None or not found.before:
        return 0.0
    return (found.mean - found.before) / found.before


def _count(number: float) -> str:
    return format_count(round(number))


def _percent(share: float | None) -> str:
    return _UNKNOWN if share is None else format_percent(share, 1)
