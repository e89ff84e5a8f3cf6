"""Commands about download statistics."""

import sys
from datetime import datetime
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
    """Ask and manage download statistics.

    \b
    Examples:
      piw stats count python --since 2026-01-01
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


@stats.command("count")
@click.argument(
    "key", type=click.Choice(["day", "project", "file", "python", "arch", "installer", "os"])
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="The first day (UTC).")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day (UTC).")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    metavar="N",
    help="Print at most this many lines; 0 is all.",
)
@config_option
@json_option
def stats_count(
    key: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Count accesses and downloads by day, project or client.

    The answer has those in the database and those that were moved to Parquet files
    (accesslog.parquet_after_days); what is older than accesslog.retention_months is deleted.

    \b
    Examples:
      piw stats count day --since 2026-11-01
      piw stats count project --since 2026-11-01 --until 2026-11-30 --limit 100
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.accesslog.access_questions import run

    sys.exit(run(load_config(config_file), key, since, until, limit=limit, as_json=as_json))


@stats.command("export")
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Default: accesslog.parquet_after_days.",
)
@config_option
def stats_export(days: int | None, config_file: Path | None) -> None:
    """Move single accesses of old months to Parquet files.

    `piw accesslog --follow` does so every hour if accesslog.parquet_after_days is set.

    \b
    Example:
      piw stats export --older-than 90
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.accesslog.parquet_export import run

    loaded = load_config(config_file)
    days = days or loaded.accesslog.parquet_after_days
    if not days:
        raise click.UsageError("accesslog.parquet_after_days is 0: use --older-than DAYS")
    sys.exit(run(loaded, days))
