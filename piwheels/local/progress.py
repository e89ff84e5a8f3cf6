"""What `piw up` prints without a console: a line for each event, and the final table."""

import time
from collections.abc import Collection, Sequence

from rich.console import Console
from rich.text import Text

from piwheels.formatting import format_duration
from piwheels.model import STARTING, AuditEvent, BuildSummary, Outcome, short_target_name
from piwheels.output import print_table
from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderView,
    Event,
    ReleaseReportRow,
)
from piwheels.sanitize import strip_controls


class ProgressPrinter:
    """Prints a line for every event; `target_names` are those of the whole farm."""

    def __init__(self, target_names: frozenset[str]) -> None:
        self.target_names = target_names
        self._console = Console(highlight=False, soft_wrap=True)
        self._phases: dict[str, tuple[int | None, str]] = {}

    def print_line(self, text: str, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(text, style=style))

    def print_event(self, event: Event) -> None:
        """Print an event of the farm."""
        match event:
            case BuilderChanged(builder=view):
                self._print_phase_change(view)
            case BuildSummary():
                spent = format_duration(event.duration_s)
                style = "green" if event.outcome is Outcome.BUILT else "red"
                job = self._describe_job(event.project, event.version, event.target)
                self._print_timestamped(f"{job}: {event.outcome} in {spent}: {event.detail}", style)
            case AuditEvent(who=who, what=what, outcome=outcome):
                why = f" ({outcome})" if outcome not in {"", "applied"} else ""
                self._print_timestamped(f"{who}: {what}{why}", "dim")

    def _print_phase_change(self, view: BuilderView) -> None:
        before = self._phases.get(view.label)
        self._phases[view.label] = (view.build, view.phase)
        if view.build is None or before == (view.build, view.phase):
            return
        job = self._describe_job(view.project, view.release_version, view.target)
        if before is None or before[0] != view.build:
            self._print_timestamped(f"{job}: started on {view.label} (build {view.build})")
        # A build that was running already may be in a later phase than the first.
        if view.phase not in {"", STARTING}:
            self._print_timestamped(f"{job}: {view.phase}", "dim")

    def _describe_job(self, project: str, version: str, target: str) -> str:
        return f"{project} {version} for {short_target_name(target, self.target_names)}"

    def _print_timestamped(self, text: str, style: str = "") -> None:
        self.print_line(f"{time.strftime('%H:%M:%S')}  {text}", style)


def print_results_table(rows: Sequence[ReleaseReportRow], target_names: Collection[str]) -> None:
    """Print the final table of `--exit-when-idle`."""
    headers = ("project", "version", "target", "outcome", "seconds", "wheel or reason")
    lines = [
        (
            row.project,
            row.version,
            short_target_name(row.target, target_names),
            row.outcome,
            f"{row.duration_s:.1f}" if row.duration_s is not None else "-",
            strip_controls(row.detail),
        )
        for row in rows
    ]
    print_table(headers, lines)
