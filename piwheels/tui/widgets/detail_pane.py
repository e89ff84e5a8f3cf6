"""The pane beside a table, with the details of the row under its cursor."""

from collections.abc import Sequence
from typing import ClassVar

from textual.content import Content
from textual.widgets import Static

from piwheels.tui.model.detail_lines import DetailLine

_LABEL_CELLS = 9
_STYLES = {"strong": "bold", "muted": "$text-muted", "success": "$text-success"}
_STYLES |= {name: f"$text-{name}" for name in ("accent", "warning", "error")}


class DetailPane(Static):
    """Lines of text; drawn again only when one has changed."""

    ALLOW_SELECT = False
    DEFAULT_CSS: ClassVar[str] = """
    DetailPane {
        width: 50;
        height: 1fr;
        padding: 0 1;
        background: $surface;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self) -> None:
        super().__init__("", id="details", markup=False)
        self._lines: tuple[DetailLine, ...] = ()

    @property
    def line_width(self) -> int:
        """The cells of a line."""
        return max(20, self.content_size.width)

    def show(self, lines: Sequence[DetailLine]) -> None:
        """Show these lines."""
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self.update(detail_content(self._lines))


def detail_content(lines: Sequence[DetailLine]) -> Content:
    """Lines as text that can be shown."""
    return Content("\n").join(_content(line) for line in lines)


def _content(line: DetailLine) -> Content:
    style = _STYLES.get(line.style, "")
    text = (line.text, style) if style else line.text
    if not line.label and not line.text:
        return Content("")
    return (
        Content.assemble((f"{line.label:<{_LABEL_CELLS}}", "$text-muted"), text)
        if line.label
        else Content.assemble(text)
    )
