"""`piw alerts`, and the alerts in `piw status`."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from piwheels.alerts.texts import format_age, state_text
from piwheels.cli.remote.client import connect, print_json
from piwheels.config import Config
from piwheels.model import Alert, AlertState
from piwheels.output import print_table
from piwheels.protocol.messages import Status, StatusReply
from piwheels.sanitize import strip_controls

_GROUPS = {
    AlertState.ACKNOWLEDGED: "acknowledged",
    AlertState.MUTED: "muted",
    AlertState.CLEARED: "cleared in 24h",
}


async def list_alerts(config: Config, *, as_json: bool) -> int:
    """Print all alerts."""
    async with connect(config) as client:
        reply = await client.request(Status(), StatusReply)
    if as_json:
        print_json([alert_json(alert) for alert in reply.alerts])
        return 0
    standing = [alert for alert in reply.alerts if alert.state is AlertState.ACTIVE]
    if not standing:
        click.echo("no alerts")
    _print_rows(standing)
    for state, title in _GROUPS.items():
        if group := [alert for alert in reply.alerts if alert.state is state]:
            click.echo(f"\n{title}:")
            _print_rows(group)
    return 0


def print_active(alerts: Sequence[Alert]) -> None:
    """Print the alerts that need attention, if there are any, and an empty line."""
    if active := [alert for alert in alerts if alert.state is AlertState.ACTIVE]:
        _print_rows(active)
        click.echo()


def alert_json(alert: Alert) -> dict[str, object]:
    """An alert for `--json`, with its state."""
    fields: dict[str, object] = {name: getattr(alert, name) for name in alert.__struct_fields__}
    return fields | {"state": alert.state}


def _print_rows(alerts: Sequence[Alert]) -> None:
    if not alerts:
        return
    now = datetime.now(UTC)
    rows = [
        (
            click.style(alert.rule, fg="red" if alert.is_critical else "yellow"),
            format_age(alert, now),
            strip_controls(alert.subject),
            strip_controls(state_text(alert, now) or alert.text),
            strip_controls(alert.alert_id),
        )
        for alert in alerts
    ]
    print_table(("alert", "age", "subject", "what is wrong", "id"), rows)
