"""Renders the scrape configuration and the alert rules of Prometheus, and a Grafana dashboard."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from piwheels.config import Config
from piwheels.config_templates import render, unquoted_word

_ANY_HOSTS = {"0.0.0.0", "[::]", "::", "*"}  # noqa: S104 - to be replaced
_PANEL_WIDTH, _PANEL_HEIGHT, _COLUMNS = 8, 8, 3


class Panel(NamedTuple):
    """A chart of the dashboard: its title, the unit as Grafana names it, and its queries."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]  # an expression and its legend


_MEAN_DURATION = (
    "rate(piwheels_builder_build_duration_seconds_sum[1h])"
    " / rate(piwheels_builder_build_duration_seconds_count[1h])"
)

PANELS = (
    Panel("Alerts", "none", [("sum by (severity) (piwheels_alert)", "{{severity}}")]),
    Panel("Builders", "none", [("piwheels_builders > 0", "{{state}}")]),
    Panel("Daemons that answer", "none", [('up{job=~"piwheels-.+"}', "{{job}} {{instance}}")]),
    Panel("Queued jobs", "none", [("piwheels_queue_jobs", "{{target}}")]),
    Panel("Builds of the last hour", "none", [("piwheels_builds_last_hour", "{{outcome}}")]),
    Panel("Pages to write", "none", [("piwheels_pages_to_write", "pages")]),
    Panel("Downloads", "cps", [("rate(piwheels_downloads_total[15m])", "downloads")]),
    Panel("Since the upstream was read", "s", [("piwheels_upstream_lag_seconds", "lag")]),
    Panel(
        "Disk of the web root",
        "bytes",
        [("piwheels_web_root_free_bytes", "free"), ("piwheels_web_root_size_bytes", "size")],
    ),
    Panel(
        "Files and database",
        "bytes",
        [("piwheels_files_bytes", "files"), ("piwheels_database_size_bytes", "database")],
    ),
    Panel(
        "Builds of each builder",
        "none",
        [("increase(piwheels_builder_builds_total[1h])", "{{instance}} {{outcome}}")],
    ),
    Panel(
        "Duration of builds",
        "s",
        [
            (_MEAN_DURATION, "{{instance}}"),
        ],
    ),
    Panel(
        "Temperature of builders",
        "celsius",
        [("piwheels_builder_temperature_celsius", "{{instance}}")],
    ),
    Panel(
        "Memory of daemons",
        "bytes",
        [('process_resident_memory_bytes{job=~"piwheels-.+"}', "{{job}} {{instance}}")],
    ),
    Panel("Access log", "cps", [("rate(piwheels_accesslog_lines_total[5m])", "lines")]),
)


def render_scrape_config(config: Config, builders: Sequence[str] = ()) -> str:
    """Prometheus's scrape configuration of this farm.

    Args:
        config: its `metrics_bind` settings name the daemons; an empty one is left out.
        builders: addresses of builders, HOST:PORT; without any, that of `builder.metrics_bind`.

    Raises:
        ConfigError: an address cannot be written in a configuration.
    """
    found = [
        ("piwheels-master", [config.master.metrics_bind]),
        ("piwheels-builder", list(builders) or [config.builder.metrics_bind]),
        ("piwheels-accesslog", [config.accesslog.metrics_bind]),
    ]
    jobs = [(job, [_target(one) for one in targets if one]) for job, targets in found]
    return render("prometheus_scrape", jobs=[(job, targets) for job, targets in jobs if targets])


def render_alert_rules() -> str:
    """Prometheus's alert rules for a farm."""
    return render("prometheus_rules")


def render_dashboard() -> str:
    """A Grafana dashboard of a farm, as JSON to import."""
    dashboard = {
        "title": "piwheels",
        "uid": "piwheels",
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "refresh": "1m",
        "tags": ["piwheels"],
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }
    return json.dumps(dashboard, indent=2)


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {
            "h": _PANEL_HEIGHT,
            "w": _PANEL_WIDTH,
            "x": column * _PANEL_WIDTH,
            "y": row * _PANEL_HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": source,
                "expr": expr,
                "legendFormat": legend,
            }
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _target(address: str) -> str:
    """The address to ask; a daemon that listens everywhere is asked on this machine."""
    host, _, port = unquoted_word("address", address).rpartition(":")
    return f"127.0.0.1:{port}" if host in _ANY_HOSTS else address
