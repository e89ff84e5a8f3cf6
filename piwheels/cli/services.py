"""Commands that run something: the private farm, the master, the small web server."""

import sys
from pathlib import Path
from typing import Any

import click

from piwheels.cli.main import INTERRUPTED, cli
from piwheels.cli.options import (
    all_releases_option,
    config_option,
    files_option,
    latest_option,
    load_config,
    no_sandbox_option,
    python_option,
    refuse_root,
    release_count,
    run_and_exit,
    yes_option,
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
    help="The directory of the whole farm; delete it to delete the farm.",
)
@python_option
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="NAME",
    help="A system to build on instead of this one, made if need be; repeatable (`piw root list`).",
)
@click.option(
    "--builders",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many builders to start; each runs one build at a time.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to serve the index on; 0.0.0.0 serves the whole network.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to serve the index on; 0 chooses a free one.",
)
@click.option(
    "--upstream",
    "upstream_url",
    metavar="URL",
    help="The Simple API index to take releases from (default: the one that pip uses here).",
)
@click.option("--no-tui", is_flag=True, help="Print progress instead of opening the console.")
@no_sandbox_option
@click.option(
    "--exit-when-idle",
    is_flag=True,
    help="Stop when everything requested is built, has failed, or waits over ten minutes for a "
    "retry; print a table, and exit 1 if a wheel is missing.",
)
def up(**options: Any) -> None:
    """Run a complete private farm in one directory, with no setup.

    Starts a private database, a master, builders and a web server in DIR, builds the projects
    named, and prints the pip command to install from it. Ctrl-C stops everything. Run the same
    command again to resume.

    \b
    Examples:
      piw up markupsafe wrapt
      piw up -r requirements.txt --python python3.11 --python python3.13 --exit-when-idle
      piw up markupsafe --root trixie-armhf --root bookworm-arm64
    """  # noqa: D301 - \b is click's mark for lines to keep
    count = release_count(options.pop("latest"), all_releases=options.pop("all_releases"))
    from piwheels.local.up import UpOptions, run_private_farm

    try:
        run_and_exit(run_private_farm(UpOptions(**options, latest=count)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)  # Ctrl-C is how it is stopped: nothing was aborted


@cli.command()
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to serve on; 0 chooses a free one.",
)
@click.option(
    "--access-log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Log requests to this file, in the combined format.",
)
def serve(root: Path, host: str, port: int, access_log: Path | None) -> None:
    """Serve a web root for a trial; a real farm uses nginx, Apache or Caddy.

    `piw config nginx`, `apache` and `caddy` print their configurations.

    \b
    Example:
      piw serve /var/www/piwheels --port 8000
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.local.webserver import serve as serve_web_root

    serve_web_root(root, host=host, port=port, access_log=access_log)


@cli.group("master", invoke_without_command=True)
@click.option("--config", "config_file", type=click.Path(path_type=Path), hidden=True)
@click.option("--standby", is_flag=True, hidden=True)
@click.pass_context
def master(ctx: click.Context, config_file: Path | None, *, standby: bool) -> None:
    """Run the master, or stop the one that runs.

    Without a subcommand this is `piw master run`.

    \b
    Examples:
      piw master
      piw master stop
    """  # noqa: D301 - \b is click's mark for lines to keep
    if ctx.invoked_subcommand is None:
        ctx.invoke(master_run, config_file=config_file, standby=standby)
    elif config_file is not None or standby:
        raise click.UsageError(f"put --config and --standby after `{ctx.invoked_subcommand}`")


@master.command("run")
@click.option(
    "--standby",
    is_flag=True,
    help="Wait while another master uses the database, and take over when it is gone.",
)
@config_option
def master_run(config_file: Path | None, *, standby: bool) -> None:
    """Run the master: schedule builds, receive wheels, write the index.

    \b
    Examples:
      piw master run --config /etc/piwheels/piwheels.toml
      piw master run --standby
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.master.daemon import run

    config = load_config(config_file, master__standby=standby or None)
    refuse_root(config.master.key_dir, config.webroot.root)
    sys.exit(run(config))


@master.command("adopt")
@yes_option
@config_option
def master_adopt(config_file: Path | None, *, yes: bool) -> None:
    """Have the master take any folder as its web root.

    The folder is webroot.root. A farm and its web root know each other by .farm.json there. A
    master, an audit and a restore refuse any other folder: an empty one is most often a disk that
    is not mounted, and so are older files of this farm. Where the former web root is lost, or this
    one is to be the farm's from now on, say so by this command, with the master stopped. No file
    of the index is deleted. `piw audit --fix --allow-empty` then builds what is missing.

    \b
    Example:
      piw master adopt
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.errors import ConfigError
    from piwheels.webroot.tree_farm import give_up

    root = load_config(config_file).webroot.root
    refuse_root(root)
    if not yes:
        click.confirm(f"Is {root} the web root of this farm from now on?", abort=True, err=True)
    try:
        give_up(root)
    except OSError as error:
        raise ConfigError(f"{root} (webroot.root): {error.strerror}") from None
    click.echo(f"the next master that starts takes {root} for its own")
