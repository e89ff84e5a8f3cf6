"""`piw db`: the farm's database."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from piwheels.cli.backup_output import os_errors_as_lines, print_json, print_step, restore_lines
from piwheels.cli.main import cli
from piwheels.cli.options import (
    config_option,
    dsn_option,
    json_option,
    load_config,
    load_config_with_origins,
    refuse_root,
)

if TYPE_CHECKING:
    from piwheels.backup.restore import RestoreOptions


@cli.group("db")
def database() -> None:
    """Create, upgrade, back up and restore the farm's database.

    \b
    Examples:
      piw db upgrade
      piw db backup farm.zip
    """  # noqa: D301 - \b is click's mark for lines to keep


@database.command("upgrade")
@config_option
@dsn_option
@click.option("--dry-run", is_flag=True, help="Print the SQL that would run, and change nothing.")
def upgrade(config_file: Path | None, dsn: str | None, dry_run: bool) -> None:
    """Create the farm's tables, or upgrade them to this version.

    \b
    Examples:
      piw db upgrade --dry-run
      piw db upgrade
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    from piwheels.db import migrate

    config = load_config(config_file, database__dsn=dsn)
    migrations = asyncio.run(migrate.upgrade(config.database.dsn, dry_run=dry_run))
    for migration in migrations:
        name = f"sql/{migration.name}"
        click.echo(f"-- {name}\n{migration.sql}" if dry_run else f"applied {name}")
    if not migrations:
        click.echo(f"the database is already at version {migrate.SCHEMA_VERSION}")


@database.command("recount")
@config_option
@dsn_option
@click.option("--dry-run", is_flag=True, help="Only print what is wrong; exit 1 if anything is.")
def recount(config_file: Path | None, dsn: str | None, dry_run: bool) -> None:
    """Count all rows, and correct the counts that are kept.

    `piw status` and the console show kept counts. The farm may keep running; on a large one this
    takes some seconds.

    \b
    Examples:
      piw db recount --dry-run
      piw db recount
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    from piwheels.db.row_counts import recount_rows
    from piwheels.formatting import pluralize

    config = load_config(config_file, database__dsn=dsn)
    errors = asyncio.run(recount_rows(config.database.dsn, correct=not dry_run))
    for error in errors:
        click.echo(error)
    if not errors:
        click.echo("all counts are right")
    elif dry_run:
        raise click.exceptions.Exit(1)
    else:
        click.echo(f"{pluralize(len(errors), 'count')} corrected")


@database.command("backup")
@click.argument("target", metavar="FILE|DIR", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Delete all but the newest N backups in DIR.",
)
@config_option
@dsn_option
@json_option
def backup(
    target: Path, keep: int | None, config_file: Path | None, dsn: str | None, as_json: bool
) -> None:
    """Write database, keys and configuration to a new file.

    In DIR it is named by the time. The farm may keep running: all is of one moment. The file also
    lists every wheel with its hash, so that a restore knows what the web root lacks; wheels and
    logs are not in it. Only its owner can read it, because it holds the farm's private keys. Needs
    pg_dump.

    \b
    Examples:
      piw db backup farm.zip
      piw db backup /backup --keep 14
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    from piwheels.backup.backup import write_backup
    from piwheels.formatting import format_size, pluralize

    loaded = load_config_with_origins(config_file, database__dsn=dsn)
    refuse_root(loaded.config.master.key_dir)
    with os_errors_as_lines():
        done = asyncio.run(write_backup(loaded, target, print_step, keep=keep or 0))
    if as_json:
        print_json(done)
        return
    click.echo(
        f"{done.file}: the database, {pluralize(done.keys, 'key')} and a list of "
        f"{pluralize(done.wheels, 'wheel')} ({format_size(done.wheel_bytes)}); "
        f"{format_size(done.size_bytes)}"
    )
    for old in done.deleted:
        click.echo(f"deleted {old}")


@database.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace the database, configuration and keys here.")
@click.option(
    "--keep-config", is_flag=True, help="Use this machine's configuration, not the backup's."
)
@click.option(
    "--only-config", is_flag=True, help="Restore nothing but the configuration, which root writes."
)
@click.option(
    "--backup-key-dir",
    is_flag=True,
    help="Write keys to the folder that the backup's configuration names, wherever it is.",
)
@click.option(
    "--complete-tree",
    is_flag=True,
    help="The web root was copied after the farm ended: it has every wheel that was published.",
)
@click.option(
    "--allow-empty", is_flag=True, help="Build all wheels again, if the web root has none at all."
)
@click.option(
    "--other-webroot",
    is_flag=True,
    help="The web root may be another farm's; files that are not of FILE are moved aside.",
)
@click.option("--dry-run", is_flag=True, help="Check FILE and compare; change nothing.")
@click.option(
    "--hashes/--no-hashes",
    default=True,
    help="Compare the hash of every wheel in the web root (the default), or only their sizes.",
)
@config_option
@dsn_option
@json_option
def restore(
    file: Path,
    config_file: Path | None,
    dsn: str | None,
    as_json: bool,
    only_config: bool,
    **options: bool,
) -> None:
    """Restore a backup onto an empty machine: database, keys, settings.

    First copy the web root, however old. The database is restored as a whole or not at all.
    Then the web root is compared: wheels that it lacks are built again; wheels that were published
    after the backup are listed again, with the same names and hashes; files that cannot be listed
    are moved aside, and none is deleted. `piw audit --fix` is part of it. After an interruption,
    the same command continues. Restore only a backup of your own: its settings and its database
    are trusted like the farm's own files.

    \b
    Examples:
      createdb piwheels
      piw db restore farm.zip --dry-run
      piw db restore farm.zip
      sudo piw db restore farm.zip --only-config --dry-run
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    from piwheels.backup.restore import RestoreOptions, restore_backup

    asked = RestoreOptions(**options)
    if only_config:
        _restore_config(file, config_file, asked, as_json=as_json)
        return
    if config_file is None or config_file.exists():
        refuse_root(load_config(config_file).master.key_dir)
    with os_errors_as_lines():
        done = asyncio.run(
            restore_backup(file, config_file, {"database.dsn": dsn}, asked, print_step)
        )
    if as_json:
        print_json(done)
        return
    for line in restore_lines(done, dry_run=asked.dry_run):
        click.echo(line)


def _restore_config(
    file: Path, config_file: Path | None, asked: "RestoreOptions", *, as_json: bool
) -> None:
    """Restore the configuration alone, and print which settings changed."""
    from piwheels.backup.restore import restore_config

    with os_errors_as_lines():
        done = restore_config(file, config_file, asked)
    if as_json:
        print_json(done)
        return
    what = "would be replaced" if asked.dry_run else "was written"
    click.echo(f"{done.config_file} {what}; settings that differ: {len(done.changed)}")
    for line in done.changed:
        click.echo(f"  {line}")
