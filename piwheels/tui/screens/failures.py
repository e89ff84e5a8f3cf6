"""The failures screen: what fails on the whole farm, grouped by cause, regressions first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.widget import Widget

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_coarse_duration, format_count, pluralize
from piwheels.model import FailureGroup
from piwheels.protocol.messages import (
    STALE_COUNTS_S,
    BuildsReply,
    FailuresReply,
    ListFailedBuilds,
    ListFailures,
)
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import ended_target
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.tables import failures
from piwheels.tui.model.tables.kept_order import KeptOrder
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.table import RowTable

#: The master counts them again after this time.
_REFRESH_S = 15.0
#: Rows keep their places until no key was pressed for so long.
_KEPT_ORDER_S = 60.0


class FailuresScreen(TableScreen):
    """A row for each cause; below the table, what the one under the cursor is about."""

    screen_name = ScreenName.FAILURES
    COLUMNS = failures.FAILURE_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"class": 19, "cause": 12, "repair": 10}
    AUTO_GROW = ("repair",)
    STRETCH = "cause"
    DEFAULT_ORDER = "by regressions, then releases"
    EMPTY_TEXT = "Nothing fails: every release that was tried has its wheels, or is being built."

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self._report: FailuresReply | None = None
        self._error = ""
        self._order = KeptOrder()

    # --- what is shown ---

    def compose_body(self) -> Sequence[Widget]:
        """The totals, the table, and two lines about the row under the cursor."""
        ascii_only = self.console.ascii_only
        return (
            Bar(id="totals", ascii_only=ascii_only),
            *super().compose_body(),
            Bar(id="regressions", ascii_only=ascii_only),
            Bar(id="reason", ascii_only=ascii_only),
        )

    def on_mount(self) -> None:
        """Keep what is shown current."""
        super().on_mount()
        self.set_interval(_REFRESH_S, self._refresh_if_shown)

    def _refresh_if_shown(self) -> None:
        if self.is_current and self.console.farm.connected:
            if self.console.idle_s > _KEPT_ORDER_S:
                self._order.forget()
            self._request()

    def on_shown(self) -> None:
        """Ask again: an old answer may be out of date."""
        super().on_shown()
        self._request()

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """The operator comes from another screen: rows are in the order of now."""
        self._order.forget()
        super().set_filter(screen_filter)

    def on_command_finished(self) -> None:
        """Show what a command has changed."""
        self._request()

    @work(exclusive=True)
    async def _request(self) -> None:
        try:
            self._report = await self.console.source.request(ListFailures(), FailuresReply)
        except PiwheelsError as error:
            self._error = str(error)
        else:
            self._error = ""
        self.refresh_all()

    def all_rows(self) -> list[Row]:
        """The groups, in the master's order."""
        console = self.console
        groups = self._report.groups if self._report else ()
        return failures.failure_rows(groups, console.now, ascii_only=console.ascii_only)

    def visible_rows(self, filter_text: str) -> list[Row]:
        """The rows stay where they were read: a key acts on the one under the cursor."""
        view = self.view
        arrangement = (view.sort, view.reverse, filter_text, self.screen_filter)
        return self._order.apply(super().visible_rows(filter_text), arrangement)

    def clear_last_filter(self) -> bool:
        """Clear the filter, then put rows in order whose rank has changed."""
        if super().clear_last_filter():
            return True
        if not self._order.changed:
            return False
        self._order.forget()
        self.refresh_all()
        return True

    def place_words(self) -> list[Word]:
        """The place in the table, and how many rows have another rank than they are shown by."""
        words = super().place_words()
        if changed := self._order.changed:
            text = f"; {format_count(changed)} changed, Esc sorts"
            words.insert(1, Word(text, "accent", actions.BACK, gap_before=0))
        return words

    def _empty_text(self) -> str:
        if self._report is None and self.console.farm.has_snapshot:
            return terminal_safe(self._error) or "The master is counting what fails."
        return super()._empty_text()

    def refresh_content(self) -> None:
        """Show the groups, the totals, and the row under the cursor."""
        asked_for = self.pending_cursor if self._report is None else ""
        if asked_for:
            self.pending_cursor = ""  # until the groups are known
        super().refresh_content()
        self.pending_cursor = asked_for
        self.query_one("#totals", Bar).show(self._total_words())
        self._refresh_details()

    def _total_words(self) -> list[Word]:
        report = self._report
        if report is None:
            return []
        words = [
            Word("Failed and not built since:", "muted"),
            Word(pluralize(report.releases, "release"), "strong"),
            Word(f"for {pluralize(report.causes, 'cause')}", "strong"),
        ]
        if report.causes > len(report.groups):
            text = f"(the first {format_count(len(report.groups))} are shown)"
            words.append(Word(text, "muted", drop_order=2))
        if self._error:
            words.append(Word(terminal_safe(self._error), "warning", drop_order=1))
        elif report.age_s > STALE_COUNTS_S:
            age = format_coarse_duration(report.age_s)
            words.append(Word(f"counted {age} ago", "muted", drop_order=1))
        return words

    def _refresh_details(self) -> None:
        group = self._group(self.current_row())
        lines = {"#regressions": "", "#reason": ""}
        if group is not None:
            lines["#regressions"] = failures.regressions_text(group)
            lines["#reason"] = failures.reason_text(group)
        for name, text in lines.items():
            bar = self.query_one(name, Bar)
            bar.display = bool(text)
            bar.show([Word(text, "warning" if name == "#regressions" else "")])

    @on(RowTable.Highlighted)
    def _row_changed(self) -> None:
        self._refresh_details()

    # --- actions ---

    def _group(self, key: str) -> FailureGroup | None:
        groups = self._report.groups if self._report else ()
        return next((group for group in groups if failures.failure_key(group) == key), None)

    def action_target(self, key: str) -> ActionTarget | None:
        """A group, and the build that it is shown by."""
        group = self._group(key)
        if group is None:
            return None  # it is gone, and its row stays where it was read
        return failures.group_target(group)

    def open_row(self, key: str) -> None:
        """The builds of a group."""
        if group := self._group(key):
            scope = ScreenFilter(
                failure_class=group.failure_class,
                cause=group.cause,
                title=f"{terminal_safe(group.failure_class)}: {failures.cause_text(group)}",
            )
            self.console.navigate(ScreenName.BUILDS, scope)

    async def command_targets(self, targets: tuple[ActionTarget, ...]) -> tuple[ActionTarget, ...]:
        """The releases of a group, as the master names them now; a command names exactly these."""
        named: list[ActionTarget] = []
        for group in targets:
            query = ListFailedBuilds(failure_class=group.failure_class, cause=group.cause)
            reply = await self.console.source.request(query, BuildsReply)
            releases = [ended_target(str(build.build_id), build) for build in reply.builds]
            if releases:  # the rows may have moved since the key was chosen
                called = terminal_safe(f"{group.failure_class}: {group.name}")
                note = f"They failed as {called}."  # the title may be cut
                releases[0] = replace(releases[0], group=called, note=note)
            named += releases
        return tuple(named)
