"""`piw alerts`: lists the farm's alerts, and the group of the commands about them."""

from pathlib import Path

import click

from piwheels.cli.main import cli
from piwheels.cli.options import (
    config_option,
    json_option,
    load_config,
    options_before_subcommand,
    run_and_exit,
)


@cli.group("alerts", invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def alerts(ctx: click.Context, config_file: Path | None, as_json: bool) -> None:
    """Show what needs attention, or acknowledge and mute it.

    \b
    Examples:
      piw alerts
      piw alerts ack hot:pi-17 --note 'new fan on Monday'
      piw alerts mute lost:pi-3 --for 2h
    """  # noqa: D301 - \b is click's mark for lines to keep
    if ctx.invoked_subcommand is None:
        from piwheels.cli.remote import alerts as remote_alerts

        run_and_exit(remote_alerts.list_alerts(load_config(config_file), as_json=as_json))
    elif config_file is not None or as_json:
        raise options_before_subcommand(ctx.invoked_subcommand)
