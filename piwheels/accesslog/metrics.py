"""An access log reader's endpoint for Prometheus: what it has read since it started."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from piwheels.accesslog.context import Counters
from piwheels.accesslog.spool import Spool
from piwheels.prometheus.endpoint import MetricsEndpoint


def metrics_endpoint(
    address: str,
    counters: Counters,
    spool: Callable[[], Spool | None],
    answered_at: Callable[[], float | None],
) -> MetricsEndpoint:
    """The endpoint of a reader.

    Args:
        address: HOST:PORT.
        counters: what it has read.
        spool: the spool of its pipe; None for files.
        answered_at: when the database last answered, in seconds since 1970; None for not yet.

    Raises:
        ConfigError: the address is not HOST:PORT.
    """

    async def collect() -> Iterable[Metric]:
        return reader_metrics(counters, spool(), answered_at())

    return MetricsEndpoint("accesslog.metrics_bind", address, collect)


def reader_metrics(
    counters: Counters, spool: Spool | None, answered_at: float | None
) -> Iterator[Metric]:
    """A reader as it is now; names are those of docs/operations.md."""
    for name, text, count in (
        ("lines", "Lines that were read and stored.", counters.lines),
        ("downloads", "Downloads among them.", counters.downloads),
        ("rejected_lines", "Lines that are no access.", counters.rejected_lines),
        (
            "dropped_lines",
            "Lines that were lost because the spool was full.",
            spool.dropped_lines if spool else 0,
        ),
    ):
        yield CounterMetricFamily(f"piwheels_accesslog_{name}", text, value=count)
    yield GaugeMetricFamily(
        "piwheels_accesslog_spool_bytes",
        "Bytes in the spool that are not in the database yet.",
        value=spool.segments.pending_bytes if spool else 0,
    )
    if answered_at is not None:
        yield GaugeMetricFamily(
            "piwheels_accesslog_database_answer_timestamp_seconds",
            "When the database last answered the reader.",
            value=answered_at,
        )
