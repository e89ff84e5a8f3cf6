"""The builds: those in hand, and those that ended last, with the line that they failed at."""

import dataclasses
from typing import ClassVar

from textual import work

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import BuildsReply, JobEnded, ListBuilds
from piwheels.tui import farmrows
from piwheels.tui.actions import Subject
from piwheels.tui.rows import Row
from piwheels.tui.screens.base import log_of
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.state import FarmState
from piwheels.tui.text import duration, harmless
from piwheels.tui.widgets.bar import Word

_ASKED_FOR = 500


class BuildsScreen(TableScreen):
    """A row for each build; what is older than the console knows is asked of the master."""

    place = "builds"
    COLUMNS = farmrows.BUILD_COLUMNS
    LEAST: ClassVar[dict[str, int]] = {
        "release": 16,
        "target": 12,
        "builder": 8,
        "outcome": 15,
        "ended": 8,
        "detail": 16,
    }
    ROOMY: ClassVar[dict[str, int]] = {"detail": 28}
    GROWS = ("release", "target", "builder", "ended")
    STRETCH = "detail"
    EMPTY = "Nothing was built yet. piw add PROJECT makes the farm follow a project."

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self.slow = False
        self._older: dict[int, JobEnded] = {}

    def found(self) -> list[Row]:
        """The builds that the toggles and the scope leave."""
        console, scope = self.console, self.scope
        return farmrows.build_rows(
            self._farm(),
            console.now,
            failed=self.failed,
            slow=self.slow,
            project=scope.project,
            target=scope.target,
            ascii_only=console.ascii_only,
        )

    @property
    def _asks_for_older(self) -> bool:
        """Whether what narrows the rows is known to the master for longer than to the console."""
        return bool(self.failed or self.slow or self.scope.project)

    def _farm(self) -> FarmState:
        """The farm; with older builds before its own where they were asked for."""
        farm = self.console.farm
        if not (self._older and self._asks_for_older):
            return farm
        older = {number: it for number, it in self._older.items() if number not in farm.builds}
        return dataclasses.replace(farm, builds=older | farm.builds)

    def narrowed(self) -> list[Word]:
        """Which toggles are on."""
        words = super().narrowed()
        if self.failed:
            words.append(Word("failed", "note", "failed"))
        if self.slow:
            words.append(Word("slow", "note", "slow"))
        return words

    def retreat(self) -> bool:
        """The toggles go after the filter and the marks."""
        if super().retreat():
            return True
        if not (self.failed or self.slow):
            return False
        self.failed = self.slow = False
        self.refresh_all()
        return True

    def arrive(self) -> None:
        """Of one project, also builds that the console does not know."""
        super().arrive()
        if self.scope.project:
            self._ask_for_older()

    def do_failed(self) -> None:
        """Only builds without a wheel, or all."""
        self.failed = not self.failed
        self._ask_for_older()
        self.refresh_all()

    def do_slow(self) -> None:
        """Only long builds, or all."""
        self.slow = not self.slow
        self._ask_for_older()
        self.refresh_all()

    @work(exclusive=True)
    async def _ask_for_older(self) -> None:
        if not self._asks_for_older:
            return
        body = ListBuilds(
            limit=_ASKED_FOR,
            project=self.scope.project or None,
            failed=self.failed,
            slower_than_s=farmrows.SLOW_BUILD_S if self.slow else 0.0,
        )
        try:
            reply = await self.console.source.ask(body, BuildsReply)
        except PiwheelsError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self._older = {build.build: build for build in reversed(reply.builds)}
        self.refresh_all()

    def subject(self, key: str) -> Subject | None:
        """A build, ended or in hand."""
        number = int(key)
        ended = self.console.farm.builds.get(number) or self._older.get(number)
        if ended is not None:
            return Subject(
                key=key,
                name=harmless(f"{ended.project} {ended.version} for {ended.target}"),
                build=number,
                project=ended.project,
                version=ended.version,
                target=ended.target,
            )
        builder = self.console.farm.builder_of(number)
        if builder is None:
            return None
        view = builder.view_at(self.console.now)
        release = harmless(f"{view.project} {view.version_built}")
        return Subject(
            key=key,
            name=f"{release} for {harmless(view.target)}",
            builder=view.label,
            build=number,
            in_hand=True,
            project=view.project,
            version=view.version_built,
            target=view.target,
            stake=f"{duration(view.build_s)} on {harmless(view.label)}",
        )

    def open(self, key: str) -> None:
        """The log of a build."""
        subject = self.subject(key)
        if subject is not None:
            self.console.go("log", log_of(subject))
