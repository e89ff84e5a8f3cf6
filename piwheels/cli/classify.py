"""`piw classify`: why a build failed, by its log alone."""

import click

from piwheels.cli.main import cli
from piwheels.cli.options import json_option


@cli.command("classify")
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
@click.option(
    "--debian",
    metavar="RELEASE",
    default="",
    help="The Debian release whose packages are named, as bookworm; default: this machine's, "
    "else the newest known.",
)
@json_option
def classify_logs(logs: tuple[str, ...], debian: str, as_json: bool) -> None:
    """Tell why builds failed, by pip's logs of them, also from elsewhere.

    LOG is a file, also compressed with gzip, or - for standard input. For each one the class of
    the failure, what was missing, the Debian packages that have it, and the line that tells are
    printed.

    \b
    Examples:
      piw classify build.log
      pip wheel lxml 2>&1 | piw classify - --json
    """  # noqa: D301 - \b is click's mark for lines to keep
    import json

    from piwheels.cli.log_files import find_causes

    found = find_causes(logs, debian)
    if as_json:
        click.echo(json.dumps([each.as_json() for each in found], indent=2))
        return
    for each in found:
        click.echo("\n".join(each.as_lines()))
