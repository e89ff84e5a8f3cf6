"""The verbs that ask the master for something, over its control socket."""

from pathlib import Path

import click

from piwheels.cli.main import (
    all_releases_option,
    cli,
    config_option,
    files_option,
    json_option,
    latest_option,
    load_config,
    release_count,
    run_and_exit,
    yes_option,
)

#: What `piw rebuild --part` takes.
_PAGE_KINDS = ("simple", "projects", "home", "stats", "search", "sitemaps", "failures", "static")


@cli.command()
@config_option
@json_option
def status(config_file: Path | None, as_json: bool) -> None:
    """Show builders, queues, the last hour's builds and the disk."""
    from piwheels.cli.remote import status

    run_and_exit(status.status(load_config(config_file), as_json=as_json))


@cli.command()
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
    every: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Follow projects from now on, and build their newest releases (or those named)."""
    from piwheels.cli.remote import projects
    from piwheels.requirements import parse_requirements

    if not requirements and not requirement_files:
        raise click.UsageError("name a PROJECT, or a requirements file with -r")
    asked, count = (
        parse_requirements(requirements, requirement_files),
        release_count(latest, all_releases=every),
    )
    run_and_exit(projects.add(load_config(config_file), asked, latest=count, as_json=as_json))


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
    from piwheels.cli.remote import projects

    run_and_exit(
        projects.remove(load_config(config_file), release, skip=skip, yes=yes, as_json=as_json)
    )


@cli.command()
@click.argument("release", required=False, metavar="[PROJECT[==VERSION]]")
@click.option("--target", help="A whole target; with a project or release, just that for it.")
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
    """Build a project, a release or a target no more; its wheels stay.

    With a PROJECT or release and a --target, it is not built for that target alone.
    """
    from piwheels.cli.remote import projects

    if not release and not target:
        raise click.UsageError("name a PROJECT[==VERSION] or a --target")
    config = load_config(config_file)
    run_and_exit(projects.skip(config, release, target, None if lift else reason, as_json=as_json))


@cli.command()
@click.argument("project", required=False)
@click.option(
    "--part",
    type=click.Choice(_PAGE_KINDS),
    help="Only this: the index (simple), pages of projects (projects), home, stats, ...",
)
@config_option
@json_option
def rebuild(project: str | None, part: str | None, config_file: Path | None, as_json: bool) -> None:
    """Write the pages of a project again, or all pages; for wheels see `piw retry --built`."""
    from piwheels.cli.remote import projects

    if project and part == "projects":
        part = "project"
    run_and_exit(
        projects.regenerate_pages(load_config(config_file), project, part or "", as_json=as_json)
    )


@cli.command()
@click.argument("name")
@click.argument("project", required=False)
@click.option("--remove", is_flag=True, help="Let the name lead nowhere.")
@config_option
@json_option
def alias(
    name: str, project: str | None, remove: bool, config_file: Path | None, as_json: bool
) -> None:
    """Let an old or other NAME lead to the page of PROJECT.

    People find the page by it. The index has no page of another name: pip and uv install no
    wheel of a project that is called otherwise than what they were asked for.
    """
    from piwheels.cli.remote import projects

    if remove == (project is not None):
        raise click.UsageError("name a PROJECT, or --remove")
    run_and_exit(projects.alias(load_config(config_file), name, project, as_json=as_json))


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
    from piwheels.cli.remote import wheel_import

    run_and_exit(wheel_import.import_wheels(load_config(config_file), wheels, as_json=as_json))


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
    from piwheels.cli.remote import projects

    run_and_exit(
        projects.retry(load_config(config_file), release, target, built=built, as_json=as_json)
    )


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.argument("target", required=False)
@config_option
@json_option
def explain(release: str, target: str | None, config_file: Path | None, as_json: bool) -> None:
    """Say why a wheel is there or not, and what happens next."""
    from piwheels.cli.remote import projects

    run_and_exit(projects.explain(load_config(config_file), release, target, as_json=as_json))


@cli.command()
@click.argument("build", type=click.IntRange(min=1))
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the build ends.")
@config_option
@json_option
def log(build: int, follow: bool, config_file: Path | None, as_json: bool) -> None:
    """Print the log of a build."""
    from piwheels.cli.remote import listings

    run_and_exit(listings.log(load_config(config_file), build, follow=follow, as_json=as_json))


@cli.command()
@click.argument("project", required=False)
@click.option("--failed", is_flag=True, help="Only those without a wheel.")
@click.option("--slower-than", metavar="DURATION", help="Only longer ones: 90s, 15m, 2h, 1d.")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
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
    """List the builds that ended last, of all or of one project."""
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
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@click.option("--before", type=click.IntRange(min=1), metavar="EVENT", help="Those before that.")
@config_option
@json_option
def events(limit: int, before: int | None, config_file: Path | None, as_json: bool) -> None:
    """List who did what, with what came of it, and what the farm did of itself."""
    from piwheels.cli.remote import listings

    run_and_exit(
        listings.events(load_config(config_file), limit=limit, before=before, as_json=as_json)
    )
