"""What the master answers about one builder, kept up to date while it is shown."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from piwheels.errors import PiwheelsError
from piwheels.model import BuilderPage, BuilderSeries, BuildSummary, SeriesBars, SeriesWindow
from piwheels.protocol.messages import (
    BuilderReply,
    LogTail,
    ReadSeries,
    SeriesReply,
    ShowBuilder,
    TailLog,
)
from piwheels.tui.model.builder_lines import BuilderFacts
from piwheels.tui.model.log_tail import TailBuffer
from piwheels.tui.screens.context import ConsoleContext

_SERIES = (
    BuilderSeries.LOAD,
    BuilderSeries.TEMPERATURE,
    BuilderSeries.MEMORY,
    BuilderSeries.DISK,
    BuilderSeries.THROTTLED,
)
#: A cursor on its way to another row asks for nothing.
FOLLOW_DELAY_S = 0.15
_REFRESH_S = 60.0
_NO_SERIES = "It has no history yet: the master keeps a value each minute."
#: At most two lines of a log a second are drawn, in steps of so long at least.
_LINES_PER_S = 2.0
_MIN_TAIL_S = 1.0
#: So often it looks whether something is due.
_TICK_S = 0.25


class BuilderLoader:
    """Asks for the page, the series and the end of the log of a builder.

    `is_shown` says whether anybody sees it; `on_change` is called with each answer.
    """

    def __init__(
        self, console: ConsoleContext, is_shown: Callable[[], bool], on_change: Callable[[], None]
    ) -> None:
        self._console = console
        self._is_shown = is_shown
        self._on_change = on_change
        self.label = ""
        self.tail_lines = 2  # that are drawn
        self._page: BuilderPage | None = None
        self._series: dict[str, SeriesBars] = {}
        self._series_window: SeriesWindow | None = None
        self._series_error = ""
        self._asked_at: float | None = None  # for page and series
        self._asked_for: tuple[object, ...] = ()
        self._tail_of: int | None = None
        self._tail = TailBuffer()
        self._tail_at = 0.0  # when it is asked for next, by the monotonic clock

    def select(self, label: str) -> None:
        """Be about this builder from now on."""
        if label != self.label:
            self.label, self._page, self._series = label, None, {}
            self._series_window, self._series_error = None, ""
            self._asked_at, self._tail_of, self._tail = None, None, TailBuffer()

    def facts(self) -> BuilderFacts | None:
        """All that is known of the builder; None if it is not there."""
        console = self._console
        builder = console.farm.builders.get(self.label)
        if builder is None:
            return None
        return BuilderFacts(
            builder=builder,
            now=console.now,
            alerts=console.farm.alerts,
            builds=self.builds(),
            page=self._page,
            series=self._series if console.window is self._series_window else {},
            series_note=self._series_note(),
            window=console.window,
            log_lines=self._tail.lines if builder.view.build == self._tail_of else (),
            ascii_only=console.ascii_only,
        )

    def _series_note(self) -> str:
        """Why there are no bars: not recorded, or nothing was measured yet."""
        if self._console.window is not self._series_window:
            return ""
        known = any(mean is not None for it in self._series.values() for mean in it.means)
        return "" if known else self._series_error or _NO_SERIES

    def builds(self) -> list[BuildSummary]:
        """Its builds that ended last: those that the master told, and those seen since."""
        known = {build.build_id: build for build in (self._page.builds if self._page else ())}
        farm = self._console.farm
        known |= {it.build_id: it for it in farm.builds.values() if it.builder == self.label}
        return sorted(known.values(), key=lambda it: (it.ended_at, it.build_id), reverse=True)

    # --- requests ---

    async def follow(self) -> None:
        """Ask again when something is due, until canceled."""
        await asyncio.sleep(FOLLOW_DELAY_S)
        while True:
            if self._console.farm.connected and self._is_shown():
                await self._refresh()
            await asyncio.sleep(_TICK_S)

    async def _refresh(self) -> None:
        label = self.label
        if self._is_due():
            await self._ask(label)
        await self._ask_tail(label)

    def _is_due(self) -> bool:
        """Whether a minute has passed, or a build has begun or ended."""
        builder = self._console.farm.builders.get(self.label)
        last = next(iter(self.builds()), None)
        about = (
            self._console.window,
            builder.view.build if builder else None,
            last.build_id if last else None,
        )
        now_s = time.monotonic()
        late = self._asked_at is None or now_s - self._asked_at >= _REFRESH_S
        if not late and about == self._asked_for:
            return False
        self._asked_at, self._asked_for = now_s, about
        return True

    async def _ask(self, label: str) -> None:
        source, window = self._console.source, self._console.window
        with suppress(PiwheelsError):  # what the console knows is shown
            page = (await source.request(ShowBuilder(builder=label), BuilderReply)).page
            if label == self.label:
                self._page = page
                self._on_change()
        await self._ask_series(label, window)

    async def _ask_series(self, label: str, window: SeriesWindow) -> None:
        names = tuple(kind.of(label) for kind in _SERIES)
        query, series, error = ReadSeries(names=names, window=window), {}, ""
        try:
            reply = await self._console.source.request(query, SeriesReply)
            series = {it.name.rpartition("/")[2]: it for it in reply.series}
        except PiwheelsError as failure:
            error = f"Its history is not known: {failure}."
        if label == self.label:
            self._series_window, self._series, self._series_error = window, series, error
            self._on_change()

    async def _ask_tail(self, label: str) -> None:
        builder = self._console.farm.builders.get(label)
        build = builder.view.build if builder else None
        if build != self._tail_of:
            self._tail_of, self._tail = build, TailBuffer()
            self._tail_at = 0.0
        now_s = time.monotonic()
        if build is None or now_s < self._tail_at:
            return
        self._tail_at = now_s + max(_MIN_TAIL_S, self.tail_lines / _LINES_PER_S)
        with suppress(PiwheelsError):
            asked = TailLog(build=build, known=self._tail.end)
            tail = await self._console.source.request(asked, LogTail)
            if build == self._tail_of and tail.data:
                self._tail.add(tail)
                self._on_change()
