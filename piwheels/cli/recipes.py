"""`piw recipe`: recipe files, which describe what the builds of projects need."""

from pathlib import Path

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, dsn_option, json_option, load_config


@cli.group("recipe")
def recipe() -> None:
    """Check recipe files, and export those of a farm.

    A recipe says what the builds of a project need beyond what its releases declare: Debian
    packages, versions of build tools, environment variables, patches. docs/recipes.md describes
    the files.
    """


@recipe.command("check")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@json_option
def recipe_check(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check recipe files, and folders of them.

    Prints a line for each fault. Exits with 0 if there are none, 1 if there are some, and 2 if a
    PATH cannot be read.

    \b
    Examples:
      piw recipe check recipes/
      piw recipe check recipes/lxml.toml --json
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.errors import ConfigError, UsageError
    from piwheels.recipes import load_folder

    try:
        loaded = [load_folder(path) for path in paths]
    except ConfigError as error:
        raise UsageError(str(error)) from None
    faults = [fault for item in loaded for fault in item.faults]
    projects = sorted({project for item in loaded for project in item.recipes})
    if as_json:
        import json

        rows = [fault._asdict() for fault in faults]
        click.echo(json.dumps({"recipes": projects, "faults": rows}, indent=2))
    else:
        from piwheels.formatting import pluralize
        from piwheels.sanitize import strip_controls

        for fault in faults:
            click.echo(strip_controls(str(fault)))
        click.echo(f"{pluralize(len(projects), 'recipe')}, {pluralize(len(faults), 'fault')}")
    if faults:
        raise SystemExit(1)


@recipe.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--origin",
    type=click.Choice(["learned", "operator", "written"]),
    default="learned",
    show_default=True,
    help="Those that the farm learned, that operators added, or that came from a folder.",
)
@config_option
@dsn_option
def recipe_export(folder: Path, origin: str, config_file: Path | None, dsn: str | None) -> None:
    """Write the recipes that the farm learned as files into FOLDER.

    Files that exist are kept. It reads the farm's database.

    \b
    Examples:
      piw recipe export recipes/
      piw recipe export added/ --origin operator
    """  # noqa: D301 - \b is click's mark for lines to keep
    import asyncio

    from piwheels.db.recipe_store import read_recipes
    from piwheels.errors import UsageError
    from piwheels.formatting import pluralize
    from piwheels.model import RecipeOrigin
    from piwheels.recipes import write_folder

    config = load_config(config_file, database__dsn=dsn)
    recipes = asyncio.run(read_recipes(config.database.dsn, RecipeOrigin(origin)))
    try:
        files = write_folder(recipes.values(), folder)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from None
    for file in files:
        click.echo(f"wrote {file}")
    click.echo(f"{pluralize(len(recipes), 'recipe')}, {pluralize(len(files), 'new file')}")
