"""The verbs that run something: the private farm, the daemons, the small web server."""

import sys
from pathlib import Path
from typing import Any

import click

from piwheels.cli.main import (
    INTERRUPTED,
    all_releases_option,
    cli,
    config_option,
    files_option,
    json_option,
    latest_option,
    load_config,
    load_config_with_origins,
    release_count,
    run_and_exit,
)


@cli.command()
@click.argument("projects", nargs=-1, metavar="[PROJECT[==VERSION]]...")
@files_option
@latest_option
@all_releases_option
@click.option(
    "--dir",
    "farm_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("piwheels-farm"),
    show_default=True,
    metavar="DIR",
    help="Holds the whole farm; removing it removes the farm.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="An interpreter to build for; may be given again (default: this one).",
)
@click.option(
    "--builders",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many builds run at once.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where the index is served; 0.0.0.0 serves your whole network.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port of the index; 0 takes a free one.",
)
@click.option(
    "--upstream",
    "upstream_url",
    metavar="URL",
    help="The Simple index to take releases from (default: the one that pip uses here).",
)
@click.option("--no-tui", is_flag=True, help="Print lines instead of opening the console.")
@click.option(
    "--no-sandbox",
    is_flag=True,
    help="Build without a sandbox: only for code that you trust with this account.",
)
@click.option(
    "--exit-when-idle",
    is_flag=True,
    help="Stop when everything asked for is built, has failed, or waits over ten minutes for a "
    "retry; print a table, and exit 1 if a wheel is missing.",
)
def up(**options: Any) -> None:
    """Run a whole farm of your own, here and now: nothing to set up.

    Starts a private database, a master, builders and a web server in DIR, builds the projects
    named, and prints the line that installs from it. Ctrl-C stops everything; the same command
    goes on where it stopped.

    \b
    piw up markupsafe wrapt
    piw up -r requirements.txt --python python3.11 --python python3.13 --exit-when-idle
    """  # noqa: D301 - \b is click's mark for lines to keep
    options["latest"] = release_count(options["latest"], all_releases=options.pop("every"))
    from piwheels.local.up import UpOptions, run_private_farm

    try:
        run_and_exit(run_private_farm(UpOptions(**options)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)  # as it is told to be stopped: nothing was aborted


@cli.command()
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option(
    "--access-log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where requests are logged, in the combined format.",
)
def serve(root: Path, host: str, port: int, access_log: Path | None) -> None:
    """Serve a tree for trying it out; a real farm has nginx, Apache or Caddy (`piw deploy`)."""
    from piwheels.local.webserver import serve as serve_tree

    serve_tree(root, host=host, port=port, access_log=access_log)


@cli.group()
def db() -> None:
    """The database of the farm."""


_dsn_option = click.option("--dsn", help="The database, instead of the configuration's.")


@db.command("upgrade")
@config_option
@_dsn_option
@click.option("--dry-run", is_flag=True, help="Print the SQL that would run, and change nothing.")
def db_upgrade(config_file: Path | None, dsn: str | None, *, dry_run: bool) -> None:
    """Create the farm's tables, or bring them to this version."""
    _upgrade(config_file, dsn, dry_run=dry_run)


@cli.command(hidden=True)
@config_option
@_dsn_option
def initdb(config_file: Path | None, dsn: str | None) -> None:
    """Old name of `piw db upgrade`."""
    click.echo("piw initdb is now called `piw db upgrade`", err=True)
    _upgrade(config_file, dsn, dry_run=False)


def _upgrade(config_file: Path | None, dsn: str | None, *, dry_run: bool) -> None:
    import asyncio

    from piwheels.db.migrate import SCHEMA_VERSION, upgrade

    config = load_config(config_file, database__dsn=dsn)
    migrations = asyncio.run(upgrade(config.database.dsn, dry_run=dry_run))
    for migration in migrations:
        click.echo(
            f"-- sql/{migration.name}\n{migration.sql}"
            if dry_run
            else f"applied sql/{migration.name}"
        )
    if not migrations:
        click.echo(f"the database is at version {SCHEMA_VERSION} already")


@cli.command()
@config_option
def master(config_file: Path | None) -> None:
    """Run the master: scheduling, receiving wheels, writing the index."""
    from piwheels.master.daemon import run

    sys.exit(run(load_config(config_file)))


@cli.command()
@config_option
@click.option("--master", "master_host", metavar="HOST", help="Where the master runs.")
@click.option(
    "--master-key", metavar="KEY", help="The master's public key, as `piw key list` says."
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="An interpreter to build for; may be given again (default: this one).",
)
@click.option(
    "--no-sandbox",
    is_flag=True,
    help="Build without a sandbox: only for code that you trust with this account.",
)
def builder(
    config_file: Path | None,
    master_host: str | None,
    master_key: str | None,
    pythons: tuple[str, ...],
    no_sandbox: bool,
) -> None:
    """Run a builder: takes one job at a time from the master, and builds it in a sandbox."""
    from piwheels.builder.daemon import run

    config = load_config(
        config_file,
        builder__master=master_host,
        builder__master_key=master_key,
        builder__python=pythons or None,
        builder__sandbox=False if no_sandbox else None,
    )
    sys.exit(run(config))


@cli.command()
@config_option
@json_option
def config(config_file: Path | None, as_json: bool) -> None:
    """Print every setting, and where its value came from.

    A piwheels.toml is looked for at --config, $PIWHEELS_CONFIG, ./piwheels.toml,
    ~/.config/piwheels/piwheels.toml, /etc/piwheels/piwheels.toml and /etc/piwheels.toml. The
    variable PIWHEELS_<SECTION>_<KEY> overrides any key of it.
    """
    import json

    loaded = load_config_with_origins(config_file)
    if as_json:
        click.echo(
            json.dumps(
                {
                    item.key: {"value": item.value, "origin": item.origin}
                    for item in loaded.settings
                },
                default=str,
                indent=2,
            )
        )
        return
    width = max(len(item.key) for item in loaded.settings)
    for item in loaded.settings:
        value = list(map(str, item.value)) if isinstance(item.value, tuple) else item.value
        shown = json.dumps(value, default=str)
        origin = click.style(f"  # {item.origin}", dim=True)
        click.echo(f"{item.key:<{width}} = {shown}{origin}")
