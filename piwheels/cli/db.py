"""`piw db`: the farm's database."""

from pathlib import Path

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, dsn_option, load_config


@cli.group("db")
def database() -> None:
    """Create, upgrade, back up and restore the farm's database.

    \b
    Examples:
      piw db upgrade
      piw db backup farm.dump
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
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@dsn_option
def backup(file: Path, config_file: Path | None, dsn: str | None) -> None:
    """Write the database to a new FILE, with pg_dump (custom format).

    The farm may keep running. Wheels, logs and keys are files: copy webroot.root, master.spool_dir
    and master.key_dir as well.

    \b
    Example:
      piw db backup farm.dump
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.local.dump import backup_database

    backup_database(load_config(config_file, database__dsn=dsn).database.dsn, file)
    click.echo(f"the database was backed up to {file}")


@database.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@config_option
@dsn_option
def restore(file: Path, config_file: Path | None, dsn: str | None) -> None:
    """Restore a backup into an empty database, with pg_restore.

    FILE was written by `piw db backup`. Either all of it is restored, or nothing.

    \b
    Examples:
      createdb piwheels
      piw db restore farm.dump
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.local.dump import restore_database

    restore_database(load_config(config_file, database__dsn=dsn).database.dsn, file)
    click.echo(f"the database was restored from {file}; run `piw db upgrade` before the master")
