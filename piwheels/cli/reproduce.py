"""`piw reproduce`: published wheels are built again, and compared."""

from pathlib import Path

import click

from piwheels.cli.commands import help_text
from piwheels.cli.main import cli
from piwheels.cli.options import (
    config_option,
    json_option,
    load_config,
    run_and_exit,
    target_option,
)
from piwheels.protocol.commands.reproductions import REPRODUCE


@cli.command(help=help_text(REPRODUCE), short_help=REPRODUCE.summary)
@click.argument("release", metavar="PROJECT==VERSION")
@target_option
@click.option("--no-wait", is_flag=True, help="Return at once; the project's page has the result.")
@config_option
@json_option
def reproduce(
    release: str, target: str | None, no_wait: bool, config_file: Path | None, as_json: bool
) -> None:
    """Build wheels again; the help is in the definition."""
    from piwheels.cli.remote.reproduce import reproduce as run

    config = load_config(config_file)
    run_and_exit(run(config, release, target, wait=not no_wait, as_json=as_json))
