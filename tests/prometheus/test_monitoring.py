"""What `piw config prometheus` and `piw config grafana` print, judged by Prometheus's promtool."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from prometheus_client import ProcessCollector

from piwheels.accesslog.context import Counters
from piwheels.accesslog.metrics import reader_metrics
from piwheels.builder.build_counts import BuildCounts
from piwheels.builder.metrics import builder_metrics
from piwheels.cli import cli
from piwheels.config import BuilderSection, Config
from piwheels.config.sections import AccessLogSection, MasterSection
from piwheels.config_templates.monitoring import (
    PANELS,
    render_alert_rules,
    render_dashboard,
    render_scrape_config,
)
from piwheels.errors import ConfigError
from piwheels.prometheus.farm_metrics import farm_metrics
from piwheels.system.metrics import read_metrics
from tests.requires import find_program, requires_program
from tests.timeouts import WAIT_S
from tests.tui.sample_farm import status

_METRIC = re.compile(r"\b(?:piwheels|process)_[a-z_]+\b")

#: A builder's alert and a paused farm, until the master dies; then the gauges are gone.
_CASES = """
rule_files: [piwheels.rules.yml]
evaluation_interval: 1m
tests:
  - name: an alert on a gauge resolves when its exporter dies, and the exporter's own stands
    interval: 1m
    input_series:
      - series: up{job="piwheels-master",instance="m"}
        values: 1x10 0x20
      - series: >-
          piwheels_alert{rule="lost",subject="pi-1",severity="critical",state="active",job="piwheels-master",instance="m"}
        values: 1x10 stale
    alert_rule_test:
      - eval_time: 5m
        alertname: PiwheelsCritical
        exp_alerts:
          - exp_labels: &critical
              {rule: lost, subject: pi-1, severity: critical, state: active, job: piwheels-master, instance: m}
            exp_annotations:
              summary: "lost: pi-1"
              description: "`piw alerts` says more; docs/operations.md says what to do."
      - {eval_time: 5m, alertname: PiwheelsDown, exp_alerts: []}
      - {eval_time: 20m, alertname: PiwheelsCritical, exp_alerts: []}
      - eval_time: 20m
        alertname: PiwheelsDown
        exp_alerts:
          - exp_labels: {severity: critical, job: piwheels-master, instance: m}
            exp_annotations:
              summary: "piwheels-master on m does not answer"
              description: "Its other alerts have no data meanwhile, and look resolved."
  - name: what an operator acknowledged does not fire
    interval: 1m
    input_series:
      - series: piwheels_alert{rule="hot",subject="pi-1",severity="critical",state="acknowledged"}
        values: 1x60
    alert_rule_test:
      - {eval_time: 50m, alertname: PiwheelsCritical, exp_alerts: []}
  - name: a farm without a master's job is one alert
    interval: 1m
    input_series:
      - series: up{job="piwheels-builder",instance="b"}
        values: 1x20
    alert_rule_test:
      - eval_time: 10m
        alertname: PiwheelsMasterNotScraped
        exp_alerts:
          - exp_labels: {severity: critical, job: piwheels-master}
            exp_annotations:
              summary: "Prometheus asks no master"
              description: "The scrape job piwheels-master is missing."
  - name: a disk, lost lines, a reader that waits
    interval: 1m
    input_series:
      - series: piwheels_web_root_free_bytes{instance="m"}
        values: 4x30
      - series: piwheels_web_root_size_bytes{instance="m"}
        values: 100x30
      - series: piwheels_accesslog_dropped_lines_total{instance="m"}
        values: 0x10 7x20
      - series: piwheels_accesslog_database_answer_timestamp_seconds{instance="m"}
        values: 0x30
    alert_rule_test:
      - eval_time: 15m
        alertname: PiwheelsDiskAlmostFull
        exp_alerts:
          - exp_labels: {severity: critical, instance: m}
            exp_annotations: {summary: "Less than 5 % of the web root's disk is free"}
      - {eval_time: 9m, alertname: PiwheelsLogLinesLost, exp_alerts: []}
      - eval_time: 15m
        alertname: PiwheelsLogLinesLost
        exp_alerts:
          - exp_labels: {severity: warning, instance: m}
            exp_annotations: {summary: "Lines of the access log were lost: the spool was full"}
      - eval_time: 15m
        alertname: PiwheelsLogReaderWaits
        exp_alerts:
          - exp_labels: {severity: warning, instance: m}
            exp_annotations: {summary: "The access log reader waits for the database"}
"""

#: An alert that takes a day; looked at twice an hour, because each look costs time.
_CASES_OF_DAYS = """
rule_files: [piwheels.rules.yml]
evaluation_interval: 30m
tests:
  - name: a queue without successful builds fires after a day, and a success ends it
    interval: 5m
    input_series:
      - series: piwheels_queue_jobs{target="a",instance="m"}
        values: 5x600
      - series: piwheels_builds_last_hour{outcome="failed",instance="m"}
        values: 9x600
      - series: piwheels_builds_last_hour{outcome="built",instance="m"}
        values: 0x400 1x200
    alert_rule_test:
      - {eval_time: 23h, alertname: PiwheelsNothingBuilt, exp_alerts: []}
      - eval_time: 25h
        alertname: PiwheelsNothingBuilt
        exp_alerts:
          - exp_labels: {severity: warning, instance: m}
            exp_annotations: {summary: "Jobs are queued, and no build succeeded for a day"}
      - {eval_time: 40h, alertname: PiwheelsNothingBuilt, exp_alerts: []}
"""


def promtool(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [find_program("promtool"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * WAIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "piwheels.rules.yml").write_text(render_alert_rules())
    (tmp_path / "prometheus.yml").write_text(render_scrape_config(Config()))
    (tmp_path / "cases.yml").write_text(_CASES)
    (tmp_path / "cases_of_days.yml").write_text(_CASES_OF_DAYS)
    return tmp_path


@requires_program("promtool")
def test_prometheus_accepts_the_rules_and_the_configuration(folder: Path) -> None:
    rules = render_alert_rules().count("- alert:")
    assert f"{rules} rules found" in promtool(folder, "check", "rules", "piwheels.rules.yml")
    assert "SUCCESS" in promtool(folder, "check", "config", "prometheus.yml")


@requires_program("promtool")
def test_alerts_fire_and_resolve(folder: Path) -> None:
    assert "FAILED" not in promtool(folder, "test", "rules", "cases.yml", "cases_of_days.yml")


def test_rules_and_dashboard_name_only_metrics_that_the_endpoints_have(tmp_path: Path) -> None:
    sample = replace(
        status(), upstream_lag_s=1.0, oldest_page_at=datetime(2026, 11, 29, tzinfo=UTC)
    )
    host = replace(read_metrics(tmp_path), temperature=40.0)
    metrics = [
        *farm_metrics(sample),
        *builder_metrics(BuildCounts(), host, connected=True, building=False),
        *reader_metrics(Counters(), None, 1.0),
        *ProcessCollector(registry=None).collect(),
    ]
    exported = {sample.name for metric in metrics for sample in metric.samples}
    expressions = [expr for panel in PANELS for expr, _ in panel.queries]
    used = set(_METRIC.findall("\n".join([render_alert_rules(), *expressions])))
    assert used - exported == set()
    assert len(used) > 15


def test_metric_names_follow_the_conventions(tmp_path: Path) -> None:
    metrics = [
        *farm_metrics(status()),
        *builder_metrics(BuildCounts(), read_metrics(tmp_path), connected=True, building=False),
        *reader_metrics(Counters(), None, 1.0),
    ]
    for metric in metrics:
        assert metric.name.startswith("piwheels_")
        assert not re.search(r"_(ms|minutes|hours|kb|mb|percent)(_|$)", metric.name)
        for sample in metric.samples:
            assert sample.name.endswith("_total") == (metric.type == "counter")


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads(render_dashboard())
    panels = dashboard["panels"]
    assert [panel["title"] for panel in panels] == [panel.title for panel in PANELS]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in panels:
        assert panel["datasource"]["uid"].strip("${}") in names
        assert all(target["expr"] for target in panel["targets"])


def test_the_configuration_names_the_daemons_that_have_an_endpoint() -> None:
    text = render_scrape_config(
        Config(
            master=MasterSection(metrics_bind="0.0.0.0:9461"),
            accesslog=AccessLogSection(metrics_bind=""),
        ),
        ["pi-1:9462", "pi-2:9462"],
    )
    assert '"127.0.0.1:9461"' in text
    assert '"pi-1:9462"' in text
    assert '"pi-2:9462"' in text
    assert "piwheels-accesslog" not in text


def test_an_address_that_would_break_the_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="address"):
        render_scrape_config(Config(builder=BuilderSection(metrics_bind='x"\n- y:1')))


def test_the_commands_print_them(tmp_path: Path) -> None:
    config = tmp_path / "piwheels.toml"
    config.write_text('[master]\nmetrics_bind = "127.0.0.1:7001"\n')

    def printed(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["config", *arguments, "--config", str(config)])
        assert done.exit_code == 0, done.output
        return done.output

    both = printed("prometheus", "--builder", "pi-9:9462")
    assert "127.0.0.1:7001" in both
    assert "pi-9:9462" in both
    assert "PiwheelsDown" in both
    assert printed("prometheus", "--only", "rules") == render_alert_rules() + "\n"
    assert "PiwheelsDown" not in printed("prometheus", "--only", "scrape")
    assert json.loads(printed("grafana"))["title"] == "piwheels"
