"""What `piw` and `piw up` print: tables, and the results of adding projects."""

import sys
from collections.abc import Sequence

import click

from piwheels.protocol.messages import AddReply
from piwheels.requirements import ParsedRequirements
from piwheels.sanitize import strip_controls

#: Where the output is no terminal, nothing is wrapped or cut.
_UNLIMITED_WIDTH = 10_000


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns; cells may hold click's styles."""
    from rich.console import Console  # noqa: PLC0415 - not for commands that print no table
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*map(Text.from_ansi, row))
    console = Console(
        width=None if sys.stdout.isatty() else _UNLIMITED_WIDTH, highlight=False, markup=False
    )
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def print_notes(requirements: ParsedRequirements) -> None:
    """Print a line for each line of a requirements file that was ignored."""
    for note in requirements.notes:
        click.echo(f"note: {strip_controls(note)}", err=True)


def print_added(reply: AddReply) -> None:
    """Print a line for each requirement: what will be built, or why nothing will."""
    for result in reply.added:
        if result.problem:
            click.echo(strip_controls(f"{result.requirement}: {result.problem}"), err=True)
        else:
            click.echo(f"{result.project}: {', '.join(result.versions)}")
