"""`piw setup`: a master or a builder on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piwheels.cli.main import cli
from piwheels.cli.options import (
    builder_name_option,
    given_token,
    no_token,
    read_secret,
    tls_options,
    token_argument,
    token_file_option,
    yes_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from piwheels.setup.master import MasterOptions
    from piwheels.setup.run import State
    from piwheels.setup.steps import Step


@cli.group("setup")
def setup() -> None:
    """Set up a master or a builder on this machine, with Debian's packages and systemd.

    \b
    Examples:
      sudo piw setup master --server-name wheels.example.org
      sudo piw setup builder
    """  # noqa: D301 - \b is click's mark for lines to keep


def _shown_options(command: Any) -> Any:
    """The options that show steps instead of carrying them out."""
    dry_run = click.option(
        "--dry-run", is_flag=True, help="Print the steps and which are done; change nothing."
    )
    script = click.option(
        "--print", "as_script", is_flag=True, help="Print a shell script that does the same."
    )
    return dry_run(script(yes_option(command)))


@setup.command("master")
@click.option(
    "--server-name", metavar="NAME", help="The host name by which pip and browsers reach the site."
)
@click.option(
    "--web",
    type=click.Choice(["nginx", "caddy", "apache", "none"]),
    help="The web server to install and configure.  [default: nginx]",
)
@click.option(
    "--database", metavar="DSN", help="A PostgreSQL elsewhere (default: one on this machine)."
)
@click.option(
    "--database-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="A file with the DSN, or - for standard input: for one with a password.",
)
@tls_options
@_shown_options
def setup_master(dry_run: bool, as_script: bool, yes: bool, **options: Any) -> None:
    """Set up a master with its database, web server and services.

    Each step is printed before it is done. What is done already stays, settings too, so that the
    command can be repeated, also without its options. Piwheels itself stays where this command is.

    \b
    Examples:
      sudo piw setup master --server-name wheels.example.org
      piw setup master --server-name wheels.example.org --web caddy --dry-run
      sudo piw setup master --server-name wheels.example.org --database-file -
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.setup import machine
    from piwheels.setup.master import master_steps
    from piwheels.setup.steps import DATABASE_VARIABLE

    given = _master_options(options)
    _do(
        master_steps(given, machine.place(), machine.remembered_options()),
        lambda: machine.check_role("master"),
        "Set up a master on this machine, in {}?",
        secrets={DATABASE_VARIABLE: given.database},
        dry_run=dry_run,
        as_script=as_script,
        yes=yes,
    )
    if not dry_run and not as_script:
        _print_master_notes(given)


@setup.command("builder")
@token_argument
@token_file_option
@builder_name_option
@click.option(
    "--interpreter",
    "interpreters",
    multiple=True,
    metavar="PYTHON",
    help="A Python to build for, by name or path; repeatable (default: that of piw).",
)
@_shown_options
def setup_builder(
    token: str,
    token_file: Path | None,
    name: str,
    interpreters: tuple[str, ...],
    dry_run: bool,
    as_script: bool,
    yes: bool,
) -> None:
    """Set up a builder that joins a farm by a token.

    TOKEN is what `piw builder invite` prints on the master; without it the command asks. As an
    argument other accounts could see it. A machine that has joined needs none: what is done already
    stays, so that the command can be repeated. Each step is printed before it is done.

    \b
    Examples:
      sudo piw setup builder
      sudo piw setup builder --token-file token.txt --interpreter python3.11
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.protocol.invitation import parse_token
    from piwheels.setup import machine
    from piwheels.setup.builder import BuilderOptions, builder_steps
    from piwheels.setup.steps import TOKEN_VARIABLE

    is_asked = bool(token or token_file or not machine.has_joined())
    token = given_token(token, token_file) if is_asked else ""
    if is_asked and not token:
        raise no_token()
    options = BuilderOptions(
        master_key=parse_token(token).master_key if token else "",
        name=name,
        interpreters=interpreters,
    )
    _do(
        builder_steps(options, machine.place()),
        lambda: machine.check_role("builder"),
        "Set up a builder on this machine, in {}?",
        secrets={TOKEN_VARIABLE: token},
        dry_run=dry_run,
        as_script=as_script,
        yes=yes,
    )


@setup.command("remove")
@click.option(
    "--purge", is_flag=True, help="Remove data, database, keys, settings and account as well."
)
@_shown_options
def setup_remove(purge: bool, dry_run: bool, as_script: bool, yes: bool) -> None:
    """Undo a setup: remove services, units and site.

    Wheels, database, keys, settings, Debian packages and piwheels itself stay, so that a setup can
    follow. With --purge only packages and piwheels itself stay.

    \b
    Examples:
      sudo piw setup remove
      sudo piw setup remove --purge --dry-run
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.setup import machine
    from piwheels.setup.removal import purged_folders, removal_steps

    place = machine.place()
    _do(
        removal_steps(place, purge=purge, local_database=machine.has_local_database()),
        machine.check_machine,
        "Remove the farm's services from this machine, in {}?"
        if not purge
        else f"Remove the farm from this machine in {{}}, with its database and everything in "
        f"{', '.join(purged_folders(place))}?",
        dry_run=dry_run,
        as_script=as_script,
        yes=yes,
    )


def _master_options(options: dict[str, Any]) -> "MasterOptions":
    """The options given, after those of the last setup."""
    import msgspec

    from piwheels.config_templates import check_tls, tls_of
    from piwheels.setup import machine
    from piwheels.setup.master import MasterOptions, check_server_name

    files = (options["certificate"], options["certificate_key"])
    tls = tls_of(options["mode"], *files)
    options["database"] = _database(options["database"], options.pop("database_file"))
    options["tls"] = options.pop("mode")
    given = {
        key: str(value.absolute() if isinstance(value, Path) else value)
        for key, value in options.items()
        if value is not None
    }
    former = machine.remembered_options()
    values = {**(msgspec.structs.asdict(former) if former else {}), **given}
    if tls:
        values.update({"tls": "", "certificate": "", "certificate_key": "", **given})
        values["web"] = given.get("web", "caddy" if options["tls"] else values.get("web", "nginx"))
    if "database" not in values and not machine.has_local_database():
        values["database"] = machine.farm_config().database.dsn
    if "server_name" not in values:
        raise click.UsageError("name the site: --server-name wheels.example.org")
    check_server_name(values["server_name"])
    if tls and values["web"] != "none":
        check_tls(values["web"], values["server_name"], tls)
    return MasterOptions(**values)


def _database(dsn: str | None, file: Path | None) -> str | None:
    """The DSN of a PostgreSQL elsewhere; None if none was given."""
    import os

    from piwheels.db.database import split_password

    if dsn and file:
        raise click.UsageError("--database and --database-file exclude each other")
    if file:
        return read_secret(file, "DSN")
    if dsn and split_password(dsn)[1]:
        click.echo(
            "piw: note: other accounts can see the password of --database in the list of "
            "processes: use --database-file, and - there for standard input",
            err=True,
        )
    return dsn or os.environ.get("PIWHEELS_SETUP_DATABASE") or None


def _do(
    steps: "list[Step]",
    check: "Callable[[], None]",
    question: str,
    *,
    dry_run: bool,
    as_script: bool,
    yes: bool,
    secrets: dict[str, str] | None = None,
) -> None:
    """Show steps or carry them out, after a question; `check` raises what is against it."""
    from piwheels.formatting import pluralize
    from piwheels.setup import run
    from piwheels.setup.steps import script

    if as_script or dry_run:
        _note_obstacle(check)
    if as_script:
        click.echo(script(steps), nl=False)
        return
    if dry_run:
        for number, step in enumerate(steps, 1):
            _print_step(number, len(steps), step, run.state_of(step))
        return
    check()
    if not yes:
        click.confirm(question.format(pluralize(len(steps), "step")), abort=True, err=True)
    count = run.run_steps(
        steps,
        lambda number, step, state: _print_step(number, len(steps), step, state),
        lambda line: click.echo(click.style(f"    {line}", dim=True)),
        secrets,
    )
    click.echo(f"{pluralize(count, 'step')} carried out, {len(steps) - count} done before")


def _note_obstacle(check: "Callable[[], None]") -> None:
    """Say on standard error what would keep the steps from being carried out."""
    from piwheels.setup.errors import SetupError

    try:
        check()
    except SetupError as error:
        click.echo(f"piw: note: {error}", err=True)


def _print_step(number: int, count: int, step: "Step", state: "State") -> None:
    """One line for a step, and below it what will be run."""
    color = {"done": "green", "to do": "yellow", "differs": "red"}[state]
    click.echo(f"[{number}/{count}] {step.title}: {click.style(state, fg=color)}")
    if state != "done":
        for line in step.shell.splitlines():
            click.echo(f"  $ {line}")


def _print_master_notes(options: "MasterOptions") -> None:
    """What is left to a person: ports, certificates, projects and builders."""
    from piwheels.setup import machine
    from piwheels.setup.web_servers import certbot_lines

    lines = machine.firewall_lines("master")
    if lines:
        click.echo("a firewall is active; builders need these ports:")
        for line in lines:
            click.echo(f"  {line}")
    if options.web == "nginx" and not options.certificate:
        click.echo("for TLS, with a certificate of Let's Encrypt:")
        for line in certbot_lines(options.server_name):
            click.echo(f"  {line}")
    click.echo(f"the index is {options.url}simple/; what to do next:")
    click.echo("  sudo -u piwheels piw add PROJECT       # what to build")
    click.echo("  sudo -u piwheels piw builder invite --authorize    # prints a token")
    click.echo(
        "  sudo /opt/piwheels/bin/piw setup builder           # on that machine; asks for it"
    )
