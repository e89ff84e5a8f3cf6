"""What `piw up` shows while it works: a live display on a terminal, lines elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import click
import humanize
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderGone,
    BuilderView,
    Event,
    Happened,
    JobEnded,
    JobStarted,
    ReportRow,
    Snapshot,
)


class Progress:
    """Prints a line for every event, and on a terminal keeps the builders in view below."""

    def __init__(self, *, live: bool) -> None:
        self._console = Console(highlight=False, soft_wrap=not live)
        self._builders: dict[str, tuple[BuilderView, float]] = {}
        self._phases: dict[str, tuple[int | None, str]] = {}
        self._live = (
            Live(get_renderable=self._table, console=self._console, refresh_per_second=2)
            if live
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._builders.clear()
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(text, style=style))

    def show(self, event: Event | Snapshot) -> None:
        """Take an event of the farm in."""
        match event:
            case Snapshot(status=status):
                self._builders = {view.label: (view, time.monotonic()) for view in status.builders}
            case BuilderChanged(builder=view):
                self._builders[view.label] = (view, time.monotonic())
                self._note_phase(view)
            case BuilderGone(label=label):
                self._builders.pop(label, None)
            case JobStarted():
                self._stamp(f"{_job(event)}: started on {event.builder} (build {event.build})")
            case JobEnded():
                spent = humanize.precisedelta(
                    event.duration_s, minimum_unit="seconds", format="%.1f"
                )
                style = "green" if event.outcome == "built" else "red"
                self._stamp(f"{_job(event)}: {event.outcome} in {spent}: {event.detail}", style)
            case Happened(who=who, what=what, outcome=outcome):
                why = f" ({outcome})" if outcome not in {"", "applied"} else ""
                self._stamp(f"{who}: {what}{why}", "dim")

    def _note_phase(self, view: BuilderView) -> None:
        before = self._phases.get(view.label)
        self._phases[view.label] = (view.build, view.phase)
        if self._live or view.build is None or before == (view.build, view.phase):
            return
        self._stamp(f"{view.project} {view.version_built} for {view.target}: {view.phase}", "dim")

    def _stamp(self, text: str, style: str = "") -> None:
        self.say(f"{time.strftime('%H:%M:%S')}  {text}", style)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for view, seen in sorted(self._builders.values(), key=lambda pair: pair[0].label):
            if view.build is None:
                table.add_row(view.label, view.state, view.reason, "")
                continue
            spent = humanize.naturaldelta(view.phase_s + now - seen)
            what = f"{view.project} {view.version_built} for {view.target}"
            table.add_row(view.label, view.phase, what, spent)
        return table


def print_report(rows: Sequence[ReportRow]) -> None:
    """The closing table of `--exit-when-idle`."""
    headers = ("project", "version", "target", "outcome", "seconds", "wheel or reason")
    lines = [headers] + [
        (
            row.project,
            row.version,
            row.target,
            row.outcome,
            f"{row.duration_s:.1f}" if row.duration_s is not None else "-",
            row.detail,
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)]
        click.echo("  ".join([*cells, line[-1]]).rstrip())


def _job(event: JobStarted | JobEnded) -> str:
    return f"{event.project} {event.version} for {event.target}"
