"""The queue of a target: the jobs that builders take next, with their expected start."""

from typing import ClassVar

from textual import work

from piwheels.errors import PiwheelsError
from piwheels.formatting import (
    format_count,
    format_rate,
    format_short_duration,
    format_wait_range,
)
from piwheels.model import QueuedJob
from piwheels.protocol.messages import ListQueue, QueueReply
from piwheels.tui.model.action_targets import release_filter
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.bar import Word

_REFRESH_S = 10.0


class QueueScreen(TableScreen):
    """A row for each job, in the order in which they are taken."""

    screen_name = ScreenName.QUEUE
    COLUMNS = (
        Column("place", "Place", 6, 2, "right"),
        Column("release", "Release", 26, 0),
        Column("expected", "Starts in", 10, 0, "right"),
        Column("waited", "Waited", 8, 1, "right"),
        Column("attempts", "Failed", 7, 3, "right"),
        Column("needs", "Needs", 12, 4),
    )
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"release": 14}
    STRETCH = "release"
    EMPTY_TEXT = "No job waits for a builder here. Those that run are on Builds (3)."

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._reply: QueueReply | None = None
        self._error = ""

    def on_mount(self) -> None:
        """Keep what is shown current."""
        super().on_mount()
        self.set_interval(_REFRESH_S, self._refresh_if_shown)

    def _refresh_if_shown(self) -> None:
        if self.is_current and self.console.farm.connected:
            self._request(self.screen_filter.target)

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show the queue of a target; without one, the last."""
        if screen_filter.target and screen_filter != self.screen_filter:
            super().set_filter(screen_filter)
            self._reply, self._error = None, ""

    def on_shown(self) -> None:
        """Ask again: an old answer may be out of date."""
        super().on_shown()
        self._request(self.screen_filter.target)

    def on_command_finished(self) -> None:
        """Show what a command has changed."""
        self.on_shown()

    @work(exclusive=True)
    async def _request(self, target: str) -> None:
        if not target:
            return
        try:
            self._reply = await self.console.source.request(ListQueue(target=target), QueueReply)
        except PiwheelsError as error:
            self._error = str(error)
        else:
            self._error = ""
        self.refresh_all()

    @property
    def _jobs(self) -> dict[str, QueuedJob]:
        jobs = self._reply.jobs if self._reply else ()
        return {f"{job.project} {job.version}": job for job in jobs}

    def all_rows(self) -> list[Row]:
        """The jobs."""
        return [self._row(key, job, at) for at, (key, job) in enumerate(self._jobs.items())]

    def _row(self, key: str, job: QueuedJob, at: int) -> Row:
        release = terminal_safe(key)
        wait = job.expected
        expected = format_wait_range(wait.soonest_s, wait.latest_s) if wait else "-"
        queued = job.queued_at.timestamp()
        waited_s = max(0.0, self.console.now - queued)
        cells = (
            Cell(format_count(at + 1), "muted", "", at),
            Cell(release, "", "", natural_sort_key(release)),
            Cell(expected, "", "", wait.latest_s if wait else None),
            Cell(format_short_duration(waited_s), "", "", waited_s),
            Cell(format_count(job.attempts) if job.attempts else "", "warning", "", job.attempts),
            Cell("C compiler" if job.needs_compiler else "", "muted"),
        )
        return Row(key, cells, False, release.lower(), (at,))

    def active_filters(self) -> list[Word]:
        """The target, and how fast its jobs are built."""
        words = super().active_filters()
        if self._reply and self._reply.jobs_per_hour:
            rate = format_rate(self._reply.jobs_per_hour)
            words.append(Word(f"{rate} builds an hour", "muted", drop_order=2))
        if self._error:
            words.append(Word(terminal_safe(self._error), "warning"))
        return words

    def _empty_text(self) -> str:
        if self.filter_text or not self.console.farm.has_snapshot:
            return super()._empty_text()
        return self.EMPTY_TEXT if self._reply else "The master looks up the next jobs."

    def action_target(self, key: str) -> ActionTarget | None:
        """The release of a job."""
        job = self._jobs.get(key)
        if job is None:
            return None
        target = self.screen_filter.target
        return ActionTarget(
            key=key,
            name=terminal_safe(f"{key} for {target}"),
            project=job.project,
            version=job.version,
            target=target,
        )

    def open_row(self, key: str) -> None:
        """The page of the release."""
        if target := self.action_target(key):
            self.console.navigate(ScreenName.EXPLAIN, release_filter(target))
