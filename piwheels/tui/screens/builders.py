"""The builders: who builds what, and how they are."""

from typing import ClassVar

from piwheels.protocol.messages import BuilderView
from piwheels.tui.model import builder_table
from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.model.formatting import format_duration, terminal_safe
from piwheels.tui.model.tables import Row
from piwheels.tui.screens.base import log_filter
from piwheels.tui.screens.table import TableScreen


class BuildersScreen(TableScreen):
    """A row for each builder."""

    screen_name = "builders"
    COLUMNS = builder_table.BUILDER_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"release": 10, "label": 10, "targets": 20, "board": 16}
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"release": 20}
    AUTO_GROW = ("label", "targets", "board")
    STRETCH = "release"
    EMPTY_TEXT = (
        "No builder is connected yet. On a builder: piw key new builder; on the master: "
        "piw key allow NAME KEY; and on the builder again: piw builder --master HOST."
    )

    def all_rows(self) -> list[Row]:
        """The builders, those of one target where the screen was opened for it."""
        console = self.console
        found = builder_table.builder_rows(console.farm, console.now, ascii_only=console.ascii_only)
        if not self.scope.target:
            return found
        return [row for row in found if self.scope.target in self._view(row.key).targets]

    def action_target(self, key: str) -> ActionTarget | None:
        """A builder, and the build that it has in hand."""
        if key not in self.console.farm.builders:
            return None
        view = self._view(key)
        return ActionTarget(
            key=key,
            name=terminal_safe(key),
            builder=key,
            build=view.build,
            is_building=view.build is not None,
            project=view.project if view.build is not None else "",
            version=view.release_version if view.build is not None else "",
            target=view.target if view.build is not None else "",
            work_at_risk=_work_at_risk(view),
        )

    def open_row(self, key: str) -> None:
        """The log of the build in hand."""
        subject = self.action_target(key)
        if subject is None or subject.build is None:
            self.notify(f"{terminal_safe(key)} builds nothing now.", markup=False)
            return
        self.console.navigate("log", log_filter(subject))

    def _view(self, key: str) -> BuilderView:
        return self.console.farm.builders[key].view_at(self.console.now)


def _work_at_risk(view: BuilderView) -> str:
    if view.build is None:
        return ""
    release = terminal_safe(f"{view.project} {view.release_version}")
    return f"{format_duration(view.build_s)} of {release} for {terminal_safe(view.target)}"
