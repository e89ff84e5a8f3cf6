"""The builders screen: state, running build and health of each builder."""

import asyncio
from contextlib import suppress
from typing import ClassVar

from textual import work

from piwheels.errors import PiwheelsError
from piwheels.model import BuildSummary
from piwheels.protocol.messages import BuilderView, BuildsReply, ListBuilds
from piwheels.tui.model.action_targets import builder_target, log_filter
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.details import DetailLine, builder_details
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables import builders
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen

_REQUEST_DELAY_S = 0.15
_MAX_BUILDS = 30


class BuildersScreen(TableScreen):
    """A row for each builder."""

    screen_name = ScreenName.BUILDERS
    COLUMNS = builders.BUILDER_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {
        "release": 18,
        "label": 8,
        "temperature": 4,
        "targets": 20,
        "board": 16,
    }
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"release": 18}
    AUTO_GROW = ("label", "targets", "board")
    STRETCH = "release"
    DEFAULT_ORDER = "by trouble"
    HAS_DETAILS = True
    EMPTY_TEXT = (
        "No builder is connected yet. On a builder: piw key generate builder; on the master: "
        "piw key authorize NAME KEY; then on the builder: piw builder --master HOST."
    )

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._requested = ""  # the builder whose builds were requested last
        self._builds: tuple[BuildSummary, ...] = ()  # of that builder
        self._usual_s: dict[int, float] = {}  # by build, what other builders take

    def details(self, key: str, width: int) -> list[DetailLine]:
        """A builder, with the builds that ended on it last."""
        console = self.console
        if key != self._requested:
            self._requested, self._builds, self._usual_s = key, (), {}
            self._request_builds(key)
        known = {build.build_id: build for build in self._builds}
        known |= {it.build_id: it for it in console.farm.builds.values() if it.builder == key}
        return builder_details(
            console.farm.builders[key],
            sorted(known.values(), key=lambda it: it.ended_at, reverse=True),
            console.now,
            width=width,
            usual_s=self._usual_s,
            ascii_only=console.ascii_only,
        )

    @work(exclusive=True, group="details")
    async def _request_builds(self, label: str) -> None:
        await asyncio.sleep(_REQUEST_DELAY_S)  # the cursor may be on its way to another row
        body = ListBuilds(builder=label, limit=_MAX_BUILDS)
        with suppress(PiwheelsError):  # those that the console knows are shown
            reply = await self.console.source.request(body, BuildsReply)
            self._builds, self._usual_s = reply.builds, reply.usual_s
            self.refresh_details_pane()

    def all_rows(self) -> list[Row]:
        """The builders; with a filter, those that serve its target."""
        console = self.console
        rows = builders.builder_rows(console.farm, console.now, ascii_only=console.ascii_only)
        if not self.screen_filter.target:
            return rows
        return [row for row in rows if self.screen_filter.target in self._view(row.key).targets]

    def action_target(self, key: str) -> ActionTarget | None:
        """A builder and its running build."""
        if key not in self.console.farm.builders:
            return None
        return builder_target(key, self._view(key))

    def open_row(self, key: str) -> None:
        """The log of the running build."""
        target = self.action_target(key)
        if target is None or target.build is None:
            self.notify(f"{terminal_safe(key)} has no running build.", markup=False)
            return
        self.console.navigate(ScreenName.LOG, log_filter(target))

    def _view(self, key: str) -> BuilderView:
        return self.console.farm.builders[key].view_at(self.console.now)
