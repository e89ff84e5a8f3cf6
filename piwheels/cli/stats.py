"""The verbs of download figures: reading access logs, and taking in what was counted before."""

import sys
from pathlib import Path

import click

from piwheels.cli.main import cli, config_option, json_option, load_config

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
    help="Read on in FILE as it grows, also through rotation; may be given again.",
)
@click.option(
    "--format",
    "line_format",
    type=click.Choice(_FORMATS),
    default="auto",
    show_default=True,
    help="How lines are written; auto takes each as it looks.",
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
    """Count what a web server logged: downloads and what else was asked for.

    Reads FILEs (also packed ones), or follows a log, or takes lines from standard input. What
    was read before is known by its content and counts once, whatever its file is called by now.

    \b
    piw accesslog /var/log/nginx/piwheels.log.*.gz
    piw accesslog --follow /var/log/nginx/piwheels.log
    """  # noqa: D301 - \b is click's mark for lines to keep
    if not files and not follow and sys.stdin.isatty():
        raise click.UsageError("name a FILE or --follow one, or pipe a log in")
    from piwheels.accesslog.parse import LogFormat
    from piwheels.accesslog.service import IngestOptions, run

    options = IngestOptions(files, follow, LogFormat(line_format), as_json)
    sys.exit(run(load_config(config_file), options))


@cli.group()
def stats() -> None:
    """Figures of downloads; the site and `piw status` show them."""


@stats.command("import")
@click.argument("file", metavar="CSV", type=_existing_file)
@config_option
@json_option
def stats_import(file: Path, config_file: Path | None, as_json: bool) -> None:
    """Take daily totals from a CSV, so that a farm keeps its history.

    Its first line names the columns: day (2026-11-25) and downloads, and if you have them bytes
    and saved_s, the seconds of build time saved. A day that is imported again gets its new
    figures; of a day that this farm counted too, the larger figure stands.
    """
    from piwheels.accesslog.csv_import import run

    sys.exit(run(load_config(config_file), file, as_json=as_json))
