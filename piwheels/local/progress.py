"""What `piw up` prints while it works without a console: a line for each event."""

import time
from collections.abc import Collection, Sequence

import click
import humanize
from rich.console import Console
from rich.text import Text

from piwheels.lines import plain
from piwheels.model import target_word
from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderView,
    Event,
    Happened,
    JobEnded,
    JobStarted,
    ReportRow,
)


class Progress:
    """Prints a line for every event. `farm` are the names of the farm's targets."""

    def __init__(self, farm: frozenset[str]) -> None:
        self.farm = farm
        self._console = Console(highlight=False, soft_wrap=True)
        self._phases: dict[str, tuple[int | None, str]] = {}

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(text, style=style))

    def show(self, event: Event) -> None:
        """Take an event of the farm in."""
        match event:
            case BuilderChanged(builder=view):
                self._note_phase(view)
            case JobStarted():
                self._stamp(f"{self._job(event)}: started on {event.builder} (build {event.build})")
            case JobEnded():
                spent = humanize.precisedelta(
                    event.duration_s, minimum_unit="seconds", format="%.1f"
                )
                style = "green" if event.outcome == "built" else "red"
                self._stamp(
                    f"{self._job(event)}: {event.outcome} in {spent}: {event.detail}", style
                )
            case Happened(who=who, what=what, outcome=outcome):
                why = f" ({outcome})" if outcome not in {"", "applied"} else ""
                self._stamp(f"{who}: {what}{why}", "dim")

    def _note_phase(self, view: BuilderView) -> None:
        before = self._phases.get(view.label)
        self._phases[view.label] = (view.build, view.phase)
        if view.build is None or before == (view.build, view.phase):
            return
        target = target_word(view.target, self.farm)
        self._stamp(f"{view.project} {view.version_built} for {target}: {view.phase}", "dim")

    def _job(self, event: JobStarted | JobEnded) -> str:
        return f"{event.project} {event.version} for {target_word(event.target, self.farm)}"

    def _stamp(self, text: str, style: str = "") -> None:
        self.say(f"{time.strftime('%H:%M:%S')}  {text}", style)


def print_report(rows: Sequence[ReportRow], farm: Collection[str]) -> None:
    """The closing table of `--exit-when-idle`."""
    headers = ("project", "version", "target", "outcome", "seconds", "wheel or reason")
    lines = [headers] + [
        (
            row.project,
            row.version,
            target_word(row.target, farm),
            row.outcome,
            f"{row.duration_s:.1f}" if row.duration_s is not None else "-",
            plain(row.detail),
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)]
        click.echo("  ".join([*cells, line[-1]]).rstrip())
