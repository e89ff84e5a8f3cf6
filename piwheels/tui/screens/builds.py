"""The builds screen: running and recent builds, with the error lines of failed ones."""

import asyncio
import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

from textual import work

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_datetime
from piwheels.model import BuildDetails, BuildSummary
from piwheels.protocol.messages import (
    BuildReply,
    BuildsReply,
    ListBuilds,
    ListFailedBuilds,
    ShowBuild,
)
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import ended_target, log_filter, running_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.build_page import build_pane_lines
from piwheels.tui.model.builder_lines import SERIES_ELSEWHERE, BuilderFacts
from piwheels.tui.model.builder_pane import builder_pane
from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.model.details import build_details
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.older_builds import OlderBuilds
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables import builds
from piwheels.tui.model.tables.row_filter import wanted_states
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import Handler
from piwheels.tui.screens.builder_loader import FOLLOW_DELAY_S
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.bar import Word

_MAX_OLDER_BUILDS = 500
#: Who types goes on within this time: nothing is read for every letter.
_TYPING_S = 0.3


class BuildsScreen(TableScreen):
    """A row for each build; older builds are requested from the master."""

    screen_name = ScreenName.BUILDS
    COLUMNS = builds.BUILD_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {
        "release": 16,
        "target": 12,
        "builder": 8,
        "outcome": 15,
        "ended": 8,
        "detail": 16,
    }
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"detail": 28}
    AUTO_GROW = ("release", "target", "builder", "ended")
    STRETCH = "detail"
    DEFAULT_ORDER = "by trouble, then the newest"
    HAS_DETAILS = True
    EMPTY_TEXT = "No builds yet. Add a project with: piw add PROJECT"

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self.failed_only = False
        self.slow_only = False
        self._older: dict[int, BuildSummary] = {}
        self._has_answer = False  # the master told the builds of the filter
        self._search = OlderBuilds()  # for a filter by state
        self._is_searching = False
        self._details: BuildDetails | None = None  # of the row under the cursor
        self._asked_for: int | None = None

    def all_rows(self) -> list[Row]:
        """The builds that the toggles and the filter select."""
        console, scope = self.console, self.screen_filter
        return builds.build_rows(
            self._farm(),
            console.now,
            failed=self.failed_only,
            slow=self.slow_only,
            project=scope.project,
            target=scope.target,
            ascii_only=console.ascii_only,
        )

    @property
    def _needs_older(self) -> bool:
        """Whether the filters ask for builds that only the master still knows."""
        scope = self.screen_filter
        return bool(self.failed_only or self.slow_only or scope.project or scope.failure_class)

    def _farm(self) -> FarmState:
        """The farm, with older builds before its own where they were requested."""
        farm = self.console.farm
        if self.screen_filter.failure_class:  # the master knows which builds are of a group
            return dataclasses.replace(farm, builders={}, builds=self._older)
        older = self._search.builds | (self._older if self._needs_older else {})
        if not older:
            return farm
        before = sorted(older.items(), key=lambda it: (it[1].ended_at, it[0]))
        missing = {number: it for number, it in before if number not in farm.builds}
        return dataclasses.replace(farm, builds=missing | farm.builds)

    def active_filters(self) -> list[Word]:
        """The toggles that are on, too."""
        words = super().active_filters()
        if self.failed_only:
            words.append(Word("failed only", "accent", actions.FAILED))
        if self.slow_only:
            words.append(Word("slow only", "accent", actions.SLOW))
        return words

    def _empty_text(self) -> str:
        """Why there are no rows: the builds of a group of failures can be gone meanwhile."""
        if self.screen_filter.failure_class and self._has_answer and not self._older:
            return "The builds of this group were built or queued again."
        return super()._empty_text()

    def clear_last_filter(self) -> bool:
        """The toggles are cleared after the filter and the marks."""
        if super().clear_last_filter():
            return True
        if not (self.failed_only or self.slow_only):
            return False
        self.failed_only = self.slow_only = False
        self.refresh_all()
        return True

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show other builds: those of another scope are forgotten."""
        if screen_filter != self.screen_filter:
            self._older, self._has_answer = {}, False
        super().set_filter(screen_filter)

    def on_shown(self) -> None:
        """With a project or a group of failures, request its builds."""
        super().on_shown()
        if self.screen_filter.project or self.screen_filter.failure_class:
            self._fetch_older()

    def handlers(self) -> Mapping[Action, Handler]:
        """The toggles, too."""
        toggles: dict[Action, Handler] = {
            actions.FAILED: self.toggle_failed,
            actions.SLOW: self.toggle_slow,
        }
        return {**super().handlers(), **toggles}

    def toggle_failed(self) -> None:
        """Only builds without a wheel, or all."""
        self.failed_only = not self.failed_only
        self._fetch_older()
        self.refresh_all()

    def toggle_slow(self) -> None:
        """Only slow builds, or all."""
        self.slow_only = not self.slow_only
        self._fetch_older()
        self.refresh_all()

    @work(exclusive=True)
    async def _fetch_older(self) -> None:
        if not self._needs_older:
            return
        try:
            reply = await self.console.source.request(self._query(), BuildsReply)
        except PiwheelsError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self._older = {build.build_id: build for build in reversed(reply.builds)}
        self._has_answer = True
        self.refresh_all()

    # --- older builds of a filter by state ---

    def refresh_content(self) -> None:
        """Show the rows; when a filter by state leaves room, read older builds for it."""
        super().refresh_content()
        states = wanted_states(self.filter_text, self.console.settings.filters)
        self._search.begin(() if self.screen_filter.failure_class else states)
        has_room = len(self.table.rows) < self.table.size.height
        if self._search.wants_more and has_room and not self._is_searching:
            self._is_searching = True
            self._read_older()

    @work(exclusive=True, group="search")
    async def _read_older(self) -> None:
        wanted = self._search.wanted
        try:
            await asyncio.sleep(_TYPING_S)
            if wanted == self._search.wanted:
                await self._read_page(wanted)
        finally:
            self._is_searching = False
        self.refresh_all()

    async def _read_page(self, wanted: tuple[str, ...]) -> None:
        query = self._search.query(self.console.farm.builds.values(), self.screen_filter.project)
        try:
            reply = await self.console.source.request(query, BuildsReply)
        except PiwheelsError:
            self._search.stop()
            return
        if wanted == self._search.wanted:
            self._search.add(reply.builds)

    def place_words(self) -> list[Word]:
        """How far older builds were read, too."""
        text = self._search.text
        return [*super().place_words(), *([Word(f"; {text}", "muted")] if text else [])]

    def _query(self) -> ListBuilds | ListFailedBuilds:
        scope = self.screen_filter
        if scope.failure_class:
            return ListFailedBuilds(failure_class=scope.failure_class, cause=scope.cause)
        return ListBuilds(
            limit=_MAX_OLDER_BUILDS,
            project=scope.project or None,
            failed=self.failed_only,
            slower_than_s=builds.SLOW_BUILD_S if self.slow_only else 0.0,
        )

    def details(self, key: str, width: int) -> list[DetailLine]:
        """A build that has ended, or the builder that builds it."""
        console, number = self.console, int(key)
        ended = self._farm().builds.get(number)
        if ended is not None:
            return self._ended_details(ended, width)
        builder = console.farm.builder_of_build(number)
        if builder is None:
            return []
        facts = BuilderFacts(
            builder=builder,
            now=console.now,
            alerts=console.farm.alerts,
            series_note=SERIES_ELSEWHERE,
            ascii_only=console.ascii_only,
        )
        return builder_pane(facts, width, self.details_height)

    def _ended_details(self, build: BuildSummary, width: int) -> list[DetailLine]:
        """What is known of it, at first without its phases, which the master tells."""
        console, details = self.console, self._details
        when = format_datetime(build.ended_at, console.now)
        if details is not None and details.build.build_id == build.build_id:
            return build_pane_lines(details, when, width=width, ascii_only=console.ascii_only)
        if build.build_id != self._asked_for:
            self._asked_for = build.build_id
            self._fetch_details(build.build_id)
        return build_details(build, when, width=width, ascii_only=console.ascii_only)

    @work(exclusive=True, group="details")
    async def _fetch_details(self, build: int) -> None:
        await asyncio.sleep(FOLLOW_DELAY_S)
        with suppress(PiwheelsError):  # what the console knows is shown
            self._details = (
                await self.console.source.request(ShowBuild(build=build), BuildReply)
            ).details
            self.refresh_details_pane()

    def action_target(self, key: str) -> ActionTarget | None:
        """A build, ended or running."""
        number = int(key)
        ended = self._farm().builds.get(number) or self._older.get(number)
        if ended is not None:
            return ended_target(key, ended)
        builder = self.console.farm.builder_of_build(number)
        if builder is None:
            return None
        view = builder.view_at(self.console.now)
        release = terminal_safe(f"{view.project} {view.release_version}")
        return dataclasses.replace(
            running_target(key, view),
            name=f"{release} for {terminal_safe(view.target)}",
            details=(f"on {terminal_safe(view.label)}", terminal_safe(view.phase or view.state)),
        )

    def open_row(self, key: str) -> None:
        """The page of a build."""
        target = self.action_target(key)
        if target is not None:
            self.console.navigate(ScreenName.BUILD, log_filter(target))
