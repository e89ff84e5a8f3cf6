"""The builds: those in hand, and those that ended last, with the line that they failed at."""

import dataclasses
from typing import ClassVar

from textual import work

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import BuildRecorded, BuildsReply, ListBuilds
from piwheels.tui.model import farm_tables
from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.model.formatting import format_duration, terminal_safe
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables import Row
from piwheels.tui.screens.base import log_filter
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.bar import Word

_MAX_OLDER_BUILDS = 500


class BuildsScreen(TableScreen):
    """A row for each build; what is older than the console knows is asked of the master."""

    screen_name = "builds"
    COLUMNS = farm_tables.BUILD_COLUMNS
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
    EMPTY_TEXT = "Nothing was built yet. piw add PROJECT makes the farm follow a project."

    def __init__(self) -> None:
        super().__init__()
        self.failed_only = False
        self.slow_only = False
        self._older: dict[int, BuildRecorded] = {}

    def all_rows(self) -> list[Row]:
        """The builds that the toggles and the scope leave."""
        console, scope = self.console, self.scope
        return farm_tables.build_rows(
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
        """Whether what narrows the rows is known to the master for longer than to the console."""
        return bool(self.failed_only or self.slow_only or self.scope.project)

    def _farm(self) -> FarmState:
        """The farm; with older builds before its own where they were asked for."""
        farm = self.console.farm
        if not (self._older and self._needs_older):
            return farm
        older = {number: it for number, it in self._older.items() if number not in farm.builds}
        return dataclasses.replace(farm, builds=older | farm.builds)

    def active_filters(self) -> list[Word]:
        """Which toggles are on."""
        words = super().active_filters()
        if self.failed_only:
            words.append(Word("failed", "note", "failed"))
        if self.slow_only:
            words.append(Word("slow", "note", "slow"))
        return words

    def clear_last_filter(self) -> bool:
        """The toggles go after the filter and the marks."""
        if super().clear_last_filter():
            return True
        if not (self.failed_only or self.slow_only):
            return False
        self.failed_only = self.slow_only = False
        self.refresh_all()
        return True

    def on_shown(self) -> None:
        """Of one project, also builds that the console does not know."""
        super().on_shown()
        if self.scope.project:
            self._fetch_older()

    def do_failed(self) -> None:
        """Only builds without a wheel, or all."""
        self.failed_only = not self.failed_only
        self._fetch_older()
        self.refresh_all()

    def do_slow(self) -> None:
        """Only long builds, or all."""
        self.slow_only = not self.slow_only
        self._fetch_older()
        self.refresh_all()

    @work(exclusive=True)
    async def _fetch_older(self) -> None:
        if not self._needs_older:
            return
        body = ListBuilds(
            limit=_MAX_OLDER_BUILDS,
            project=self.scope.project or None,
            failed=self.failed_only,
            slower_than_s=farm_tables.SLOW_BUILD_S if self.slow_only else 0.0,
        )
        try:
            reply = await self.console.source.request(body, BuildsReply)
        except PiwheelsError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self._older = {build.build: build for build in reversed(reply.builds)}
        self.refresh_all()

    def action_target(self, key: str) -> ActionTarget | None:
        """A build, ended or in hand."""
        number = int(key)
        ended = self.console.farm.builds.get(number) or self._older.get(number)
        if ended is not None:
            return ActionTarget(
                key=key,
                name=terminal_safe(f"{ended.project} {ended.version} for {ended.target}"),
                build=number,
                project=ended.project,
                version=ended.version,
                target=ended.target,
            )
        builder = self.console.farm.builder_of_build(number)
        if builder is None:
            return None
        view = builder.view_at(self.console.now)
        release = terminal_safe(f"{view.project} {view.release_version}")
        return ActionTarget(
            key=key,
            name=f"{release} for {terminal_safe(view.target)}",
            builder=view.label,
            build=number,
            is_building=True,
            project=view.project,
            version=view.release_version,
            target=view.target,
            work_at_risk=f"{format_duration(view.build_s)} on {terminal_safe(view.label)}",
        )

    def open_row(self, key: str) -> None:
        """The log of a build."""
        subject = self.action_target(key)
        if subject is not None:
            self.console.navigate("log", log_filter(subject))
