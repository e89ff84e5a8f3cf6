"""What can be copied to the terminal's clipboard: rows, cells, how to install a release."""

import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from piwheels.errors import PiwheelsError
from piwheels.formatting import pluralize
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.tables.table_model import Column, Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.untrusted_names import normalize_project, parse_version


class Copyable(NamedTuple):
    """A text, without anything that a terminal would interpret, and what it is."""

    label: str
    text: str
    key: str = ""  # of the column that it is of

    @property
    def message(self) -> str:
        """What to say when it was copied."""
        return f"Copied {self.label}{'' if chr(10) in self.text else f': {self.text}'}"


def copyable_rows(rows: Sequence[Row]) -> list[Copyable]:
    """Whole rows, a line each; none for no row."""
    if not rows:
        return []
    text = "\n".join("\t".join(terminal_safe(cell.text) for cell in row.cells) for row in rows)
    return [Copyable("the row" if len(rows) == 1 else pluralize(len(rows), "row"), text)]


def copyable_cells(columns: Sequence[Column], places: Sequence[int], row: Row) -> list[Copyable]:
    """The cells of a row, in the order in which the columns are shown; empty ones are left out."""
    return [
        Copyable(columns[place].title, terminal_safe(row.cells[place].text), columns[place].key)
        for place in places
        if place < len(row.cells) and row.cells[place].text
    ]


def copyable_names(target: ActionTarget | None) -> list[Copyable]:
    """What a page is about."""
    if target is None:
        return []
    named = (
        ("release", f"{target.project} {target.version}".strip()),
        ("target", target.target),
        ("builder", target.builder),
    )
    return [Copyable(label, terminal_safe(text)) for label, text in named if text]


def copyable_installs(index_url: str, target: ActionTarget | None) -> Iterator[Copyable]:
    """The line that installs a release, and the address of the farm's index, where it has one."""
    if not index_url:
        return
    url = terminal_safe(index_url)
    yield Copyable("pip line", pip_line(url, _requirement(target)))
    yield Copyable("index address", url)


def pip_line(index_url: str, requirement: str = "NAME") -> str:
    """What installs from an index, as a shell reads it."""
    return f"pip install --index-url {shlex.quote(index_url)} {shlex.quote(requirement)}"


def _requirement(target: ActionTarget | None) -> str:
    """A release as pip names it; NAME stands for one that is not a valid name."""
    if target is None:
        return "NAME"
    try:
        name = normalize_project(target.project)
        return f"{name}=={parse_version(target.version)}" if target.version else name
    except PiwheelsError:
        return "NAME"
