"""The farm's state as metrics: what the master's endpoint and `piw metrics` both say."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from piwheels.model import Alert, AlertState, BucketProgress
from piwheels.protocol.messages import BuilderState, BuilderView, StatusReply
from piwheels.sanitize import truncate_line

#: Alerts are of builders with a key, of at most 256 targets and of parts of the farm.
_MAX_ALERTS = 1000


def farm_metrics(status: StatusReply) -> Iterator[Metric]:
    """Everything of a status that changes over time; names are those of docs/operations.md."""
    yield _labeled("piwheels_info", "The master's version.", [({"version": status.version}, 1)])
    yield _alerts(status.alerts)
    yield _gauge("piwheels_paused", "Whether an operator paused the farm.", status.paused)
    yield database_waiting(status.database != "")
    yield _builders(status.builders)
    yield _labeled(
        "piwheels_queue_jobs",
        "Jobs that wait for a builder.",
        [({"target": queue.target}, queue.pending) for queue in status.queues],
    )
    yield _labeled(
        "piwheels_builds_last_hour",
        "Builds that ended in the last hour.",
        [({"outcome": name}, count) for name, count in sorted(status.last_hour.items())],
    )
    yield from _totals(status)
    yield from _pages(status)
    if status.bucket is not None:
        yield from _bucket(status.bucket)
    yield from _downloads(status)
    if status.upstream_lag_s is not None:
        yield _gauge(
            "piwheels_upstream_lag_seconds",
            "Since the upstream index was last read.",
            status.upstream_lag_s,
        )
    yield _gauge(
        "piwheels_web_root_free_bytes", "Free space of the web root's disk.", status.host.disk_free
    )
    yield _gauge(
        "piwheels_web_root_size_bytes", "Size of the web root's disk.", status.host.disk_total
    )


def database_waiting(waits: bool) -> Metric:
    """Whether the database keeps the master waiting."""
    return _gauge(
        "piwheels_database_waiting", "Whether the database keeps the master waiting.", waits
    )


def _totals(status: StatusReply) -> Iterator[Metric]:
    for noun, count in (
        ("projects", status.projects),
        ("releases", status.releases),
        ("files", status.files),
        ("builds", status.builds),
    ):
        yield _gauge(f"piwheels_{noun}", f"The {noun} that the farm knows.", count)
    yield _gauge("piwheels_files_bytes", "The size of all published files.", status.files_bytes)
    yield _gauge("piwheels_database_size_bytes", "The size of the database.", status.database_bytes)


def _pages(status: StatusReply) -> Iterator[Metric]:
    yield _gauge("piwheels_pages_to_write", "Pages of the index and the site.", status.stale_pages)
    if status.oldest_page_at is not None:
        yield _gauge(
            "piwheels_oldest_page_timestamp_seconds",
            "Since when the oldest page of the index waits.",
            status.oldest_page_at.timestamp(),
        )


def _bucket(bucket: BucketProgress) -> Iterator[Metric]:
    yield _gauge("piwheels_bucket_waiting", "Changes to copy into the bucket.", bucket.waiting)
    if bucket.oldest_at is not None:
        yield _gauge(
            "piwheels_bucket_oldest_timestamp_seconds",
            "Since when the oldest change of the index waits to be copied.",
            bucket.oldest_at.timestamp(),
        )


def _downloads(status: StatusReply) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "piwheels_downloads", "Downloads of wheels.", value=status.downloads.total
    )
    yield _gauge("piwheels_downloads_today", "Downloads of this day (UTC).", status.downloads.today)


def _builders(views: Iterable[BuilderView]) -> Metric:
    counts = Counter(view.state for view in views)
    samples = [({"state": str(state)}, counts[state]) for state in BuilderState]
    return _labeled("piwheels_builders", "Builders by state.", samples)


def _alerts(alerts: Iterable[Alert]) -> Metric:
    samples = [
        (
            {
                "rule": str(alert.rule),
                "subject": truncate_line(alert.subject),
                "severity": str(alert.severity),
                "state": str(alert.state),
            },
            1,
        )
        for alert in alerts
        if alert.state is not AlertState.CLEARED
    ]
    return _labeled("piwheels_alert", "Alerts that stand.", samples[:_MAX_ALERTS])


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labeled(name: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Metric:
    metric = Metric(name, text, "gauge")
    for labels, value in samples:
        metric.add_sample(name, dict(labels), value)
    return metric
