"""The master's endpoint for Prometheus."""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

from piwheels.control.status_service import StatusService
from piwheels.errors import NotNowError
from piwheels.prometheus.endpoint import MetricsEndpoint
from piwheels.prometheus.farm_metrics import database_waiting, farm_metrics


async def serve_metrics(address: str, status: StatusService) -> None:
    """Serve the farm's state until canceled.

    Raises:
        ConfigError: the address is not HOST:PORT.
    """

    async def collect() -> Iterable[Metric]:
        try:
            return farm_metrics(await status.status())
        except NotNowError:
            return [database_waiting(waits=True)]

    await MetricsEndpoint("master.metrics_bind", address, collect).run()
