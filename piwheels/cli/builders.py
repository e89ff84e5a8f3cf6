"""`piw builder`: runs a builder, and the group of the commands to builders."""

import math
import sys
from pathlib import Path
from typing import Any

import click

from piwheels.cli.main import cli
from piwheels.cli.options import (
    builder_name_option,
    config_option,
    given_duration,
    given_token,
    json_option,
    load_config,
    no_sandbox_option,
    no_token,
    options_before_subcommand,
    python_option,
    refuse_root,
    run_and_exit,
    token_argument,
    token_file_option,
)
from piwheels.protocol.commands.joining import MAX_USES, MAX_VALID_DAYS

#: How long a builder waits for a job, by default, before it ends.
_IDLE = "60s"


@cli.group("builder", invoke_without_command=True)
@click.option("--config", "config_file", type=click.Path(path_type=Path), hidden=True)
@click.option("--master", "master_host", hidden=True)
@click.option("--master-key", hidden=True)
@click.option("--python", "pythons", multiple=True, hidden=True)
@click.option("--no-sandbox", is_flag=True, hidden=True)
@click.option("--slot", default="", hidden=True)
@click.option("--exit-when-idle", "idle", is_flag=False, flag_value=_IDLE, hidden=True)
@click.option("--max-builds", type=click.IntRange(min=1), hidden=True)
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
@click.option(
    "--master",
    "master_host",
    metavar="HOST",
    help="The host that runs the master; several, separated by commas, are its standbys.",
)
@click.option(
    "--master-key", metavar="KEY", help="The master's public key, shown by `piw key list` there."
)
@python_option
@no_sandbox_option
@click.option(
    "--slot",
    default="",
    metavar="SLOT",
    help="A number or name, for several builders with this configuration: each has a key and a "
    "folder of its own.",
)
@click.option(
    "--exit-when-idle",
    "idle",
    is_flag=False,
    flag_value=_IDLE,
    metavar="[DURATION]",
    help=f"End after this long without a job: 90s, 5m.  [without a value: {_IDLE}]",
)
@click.option("--max-builds", type=click.IntRange(min=1), metavar="N", help="End after N builds.")
def builder_run(
    config_file: Path | None,
    master_host: str | None,
    master_key: str | None,
    pythons: tuple[str, ...],
    no_sandbox: bool,
    slot: str,
    idle: str | None,
    max_builds: int | None,
) -> None:
    """Run a builder: it builds one job at a time in a sandbox.

    SIGTERM ends it and gives its job back; SIGUSR1 ends it after its build.

    \b
    Examples:
      piw builder run --master farm.local --master-key KEY
      piw builder run --python python3.11 --python python3.13
      piw builder run --slot 3 --exit-when-idle 2m --max-builds 20
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.builder.connection_state_machine import ExitRules
    from piwheels.builder.daemon import BuilderStart, run

    config = load_config(
        config_file,
        builder__master=master_host,
        builder__master_key=master_key,
        builder__interpreters=pythons or None,
        builder__sandbox=False if no_sandbox else None,
    )
    refuse_root(config.builder.key_dir, config.builder.work_dir)
    rules = ExitRules(
        idle_s=given_duration(idle) if idle is not None else math.inf,
        max_builds=max_builds or math.inf,
    )
    sys.exit(run(config, BuilderStart(slot, rules)))


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
    """List builders, what they build, and those that wait.

    \b
    Example:
      piw builder list
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import status

    run_and_exit(status.list_builders(load_config(config_file), as_json=as_json))


@builder.command("join")
@token_argument
@token_file_option
@builder_name_option
@click.option(
    "--at-start",
    is_flag=True,
    help="Join when the builder is started, also each machine with a copy of this disk.",
)
@config_option
@json_option
def builder_join(
    token: str,
    token_file: Path | None,
    name: str,
    at_start: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Make this machine a builder, by the token of an invitation.

    It generates this machine's key, registers it at the master, and writes the master's address and
    key into piwheels.toml; the other settings there stay. If anything fails, nothing is changed.
    Without TOKEN it asks for it.

    \b
    Examples:
      piw builder join
      piw builder join --name pi4-kitchen --token-file token.txt
      piw builder join --at-start
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.join import join, joined_text, prepare

    token = given_token(token, token_file)
    if not token:
        raise no_token()

    if at_start:
        if name or as_json:
            raise click.UsageError("--at-start goes with neither --name nor --json")
        click.echo(f"{prepare(config_file, token)}: this machine joins when its builder is started")
        return
    joined = join(config_file, token, name)
    if as_json:
        from piwheels.cli.remote.client import print_json

        print_json(joined)
    else:
        click.echo(joined_text(joined))


@builder.command("invite")
@click.argument("name", default="", metavar="[NAME]")
@click.option(
    "--authorize", is_flag=True, help="Builders that join by it need no `piw builder authorize`."
)
@click.option(
    "--expires",
    default="1h",
    show_default=True,
    metavar="DURATION",
    help=f"How long the token can be used: 90m, 2h, 3d, at most {MAX_VALID_DAYS}d.",
)
@click.option(
    "--uses",
    type=click.IntRange(1, MAX_USES),
    default=1,
    show_default=True,
    metavar="N",
    help="How many builders may join by it.",
)
@click.option(
    "--master",
    "master_host",
    default="",
    metavar="HOST",
    help="The name or address of the master, as builders reach it (default: as it knows it).",
)
@config_option
@json_option
def builder_invite(config_file: Path | None, as_json: bool, **options: Any) -> None:
    """Print a token by which a builder joins.

    On the builder: `sudo piw setup builder`, or `sudo piw builder join` where its service exists;
    both ask for the token.

    The token has the master's address and key, and a secret that works once (or --uses times) until
    it expires. A builder that joins is called NAME, or by its host's name, and waits for
    `piw builder authorize`, unless the invitation authorizes. Keep the token as secret as a
    password until then.

    \b
    Examples:
      piw builder invite pi4-kitchen --authorize
      piw builder invite --uses 10 --expires 2d
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import joining

    run_and_exit(joining.invite(load_config(config_file), as_json=as_json, **options))


@builder.command("demand")
@config_option
@json_option
def builder_demand(config_file: Path | None, as_json: bool) -> None:
    """Print how many jobs wait for builders, by target and memory.

    `piw builder scale` starts builders for them. The memory is what a builder has to give a build:
    0 for jobs that any builder can take, else a power of two, in MB.

    \b
    Example:
      piw builder demand --json
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import scale

    run_and_exit(scale.demand(load_config(config_file), as_json=as_json))


@builder.command("scale")
@click.argument(
    "script", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False
)
@click.option(
    "--kubernetes",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Start Jobs of Kubernetes by kubectl: DIR has the Job of each pool as POOL.yaml.",
)
@click.option("--pool", "pools", multiple=True, metavar="NAME", help="Only this pool; repeatable.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--connect",
    "address",
    metavar="ADDRESS",
    help="The master on another machine: tcp://HOST:PORT, with builder.master_key.",
)
@click.option(
    "--key",
    "key_name",
    default="scaler",
    show_default=True,
    metavar="NAME",
    help="With --connect: the key in builder.key_dir, created by `piw key generate NAME`.",
)
@config_option
@json_option
def builder_scale(
    script: Path | None,
    kubernetes: Path | None,
    pools: tuple[str, ...],
    address: str | None,
    key_name: str,
    dry_run: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Start builders on demand, as many as the queue needs now.

    A timer runs this, for the pools of piwheels.toml ([pool.NAME]). SCRIPT is what `piw config
    slurm` prints; Slurm starts it for each builder. For Kubernetes, `piw config kubernetes` prints
    all that is needed. Builders end by themselves when they are idle. Where a pool has more than
    max_builders, those that have not started are canceled, and others are drained. Requires the
    role operate where a pool has to be drained, else watch; see `piw key authorize --help`.

    \b
    Examples:
      piw builder scale /etc/piwheels/slurm-builder.sh --dry-run
      piw builder scale /etc/piwheels/slurm-builder.sh --pool arm64 --json
      piw builder scale --kubernetes /etc/piwheels-jobs --connect tcp://farm.example.org:5554
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import scale

    if (script is None) == (kubernetes is None):
        raise click.UsageError("name either SCRIPT, for Slurm, or --kubernetes DIR")
    config = load_config(config_file)
    system = scale.batch_system(script, kubernetes)
    client = scale.client(config, address, key_name)
    run_and_exit(scale.scale(config, system, client, pools, dry_run=dry_run, as_json=as_json))


@builder.command("invitations")
@config_option
@json_option
def builder_invitations(config_file: Path | None, as_json: bool) -> None:
    """List the open invitations, and those of the last day.

    \b
    Example:
      piw builder invitations
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import joining

    run_and_exit(joining.list_invitations(load_config(config_file), as_json=as_json))
