"""The difference between the wanted screen and the one that a terminal shows, in few bytes.

Textual sends whole parts of lines again when one cell in them changed, each with its styles. Here
an update only changes the wanted screen; the difference to the shown screen is computed cell by
cell when the terminal is ready. Updates that are faster than the link are merged.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, TypeGuard

from rich.cells import split_graphemes
from rich.color import ColorSystem
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.strip import Strip

from piwheels.tui.terminal.sgr import DEFAULT_SGR, SgrState, sgr_state, transition

#: Gaps of so many unchanged cells are cheaper to write again than to skip.
_MAX_GAP_CELLS = 2
#: Runs up to this length are reached with fewer bytes from above than from the left.
_SHORT_RUN_CELLS = 4


class _Position(NamedTuple):
    x: int
    y: int


class CellDiff:
    """Two grids of cells: the wanted screen, and what the terminal shows.

    A cell is a text and an SGR state. The right half of a wide character is an empty text; a cell
    whose state in the terminal is unknown has the text None.
    """

    def __init__(self) -> None:
        self._resize(0, 0)

    def _resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._texts = [[" "] * width for _ in range(height)]
        self._pens = [[DEFAULT_SGR] * width for _ in range(height)]
        self._strips: list[dict[int, Strip]] = [{} for _ in range(height)]
        self.invalidate()

    def invalidate(self) -> None:
        """The terminal's state is unknown: it was resized, or others wrote to it."""
        self._shown_texts: list[list[str | None]] = [[None] * self.width for _ in self._texts]
        self._shown_pens = [[DEFAULT_SGR] * self.width for _ in self._texts]
        self._dirty: dict[int, tuple[int, int]] = {
            y: (0, self.width) for y in range(self.height) if self.width
        }

    @staticmethod
    def supports(renderable: object) -> TypeGuard[LayoutUpdate | ChopsUpdate]:
        """Whether a renderable of Textual is an update of the screen."""
        return isinstance(renderable, LayoutUpdate | ChopsUpdate)

    def apply(
        self, update: LayoutUpdate | ChopsUpdate, system: ColorSystem, size: tuple[int, int]
    ) -> None:
        """Apply an update to the wanted screen. The size is used where none is known yet."""
        if isinstance(update, LayoutUpdate):
            size = update.region.size
        elif self.width:
            size = self.width, self.height
        if size != (self.width, self.height):
            self._resize(*size)
        for y, x, strip in _updated_strips(update):
            if 0 <= y < self.height and self._strips[y].get(x) is not strip:
                self._write(y, x, strip, system)
                self._remember(y, x, strip)

    def _remember(self, y: int, x: int, strip: Strip) -> None:
        """Strips are immutable: the same one at the same place again changes nothing."""
        line, end = self._strips[y], x + strip.cell_length
        for start, other in list(line.items()):
            if start < end and start + other.cell_length > x:
                del line[start]
        line[x] = strip

    def _write(self, y: int, x: int, strip: Strip, system: ColorSystem) -> None:
        texts, pens = self._texts[y], self._pens[y]
        start, end, halves = self.width, 0, False
        for text, style, control in strip:
            if control:
                continue
            cells = _cells(text)
            count = min(len(cells), self.width - x)
            if count <= 0:
                continue
            pen = sgr_state(style, system) if style else DEFAULT_SGR
            after = x + count
            new_texts, new_pens = list(cells[:count]), [pen] * count
            if texts[x:after] != new_texts or pens[x:after] != new_pens:
                halves = halves or "" in texts[x : after + 1] or "" in new_texts
                texts[x:after], pens[x:after] = new_texts, new_pens
                start, end = min(start, x), max(end, after)
            x = after
        if start < end:
            self._mark_dirty(
                y, *(self._blank_split_wide_cells(y, start, end) if halves else (start, end))
            )

    def _blank_split_wide_cells(self, y: int, start: int, end: int) -> tuple[int, int]:
        """Blank halves of wide characters whose other half was overwritten, as terminals do."""
        texts = self._texts[y]
        if texts[start] == "" or (start and _is_wide(texts[start - 1])):
            start = max(0, start - 1)
        end = min(end + 1, self.width)
        for x in range(start, end):
            left_is_wide = x > 0 and _is_wide(texts[x - 1])
            if texts[x] == "" and not left_is_wide:
                texts[x] = " "
            elif texts[x] != "" and left_is_wide:
                texts[x - 1] = " "
        return start, end

    def _mark_dirty(self, y: int, start: int, end: int) -> None:
        before = self._dirty.get(y, (start, end))
        self._dirty[y] = min(start, before[0]), max(end, before[1])

    @property
    def has_pending(self) -> bool:
        """Whether anything changed that the terminal may not show yet."""
        return bool(self._dirty)

    def diff_bytes(self) -> str:
        """The bytes that make the terminal show the wanted screen; "" when it does already.

        They rely on a line feed keeping the column. Runs of one style are sent together, and short
        ones sorted by the column where they end, as numbers in a table do: from one to the next
        below takes a line feed and a few backspaces.
        """
        out: list[str] = []
        pen, at = DEFAULT_SGR, None
        for end, y, x in sorted(self._runs(), key=self._run_order):
            if at != (x, y):
                out.append(cursor_move(at, x, y))
            pen, at = self._emit_run(out, _Position(x, y), end, pen)
        self._dirty.clear()
        if pen is not DEFAULT_SGR:
            out.append(transition(pen, DEFAULT_SGR))
        return "".join(out)

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """The runs of cells that differ from what is shown: end, line, start."""
        for y, (x_from, limit) in self._dirty.items():
            x = x_from
            texts, pens = self._texts[y], self._pens[y]
            shown_texts, shown_pens = self._shown_texts[y], self._shown_pens[y]
            while x < limit:
                if texts[x] == shown_texts[x] and pens[x] is shown_pens[x]:
                    x += 1
                    continue
                start = x - 1 if texts[x] == "" and x else x
                end = x = self._next_cell(y, start)
                while x < self.width and x - end <= _MAX_GAP_CELLS:
                    if texts[x] != shown_texts[x] or pens[x] is not shown_pens[x]:
                        end = x = self._next_cell(y, x)
                    elif pens[x] is pens[end - 1] and texts[x] and texts[x].isascii():
                        x += 1
                    else:
                        break
                yield end, y, start

    def _run_order(self, run: tuple[int, int, int]) -> tuple[SgrState, bool, int, int]:
        end, y, start = run
        long = end - start > _SHORT_RUN_CELLS
        return (self._pens[y][start], long, *((y, start) if long else (end, y)))

    def _next_cell(self, y: int, x: int) -> int:
        """The cell after the character that begins here."""
        return x + 2 if x + 1 < self.width and self._texts[y][x + 1] == "" else x + 1

    def _emit_run(
        self, out: list[str], place: _Position, end: int, pen: SgrState
    ) -> tuple[SgrState, _Position | None]:
        start, y = place
        texts, pens = self._texts[y], self._pens[y]
        known, x = True, start
        while x < end:
            if not known:
                out.append(cursor_move(None, x, y))
            if pens[x] is not pen:
                out.append(transition(pen, pens[x]))
                pen = pens[x]
            out.append(texts[x])
            # Terminals disagree about the width of several code points in one cell.
            known = len(texts[x]) == 1
            x = self._next_cell(y, x)
        self._shown_texts[y][start:end] = texts[start:end]
        self._shown_pens[y][start:end] = pens[start:end]
        # Past the edge, the cursor's position depends on the terminal.
        return pen, _Position(end, y) if known and end < self.width else None


def _updated_strips(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """The strips that an update draws: line, column, strip.

    Where Textual cuts a strip at the edge of a change, the whole strip is used: its content is
    right, and a wide character at the edge stays whole.
    """
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield y, x, strip
                x += strip.cell_length
        return
    for y, x1, x2 in update.spans:
        for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if chop is not None and x < x2 and end > x1:
                yield y, x, chop


@lru_cache(maxsize=4096)
def _grapheme_cells(text: str) -> list[str]:
    cells: list[str] = []
    for start, end, width in split_graphemes(text)[0]:
        if width:
            letters = "".join(letter for letter in text[start:end] if ord(letter) >= 32)
            cells += [letters, ""] if width == 2 else [letters]
    return cells


def _cells(text: str) -> list[str] | str:
    """A text by terminal cells: a wide character is followed by an empty text."""
    return text if text.isascii() and text.isprintable() else _grapheme_cells(text)


def _is_wide(text: str) -> bool:
    return len(_grapheme_cells(text)) == 2 if text and not text.isascii() else False


def cursor_move(at: _Position | None, x: int, y: int) -> str:
    """The shortest sequence that moves the cursor from a position, or None, to a cell."""
    ways = [f"\x1b[{y + 1}H" if x == 0 else f"\x1b[{y + 1};{x + 1}H"]
    if at is not None:
        down = y - at.y
        ways.append(
            (_relative_move(down, "B", "A") if not 0 < down < 4 else "\n" * down)
            + _horizontal_move(at.x, x)
        )
    return min(ways, key=len)


def _horizontal_move(start: int, x: int) -> str:
    if x == start:
        return ""
    ways = [_relative_move(x - start, "C", "D"), "\r" + _relative_move(x, "C", "D")]
    if x < start:
        ways.append("\b" * (start - x))
    return min(ways, key=len)


def _relative_move(cells: int, ahead: str, back: str) -> str:
    if not cells:
        return ""
    count = "" if abs(cells) == 1 else abs(cells)
    return f"\x1b[{count}{ahead if cells > 0 else back}"
