"""The verbs that ask the master for something, over its control socket."""

from pathlib import Path

import click

from piwheels.cli.root import cli, config_option, finish, json_option, load_config, yes_option

#: What `piw rebuild --part` takes.
_PARTS = ("simple", "projects", "home", "stats", "search", "sitemaps", "failures", "static")


@cli.command()
@config_option
@json_option
def status(config_file: Path | None, as_json: bool) -> None:
    """Show builders, queues, the last hour's builds and the disk."""
    from piwheels import admin

    finish(admin.status(load_config(config_file), as_json=as_json))


@cli.command()
@click.argument("requirements", nargs=-1, metavar="PROJECT[==VERSION]...")
@click.option(
    "-r",
    "--requirement",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A requirements.txt with further projects; may be given again.",
)
@click.option(
    "--latest",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="The N newest final releases of each.",
)
@click.option("--all", "every", is_flag=True, help="Every final release of each.")
@config_option
@json_option
def add(
    requirements: tuple[str, ...],
    files: tuple[Path, ...],
    latest: int,
    every: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Follow projects from now on, and build their newest releases (or those named)."""
    from piwheels import admin
    from piwheels.requirements import wanted

    asked = wanted(requirements, files, latest=0 if every else latest)
    if not asked:
        raise click.UsageError("name a PROJECT, or a requirements file with -r")
    finish(admin.add(load_config(config_file), asked, as_json=as_json))


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.option("--skip", metavar="REASON", help="And keep it out from now on, for this reason.")
@yes_option
@config_option
@json_option
def remove(
    release: str, skip: str | None, yes: bool, config_file: Path | None, as_json: bool
) -> None:
    """Remove a project or a release from the farm, with its wheels."""
    from piwheels import admin

    finish(admin.remove(load_config(config_file), release, skip=skip, yes=yes, as_json=as_json))


@cli.command()
@click.argument("release", required=False, metavar="[PROJECT[==VERSION]]")
@click.option("--target", help="A target instead, or one of the release's.")
@click.option("--reason", default="by an operator", show_default=True)
@click.option("--lift", is_flag=True, help="Build it again.")
@config_option
@json_option
def skip(
    release: str | None,
    target: str | None,
    reason: str,
    lift: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Build a project, a release or a target no more; its wheels stay."""
    from piwheels import admin

    if not release and not target:
        raise click.UsageError("name a PROJECT[==VERSION] or a --target")
    config = load_config(config_file)
    finish(admin.skip(config, release, target, None if lift else reason, as_json=as_json))


@cli.command()
@click.argument("project", required=False)
@click.option(
    "--part",
    type=click.Choice(_PARTS),
    default="",
    help="Only this: the index (simple), pages of projects (projects), home, stats, ...",
)
@config_option
@json_option
def rebuild(project: str | None, part: str, config_file: Path | None, as_json: bool) -> None:
    """Write the pages of a project again, or all pages; for wheels see `piw retry --built`."""
    from piwheels import admin

    if project and part == "projects":
        part = "project"
    finish(admin.rebuild(load_config(config_file), project, part, as_json=as_json))


@cli.command()
@click.argument("name")
@click.argument("project", required=False)
@click.option("--remove", is_flag=True, help="Let the name lead nowhere.")
@config_option
@json_option
def alias(
    name: str, project: str | None, remove: bool, config_file: Path | None, as_json: bool
) -> None:
    """Let an old or other NAME lead to the page of PROJECT."""
    from piwheels import admin

    if remove == (project is not None):
        raise click.UsageError("name a PROJECT, or --remove")
    finish(admin.alias(load_config(config_file), name, project, as_json=as_json))


@cli.command("import")
@click.argument(
    "wheels",
    nargs=-1,
    required=True,
    metavar="WHEEL...",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@config_option
@json_option
def import_(wheels: tuple[Path, ...], config_file: Path | None, as_json: bool) -> None:
    """Publish wheels that were built elsewhere, after the same checks as a builder's."""
    from piwheels import admin

    finish(admin.import_wheels(load_config(config_file), wheels, as_json=as_json))


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.argument("target", required=False)
@click.option("--built", is_flag=True, help="Also what was built: new wheels get a build number.")
@config_option
@json_option
def retry(
    release: str, target: str | None, built: bool, config_file: Path | None, as_json: bool
) -> None:
    """Try again what failed for good."""
    from piwheels import admin

    finish(admin.retry(load_config(config_file), release, target, built=built, as_json=as_json))


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.argument("target", required=False)
@config_option
@json_option
def explain(release: str, target: str | None, config_file: Path | None, as_json: bool) -> None:
    """Say why a wheel is there or not, and what happens next."""
    from piwheels import admin

    finish(admin.explain(load_config(config_file), release, target, as_json=as_json))


@cli.command()
@click.argument("build", type=click.IntRange(min=1))
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the build ends.")
@config_option
def log(build: int, follow: bool, config_file: Path | None) -> None:
    """Print the log of a build."""
    from piwheels import admin

    finish(admin.log(load_config(config_file), build, follow=follow))


@cli.command()
@config_option
@json_option
def pause(config_file: Path | None, as_json: bool) -> None:
    """Hand out no more jobs; builds in hand go on."""
    from piwheels import admin

    finish(admin.pause(load_config(config_file), paused=True, as_json=as_json))


@cli.command()
@config_option
@json_option
def resume(config_file: Path | None, as_json: bool) -> None:
    """Hand out jobs again."""
    from piwheels import admin

    finish(admin.pause(load_config(config_file), paused=False, as_json=as_json))
