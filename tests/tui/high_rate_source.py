"""An app that changes all the time, for tests of what a slow terminal gets of it.

    python -m tests.tui.high_rate_source [stock|broken|unknown] [EVERY_S]

`stock` draws as Textual does, `broken` finds Textual's insides changed while it runs, and
`unknown` before it runs. A key is echoed in the line at the bottom; q ends it.
"""

import logging
import os
import random
import sys

from textual import events
from textual.app import ComposeResult
from textual.drivers.linux_driver import LinuxDriver
from textual.widgets import Static

from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.terminal import diff_driver
from piwheels.tui.terminal.cell_diff import CellDiff
from piwheels.tui.widgets.table import RowTable

COLUMNS = tuple(Column(f"c{n}", f"Column {n}", 12) for n in range(8))


class HighRateApp(diff_driver.DiffApp[None]):
    """Fifty rows whose every cell changes."""

    def __init__(self, every_s: float, **options: object) -> None:
        super().__init__(**options)
        self._every_s = every_s
        self._dice = random.Random(1)

    def compose(self) -> ComposeResult:
        yield RowTable(COLUMNS)
        yield Static("no key yet", id="echo")

    def on_mount(self) -> None:
        self.change()
        if self._every_s:
            self.set_interval(self._every_s, self.change)

    def change(self) -> None:
        """Every cell is another."""
        self.query_one(RowTable).set_rows(
            Row(f"{n}", tuple(Cell(f"{self._dice.random():.9f}", "success") for _ in COLUMNS))
            for n in range(50)
        )

    def on_key(self, event: events.Key) -> None:
        if event.key == "q":
            self.exit()
        self.query_one("#echo", Static).update(f"key {event.key}")


def _fail(*_: object) -> None:
    raise AttributeError("no such thing in this Textual")


def main() -> None:
    """Run it."""
    kind, every_s = sys.argv[1], float(sys.argv[2])
    if log := os.environ.get("FLOOD_LOG"):
        logging.basicConfig(filename=log)
    options: dict[str, object] = {"driver_class": LinuxDriver} if kind == "stock" else {}
    if kind == "broken":
        CellDiff.apply = _fail  # type: ignore[method-assign, assignment]
    if kind == "unknown":
        diff_driver._REQUIRED_PRIVATE_ATTRIBUTES = ("_no_such_thing",)  # type: ignore[assignment]
    HighRateApp(every_s, **options).run()


if __name__ == "__main__":
    main()
