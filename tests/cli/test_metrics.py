"""`piw metrics` prints the farm in the text format of Prometheus."""

import re

from msgspec.structs import replace

from piwheels.cli.remote.metrics import metrics_lines
from tests.tui.sample_farm import status

_LINE = re.compile(r'piwheels_\w+(\{\w+="(?:[^"\\\n]|\\.)*"(,\w+="(?:[^"\\\n]|\\.)*")*\})? \S+')


def test_alerts_are_metrics_with_their_state() -> None:
    lines = "".join(metrics_lines(status())).splitlines()
    assert (
        'piwheels_alert{rule="quarantined",subject="pi4-loft",severity="critical",state="active"} 1'
    ) in lines
    assert any('rule="hot"' in line and 'state="acknowledged"' in line for line in lines)
    assert not any('state="cleared"' in line for line in lines)
    assert 'piwheels_builders{state="overdue"} 1' in lines
    assert "piwheels_paused 0" in lines
    assert "piwheels_upstream_lag_seconds 42" in lines


def test_every_line_is_a_comment_or_a_sample() -> None:
    sample = status()
    evil = replace(sample.alerts[0], subject='a"b\\c\nd\x1b')
    text = "".join(metrics_lines(replace(sample, alerts=(evil,), upstream_lag_s=None)))
    assert 'subject="a\\"b\\\\c?d?"' in text
    for line in text.splitlines():
        assert line.startswith("# ") or _LINE.fullmatch(line), line
