"""Texts in exactly so many terminal cells, without anything that a terminal acts upon."""

import re
import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

# Controls move the terminal's cursor, and directional marks reorder a line: a builder's text must
# do neither.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def printable_text(text: str, *, ascii_only: bool = False) -> str:
    """The text without control characters, and in ASCII if required."""
    if text.isascii():
        return text if text.isprintable() else _UNSAFE.sub("?", text)
    text = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)
    if not ascii_only:
        return text
    folded = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return bare.encode("ascii", "replace").decode()


@lru_cache(maxsize=16_384)
def pad_or_truncate(
    text: str,
    width: int,
    align: str = "left",
    *,
    ascii_only: bool = False,
    keeps_end: bool = False,
) -> str:
    """The text in exactly so many terminal cells: padded, or truncated with a mark.

    `keeps_end` cuts names in the middle that often begin alike, such as those of targets.
    """
    text = printable_text(text, ascii_only=ascii_only)
    cells = cell_len(text)
    if cells > width:
        if width < 1:
            return ""
        end_cells = (width - 1) // 2 if keeps_end else 0
        end = set_cell_size(text[::-1], end_cells)[::-1]
        return set_cell_size(text, width - 1 - end_cells) + ("~" if ascii_only else "…") + end
    padding = " " * (width - cells)
    return padding + text if align == "right" else text + padding
