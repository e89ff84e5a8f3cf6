"""The builders: who builds what, and how they are."""

from typing import ClassVar

from piwheels.protocol.messages import BuilderView
from piwheels.tui import builderrows
from piwheels.tui.actions import Subject
from piwheels.tui.rows import Row
from piwheels.tui.screens.base import log_of
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.text import duration, harmless


class BuildersScreen(TableScreen):
    """A row for each builder."""

    place = "builders"
    COLUMNS = builderrows.BUILDER_COLUMNS
    LEAST: ClassVar[dict[str, int]] = {"release": 10, "label": 10, "targets": 20, "board": 16}
    ROOMY: ClassVar[dict[str, int]] = {"release": 20}
    GROWS = ("label", "targets", "board")
    STRETCH = "release"
    EMPTY = (
        "No builder is connected yet. On a builder: piw key new builder; on the master: "
        "piw key allow NAME KEY; and on the builder again: piw builder --master HOST."
    )

    def found(self) -> list[Row]:
        """The builders, those of one target where the screen was opened for it."""
        console = self.console
        found = builderrows.builder_rows(console.farm, console.now, ascii_only=console.ascii_only)
        if not self.scope.target:
            return found
        return [row for row in found if self.scope.target in self._view(row.key).targets]

    def subject(self, key: str) -> Subject | None:
        """A builder, and the build that it has in hand."""
        if key not in self.console.farm.builders:
            return None
        view = self._view(key)
        return Subject(
            key=key,
            name=harmless(key),
            builder=key,
            build=view.build,
            in_hand=view.build is not None,
            project=view.project if view.build is not None else "",
            version=view.version_built if view.build is not None else "",
            target=view.target if view.build is not None else "",
            stake=_stake(view),
        )

    def open(self, key: str) -> None:
        """The log of the build in hand."""
        subject = self.subject(key)
        if subject is None or subject.build is None:
            self.notify(f"{harmless(key)} builds nothing now.", markup=False)
            return
        self.console.go("log", log_of(subject))

    def _view(self, key: str) -> BuilderView:
        return self.console.farm.builders[key].view_at(self.console.now)


def _stake(view: BuilderView) -> str:
    if view.build is None:
        return ""
    release = harmless(f"{view.project} {view.version_built}")
    return f"{duration(view.build_s)} of {release} for {harmless(view.target)}"
