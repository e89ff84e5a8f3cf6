"""`piw metrics`: the farm's state in the text format of Prometheus."""

import click

from piwheels.cli.remote.client import connect
from piwheels.config import Config
from piwheels.prometheus.endpoint import metrics_text
from piwheels.prometheus.farm_metrics import farm_metrics
from piwheels.protocol.messages import Status, StatusReply


async def metrics(config: Config) -> int:
    """Print all metrics, for the textfile collector of Prometheus's node_exporter."""
    async with connect(config) as client:
        reply = await client.request(Status(), StatusReply)
    click.echo(metrics_text(farm_metrics(reply)), nl=False)
    return 0
