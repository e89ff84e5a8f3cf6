"""`piw metrics`: the farm's state in the text format of Prometheus."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import click

from piwheels.cli.remote.client import connect
from piwheels.config import Config
from piwheels.protocol.messages import Status, StatusReply
from piwheels.sanitize import strip_controls


class Sample(NamedTuple):
    """A value of a metric, with its labels."""

    labels: Mapping[str, str]
    value: float


async def metrics(config: Config) -> int:
    """Print all metrics, for the textfile collector of Prometheus's node_exporter."""
    async with connect(config) as client:
        reply = await client.request(Status(), StatusReply)
    click.echo("".join(metrics_lines(reply)), nl=False)
    return 0


def metrics_lines(status: StatusReply) -> Iterator[str]:
    """The lines of the text format 0.0.4; all metrics are gauges."""
    for name, text, samples in _metrics(status):
        yield f"# HELP piwheels_{name} {text}\n# TYPE piwheels_{name} gauge\n"
        for sample in samples:
            yield f"piwheels_{name}{_labels(sample.labels)} {sample.value:g}\n"


def _metrics(status: StatusReply) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    yield "alert", "Alerts that stand.", _alerts(status)
    yield "paused", "Whether an operator paused the farm.", [Sample({}, status.paused)]
    states = Counter(view.state for view in status.builders)
    yield "builders", "Builders by state.", [Sample({"state": it}, states[it]) for it in states]
    yield "queue_jobs", "Jobs that wait for a builder.", _queues(status)
    yield (
        "builds_last_hour",
        "Builds that ended in the last hour.",
        [Sample({"outcome": name}, count) for name, count in sorted(status.last_hour.items())],
    )
    yield "pages_to_write", "Pages of the index and the site.", [Sample({}, status.stale_pages)]
    yield "downloads_today", "Downloads of this day (UTC).", [Sample({}, status.downloads.today)]
    if status.upstream_lag_s is not None:
        lag = Sample({}, status.upstream_lag_s)
        yield "upstream_lag_seconds", "Since the upstream index was last read.", [lag]
    free, total = Sample({}, status.host.disk_free), Sample({}, status.host.disk_total)
    yield "web_root_free_bytes", "Free space of the web root's disk.", [free]
    yield "web_root_size_bytes", "Size of the web root's disk.", [total]


def _alerts(status: StatusReply) -> Iterator[Sample]:
    for alert in status.alerts:
        if alert.cleared_at is None:
            labels = {
                "rule": alert.rule,
                "subject": alert.subject,
                "severity": alert.severity,
                "state": alert.state,
            }
            yield Sample(labels, 1)


def _queues(status: StatusReply) -> list[Sample]:
    return [Sample({"target": queue.target}, queue.pending) for queue in status.queues]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items()) + "}"


def _escape(text: str) -> str:
    return strip_controls(text).replace("\\", "\\\\").replace('"', '\\"')
