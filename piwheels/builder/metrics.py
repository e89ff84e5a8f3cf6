"""A builder's endpoint for Prometheus: its builds, its connection and its machine."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from piwheels.builder.build_counts import BuildCounts
from piwheels.builder.connection_state_machine import ConnectionState
from piwheels.builder.master_client import MasterClient
from piwheels.model import HostMetrics, Outcome
from piwheels.prometheus.endpoint import MetricsEndpoint


def metrics_endpoint(address: str, builds: BuildCounts, client: MasterClient) -> MetricsEndpoint:
    """The endpoint of a builder.

    Raises:
        ConfigError: the address is not HOST:PORT.
    """

    async def collect() -> Iterable[Metric]:
        machine = client.machine
        return builder_metrics(
            builds,
            client.host_metrics(),
            connected=machine.connection_state is ConnectionState.WELCOMED,
            building=machine.current is not None,
        )

    return MetricsEndpoint("builder.metrics_bind", address, collect)


def builder_metrics(
    builds: BuildCounts, host: HostMetrics, *, connected: bool, building: bool
) -> Iterator[Metric]:
    """A builder as it is now; names are those of docs/operations.md."""
    ended = CounterMetricFamily(
        "piwheels_builder_builds", "Builds that ended, by outcome.", labels=["outcome"]
    )
    for outcome in Outcome:
        ended.add_metric([str(outcome)], builds.by_outcome[outcome])
    yield ended
    yield SummaryMetricFamily(
        "piwheels_builder_build_duration_seconds",
        "Duration of builds.",
        count_value=builds.by_outcome.total(),
        sum_value=builds.duration_s,
    )
    for name, text, value in (
        ("connected", "Whether the master accepts this builder.", connected),
        ("building", "Whether this builder has a build.", building),
        ("disk_free_bytes", "Free space of the builder's disk.", host.disk_free),
        ("disk_size_bytes", "Size of the builder's disk.", host.disk_total),
        ("memory_available_bytes", "Memory that is available.", host.memory_free),
        ("memory_size_bytes", "Memory of the machine.", host.memory_total),
        ("temperature_celsius", "Temperature of the processor.", host.temperature),
    ):
        if value is not None:
            yield GaugeMetricFamily(f"piwheels_builder_{name}", text, value=value)
