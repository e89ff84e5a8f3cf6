"""`piw root`: the Debian systems that builds run on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, json_option, load_config, yes_option

if TYPE_CHECKING:
    from piwheels.builder.root_systems import Roots
    from piwheels.roots.store import MadeRoot

_NAMES = click.argument("names", nargs=-1, required=True, metavar="NAME...")


@cli.group()
def root() -> None:
    """Manage build roots: the Debian systems that builds run on.

    A root is a Debian system in a directory, made without root privileges. A builder builds for
    each of its roots; roots for other processors are emulated.

    \b
    See what this machine can do:       piw root check
    Make a root, and build on it:       piw root add trixie-arm64
                                        piw config set builder.roots trixie-arm64
    The same in a private farm:         piw up markupsafe --root trixie-arm64
    """  # noqa: D301 - \b is click's mark for lines to keep


@root.command("add")
@_NAMES
@config_option
@json_option
def root_add(names: tuple[str, ...], config_file: Path | None, as_json: bool) -> None:
    """Make roots from presets or from the configuration.

    NAME is a preset, as `piw root list` shows them, or the section `[root.NAME]`. Each root
    downloads 100 to 130 MB and uses about 450 MB. An interrupted download resumes. An existing
    root is not changed.

    \b
    Examples:
      piw root add trixie-arm64
      piw root add bookworm-armhf trixie-armhf
    """  # noqa: D301 - \b is click's mark for lines to keep
    roots = _roots(config_file)
    for name in names:
        roots.definition(name)
    made = [roots.store.find(name) or _make(roots, name, quiet=as_json) for name in names]
    _print_roots(made, as_json=as_json)


@root.command("update")
@_NAMES
@config_option
@json_option
def root_update(names: tuple[str, ...], config_file: Path | None, as_json: bool) -> None:
    """Make roots again from the current packages of their archives.

    The former state is used until the new one is complete, and by builders until they restart.

    \b
    Example:
      piw root update trixie-arm64
    """  # noqa: D301 - \b is click's mark for lines to keep
    roots = _roots(config_file)
    for name in names:
        _require(roots, name)
    made = [_make(roots, name, quiet=as_json) for name in names]
    _print_roots(made, as_json=as_json)


@root.command("list")
@config_option
@json_option
def root_list(config_file: Path | None, as_json: bool) -> None:
    """Print the roots that exist, and those that can be made.

    \b
    Example:
      piw root list
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.roots.definition import find_definition, preset_names
    from piwheels.roots.store import store_of

    config = load_config(config_file)
    made = {item.record.name: item for item in store_of(config.builder).roots()}
    names = dict.fromkeys((*made, *config.root, *preset_names()))
    rows: list[dict[str, Any]] = []
    for name in names:
        if name in made:
            rows.append({**_row(made[name]), "made": True})
        else:
            title = find_definition(name, config.root, config.builder).title
            rows.append({"name": name, "title": title, "made": False})
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(_line(row))


@root.command("remove")
@_NAMES
@yes_option
@config_option
def root_remove(names: tuple[str, ...], yes: bool, config_file: Path | None) -> None:
    """Delete roots.

    A running builder keeps the roots that it uses until it stops.

    \b
    Example:
      piw root remove bookworm-armhf
    """  # noqa: D301 - \b is click's mark for lines to keep
    roots = _roots(config_file)
    for name in names:
        _require(roots, name)
    if not yes:
        click.confirm(f"Delete {', '.join(names)}?", abort=True, err=True)
    for name in names:
        roots.store.remove(name)
        click.echo(f"{name} is deleted")


@root.command("check")
@config_option
@json_option
def root_check(config_file: Path | None, as_json: bool) -> None:
    """Check that this machine can make and run roots.

    Prints what is missing and how to fix it, and exits with 1 if anything is missing.

    \b
    Example:
      piw root check
    """  # noqa: D301 - \b is click's mark for lines to keep
    import sys

    from piwheels.builder.root_check import check_machine

    checks = check_machine(_roots(config_file))
    if as_json:
        click.echo(json.dumps([item.as_dict() for item in checks]))
    else:
        for item in checks:
            mark = click.style("ok", fg="green") if item.ok else click.style("--", fg="yellow")
            click.echo(f"{mark}  {item.what}: {item.found}")
            if not item.ok:
                click.echo(f"    {item.remedy}")
    sys.exit(0 if all(item.ok for item in checks) else 1)


def _roots(config_file: Path | None) -> "Roots":
    from piwheels.builder.root_systems import Roots

    config = load_config(config_file, builder__sandbox=True)
    return Roots(config.builder, config.root)


def _require(roots: "Roots", name: str) -> None:
    if roots.store.find(name) is None:
        raise click.UsageError(f"there is no root {name}; `piw root list` prints all roots")


def _make(roots: "Roots", name: str, *, quiet: bool) -> "MadeRoot":
    from piwheels.roots.progress import RootProgress

    with RootProgress(name, quiet=quiet) as progress:
        return roots.make(name, progress)


def _print_roots(made: "list[MadeRoot]", *, as_json: bool) -> None:
    rows = [{**_row(item), "made": True} for item in made]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row, item in zip(rows, made, strict=True):
        click.echo(_line(row))
        if notice := item.record.notice:
            click.secho(f"note: {notice}", fg="yellow", err=True)


def _row(made: "MadeRoot") -> dict[str, Any]:
    record = made.record
    return {
        "name": record.name,
        "title": record.title,
        "arch": record.arch,
        "packages": len(record.packages),
        "size_bytes": record.size_bytes,
        "made_at": record.made_at.isoformat(),
        "archives": record.archive_dates,
        "left_out": record.left_out,
        "folder": str(made.system),
    }


def _line(row: dict[str, Any]) -> str:
    from piwheels.formatting import format_size

    if not row["made"]:
        return f"{row['name']:<22}  {row['title'] or 'in the configuration'}, not made"
    size = format_size(row["size_bytes"])
    return f"{row['name']:<22}  {size:>10}  {row['packages']} packages  {row['made_at'][:10]}"
