"""`piw upgrade --check`: what of a farm differs from this version."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, json_option

if TYPE_CHECKING:
    from piwheels.setup.upgrade_check import Part


@cli.command("upgrade")
@click.option("--check", is_flag=True, help="Say what differs, and change nothing.")
@config_option
@json_option
def upgrade(check: bool, config_file: Path | None, as_json: bool) -> None:
    """Say which parts of this farm differ from this version, and what to upgrade first.

    It compares this program with the running master, the tables, the names of settings, the units
    and the site that `piw config` prints, and the builders. Exit code 1: something differs.

    \b
    Example:
      sudo piw upgrade --check
    """  # noqa: D301 - \b is click's mark for lines to keep
    if not check:
        raise click.UsageError(
            "upgrade this program with pip, then see `piw upgrade --check`: it names the commands"
        )
    import asyncio

    from piwheels.config import load
    from piwheels.setup import machine
    from piwheels.setup.upgrade_check import check_upgrade

    machine.check_root()
    if not machine.is_set_up():
        raise machine.nothing_here()
    loaded = load(config_file)
    parts = asyncio.run(check_upgrade(loaded, machine.remembered_options(), machine.place()))
    differs = _print_parts(parts, as_json=as_json)
    raise click.exceptions.Exit(1 if differs else 0)


def _print_parts(parts: "list[Part]", *, as_json: bool) -> bool:
    """Print the parts, and what to do; returns whether any differs."""
    from piwheels.output import print_table
    from piwheels.setup.upgrade_check import actions

    todo = actions(parts)
    if as_json:
        import msgspec

        document = {"parts": parts, "actions": todo}
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return bool(todo)
    rows = [
        (part.name, click.style(part.found, fg="yellow" if part.differs else None))
        for part in parts
    ]
    print_table(("part", "state"), rows)
    if todo:
        click.echo("\nin this order:")
    for number, action in enumerate(todo, 1):
        click.echo(f"  {number}. {action}")
    return bool(todo)
