"""The pane beside a table, with the details of the row under its cursor."""

from collections.abc import Iterator, Sequence

from textual.content import Content

from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.widgets.bar import Bar, BarLine, Word

_LABEL_CELLS = 9
_STYLES = {"strong": "bold", "muted": "$text-muted", "success": "$text-success"}
_STYLES |= {name: f"$text-{name}" for name in ("accent", "warning", "error")}


class DetailPane(Bar):
    """Lines of text; only those that have changed are drawn again."""

    DEFAULT_CSS = "DetailPane { width: 50; height: 1fr; padding: 0 1; background: $surface; }"

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(ascii_only=ascii_only, id="details")

    @property
    def line_width(self) -> int:
        """The cells of a line."""
        return max(20, self.content_size.width)

    def show_details(self, lines: Sequence[DetailLine]) -> None:
        """Show these lines."""
        self.show_lines([BarLine(tuple(_words(line))) for line in lines])


def _words(line: DetailLine) -> Iterator[Word]:
    if line.label:
        yield Word(f"{line.label:<{_LABEL_CELLS}}", "muted", gap_before=0)
    yield Word(line.text, line.style, gap_before=0)


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
