"""Commands about download statistics."""

import sys
from pathlib import Path

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, json_option, load_config

_FORMATS = ("auto", "combined", "common", "apache", "nginx-json", "caddy-json")
_existing_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=_existing_file)
@click.option(
    "--follow",
    "-f",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Follow FILE as it grows, across rotations; repeatable.",
)
@click.option(
    "--format",
    "line_format",
    type=click.Choice(_FORMATS),
    default="auto",
    show_default=True,
    help="Log format; auto detects it per line.",
)
@config_option
@json_option
def accesslog(
    files: tuple[Path, ...],
    follow: tuple[Path, ...],
    line_format: str,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Import web server access logs into the download statistics.

    Reads FILEs (also compressed), follows a log, or reads standard input. A log is recognized by
    its content, so each line is counted once even after rotation, renaming or compression.

    \b
    Examples:
      piw accesslog /var/log/nginx/piwheels.log.*.gz
      piw accesslog --follow /var/log/nginx/piwheels.log
    """  # noqa: D301 - \b is click's mark for lines to keep
    if not files and not follow and sys.stdin.isatty():
        raise click.UsageError("name a FILE, use --follow FILE, or pipe a log in")
    from piwheels.accesslog.log_formats import LogFormat
    from piwheels.accesslog.service import IngestOptions, run

    options = IngestOptions(files, follow, LogFormat(line_format), as_json)
    sys.exit(run(load_config(config_file), options))


@cli.group()
def stats() -> None:
    """Manage download statistics.

    \b
    Example:
      piw stats import history.csv
    """  # noqa: D301 - \b is click's mark for lines to keep


@stats.command("import")
@click.argument("file", metavar="CSV", type=_existing_file)
@config_option
@json_option
def stats_import(file: Path, config_file: Path | None, as_json: bool) -> None:
    """Import daily totals from a CSV file.

    The first line names the columns: day (2026-11-25) and downloads, optionally bytes and saved_s,
    the seconds of build time saved. Importing a day again replaces its figures. For a day that was
    also counted here, the larger figure is used.

    \b
    Example:
      piw stats import history.csv
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.accesslog.csv_import import run

    sys.exit(run(load_config(config_file), file, as_json=as_json))
