"""The builds screen: running and recent builds, with the error lines of failed ones."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from textual import work

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_datetime
from piwheels.model import BuildSummary
from piwheels.protocol.messages import BuildsReply, ListBuilds, ListFailedBuilds
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import ended_target, log_filter, running_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.builder_lines import BuilderFacts
from piwheels.tui.model.builder_pane import builder_pane
from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.model.details import build_details
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables import builds
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import Handler
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.bar import Word

_MAX_OLDER_BUILDS = 500


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
        if not (self._older and self._needs_older):
            return farm
        older = {number: it for number, it in self._older.items() if number not in farm.builds}
        return dataclasses.replace(farm, builds=older | farm.builds)

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
            when = format_datetime(ended.ended_at, console.now)
            return build_details(ended, when, width=width, ascii_only=console.ascii_only)
        builder = console.farm.builder_of_build(number)
        if builder is None:
            return []
        facts = BuilderFacts(
            builder=builder,
            now=console.now,
            alerts=console.farm.alerts,
            ascii_only=console.ascii_only,
        )
        return builder_pane(facts, width, self.details_height)

    def action_target(self, key: str) -> ActionTarget | None:
        """A build, ended or running."""
        number = int(key)
        ended = self.console.farm.builds.get(number) or self._older.get(number)
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
