"""`piw builder`: runs a builder, and the group of the commands to builders."""

import sys
from pathlib import Path

import click

from piwheels.cli.main import cli
from piwheels.cli.options import (
    config_option,
    json_option,
    load_config,
    no_sandbox_option,
    options_before_subcommand,
    python_option,
    run_and_exit,
)


@cli.group("builder", invoke_without_command=True)
@click.option("--config", "config_file", type=click.Path(path_type=Path), hidden=True)
@click.option("--master", "master_host", hidden=True)
@click.option("--master-key", hidden=True)
@click.option("--python", "pythons", multiple=True, hidden=True)
@click.option("--no-sandbox", is_flag=True, hidden=True)
@click.pass_context
def builder(ctx: click.Context, /, **options: object) -> None:
    """Run a builder, or manage the farm's builders.

    Without a subcommand this is `piw builder run`.

    \b
    Examples:
      piw builder run --master farm.local
      piw builder list
      piw builder restart --all --max-parallel 1
    """  # noqa: D301 - \b is click's mark for lines to keep
    if ctx.invoked_subcommand is None:
        ctx.invoke(builder_run, **options)
    elif any(options.values()):
        raise options_before_subcommand(ctx.invoked_subcommand)


@builder.command("run")
@config_option
@click.option("--master", "master_host", metavar="HOST", help="The host that runs the master.")
@click.option(
    "--master-key", metavar="KEY", help="The master's public key, shown by `piw key list` there."
)
@python_option
@no_sandbox_option
def builder_run(
    config_file: Path | None,
    master_host: str | None,
    master_key: str | None,
    pythons: tuple[str, ...],
    no_sandbox: bool,
) -> None:
    """Run a builder: it builds one job at a time in a sandbox.

    \b
    Examples:
      piw builder run --master farm.local --master-key KEY
      piw builder run --python python3.11 --python python3.13
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.builder.daemon import run

    config = load_config(
        config_file,
        builder__master=master_host,
        builder__master_key=master_key,
        builder__interpreters=pythons or None,
        builder__sandbox=False if no_sandbox else None,
    )
    sys.exit(run(config))


@builder.command("history")
@click.argument("label", metavar="BUILDER")
@config_option
@json_option
def builder_history(label: str, config_file: Path | None, as_json: bool) -> None:
    """Show a builder's last state transitions and their causes.

    \b
    Example:
      piw builder history pi1
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import listings

    run_and_exit(listings.builder_history(load_config(config_file), label, as_json=as_json))


@builder.command("list")
@config_option
@json_option
def builder_list(config_file: Path | None, as_json: bool) -> None:
    """Show the connected builders, their states and what they build.

    \b
    Example:
      piw builder list
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import status

    run_and_exit(status.list_builders(load_config(config_file), as_json=as_json))
