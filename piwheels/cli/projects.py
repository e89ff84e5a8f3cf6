"""Queries about projects, builds and events, and the commands that read files.

`piw add` and `piw import` take their help from their definitions. Their options are written here,
because they name files that are read, and `piw up` shares those of `piw add`: no message has them.
"""

from pathlib import Path

import click

from piwheels.cli.commands import TargetCommand, help_text
from piwheels.cli.main import cli
from piwheels.cli.options import (
    all_releases_option,
    config_option,
    files_option,
    json_option,
    latest_option,
    load_config,
    release_count,
    run_and_exit,
    target_option,
)
from piwheels.protocol.commands.projects import ADD, IMPORT

_limit_option = click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="Show at most N, the newest.",
)


@cli.command()
@config_option
@json_option
def status(config_file: Path | None, as_json: bool) -> None:
    """Show alerts, builders, queues, the last hour's builds and the disk.

    \b
    Example:
      piw status
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import status

    run_and_exit(status.status(load_config(config_file), as_json=as_json))


@cli.command()
@config_option
def metrics(config_file: Path | None) -> None:
    """Print the farm's state and its alerts as metrics for Prometheus.

    \b
    Example:
      piw metrics > /var/lib/prometheus/node-exporter/piwheels.prom
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import metrics

    run_and_exit(metrics.metrics(load_config(config_file)))


@cli.command(help=help_text(ADD), short_help=ADD.summary)
@click.argument("requirements", nargs=-1, metavar="PROJECT[==VERSION]...")
@files_option
@latest_option
@all_releases_option
@config_option
@json_option
def add(
    requirements: tuple[str, ...],
    requirement_files: tuple[Path, ...],
    latest: int | None,
    all_releases: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Add projects; the help is in the definition."""
    from piwheels.cli.remote import projects
    from piwheels.requirements import parse_requirements

    if not requirements and not requirement_files:
        raise click.UsageError("name a PROJECT, or a requirements file with -r")
    parsed = parse_requirements(requirements, requirement_files)
    count = release_count(latest, all_releases=all_releases)
    run_and_exit(projects.add(load_config(config_file), parsed, latest=count, as_json=as_json))


@cli.command("import", help=help_text(IMPORT), short_help=IMPORT.summary)
@click.argument(
    "wheels",
    nargs=-1,
    required=True,
    metavar="WHEEL...",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@config_option
@json_option
def import_wheels(wheels: tuple[Path, ...], config_file: Path | None, as_json: bool) -> None:
    """Import wheels; the help is in the definition."""
    from piwheels.cli.remote import wheel_import

    run_and_exit(wheel_import.import_wheels(load_config(config_file), wheels, as_json=as_json))


@cli.command(cls=TargetCommand)
@click.argument("release", metavar="PROJECT[==VERSION]")
@target_option
@config_option
@json_option
def explain(release: str, target: str | None, config_file: Path | None, as_json: bool) -> None:
    """Show why a wheel exists or not, and what happens next.

    \b
    Examples:
      piw explain numpy
      piw explain numpy==2.1 --target cp313
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import projects

    run_and_exit(projects.explain(load_config(config_file), release, target, as_json=as_json))


@cli.command()
@click.argument("build", type=click.IntRange(min=1))
@click.option("--follow", "-f", is_flag=True, help="Continue printing until the build ends.")
@config_option
@json_option
def log(build: int, follow: bool, config_file: Path | None, as_json: bool) -> None:
    """Print the log of a build.

    \b
    Example:
      piw log 4711 --follow
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import listings

    run_and_exit(listings.log(load_config(config_file), build, follow=follow, as_json=as_json))


@cli.command()
@click.argument("project", required=False)
@click.option("--failed", is_flag=True, help="Show only builds without a wheel.")
@click.option(
    "--slower-than",
    metavar="DURATION",
    help="Show only longer builds (90s, 15m, 2h, 1d).",
)
@_limit_option
@config_option
@json_option
def builds(
    project: str | None,
    failed: bool,
    slower_than: str | None,
    limit: int,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """List recent builds, of all projects or of one.

    \b
    Examples:
      piw builds numpy
      piw builds --failed --slower-than 15m
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import listings

    run_and_exit(
        listings.builds(
            load_config(config_file),
            project,
            failed=failed,
            slower_than=slower_than,
            limit=limit,
            as_json=as_json,
        )
    )


@cli.command()
@config_option
@json_option
def failures(config_file: Path | None, as_json: bool) -> None:
    """List what fails on the whole farm, grouped by cause, regressions first.

    A regression is a release of a project that was built before for the same target.

    \b
    Example:
      piw failures
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import listings

    run_and_exit(listings.failures(load_config(config_file), as_json=as_json))


@cli.command()
@_limit_option
@click.option(
    "--before",
    type=click.IntRange(min=1),
    metavar="EVENT",
    help="Show only events older than this event number.",
)
@config_option
@json_option
def events(limit: int, before: int | None, config_file: Path | None, as_json: bool) -> None:
    """Show the audit log: commands with their results, and automatic events.

    \b
    Example:
      piw events -n 50
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.cli.remote import listings

    run_and_exit(
        listings.events(load_config(config_file), limit=limit, before=before, as_json=as_json)
    )
