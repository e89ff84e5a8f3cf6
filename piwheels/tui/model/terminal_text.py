"""Untrusted text made safe for a terminal.

Cells of the console are plain text: a widget that draws them must not read markup in them.
"""

import unicodedata

#: Replaces a character that is not shown.
REPLACEMENT = "?"

# Unicode general categories: controls, format characters (bidi overrides and isolates,
# zero-width joiners, tags), surrogates, private use, unassigned, and line and paragraph ends.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMBINING_CATEGORIES = frozenset({"Mn", "Me"})
_MAX_COMBINING = 2  # on one character; more would be drawn over the lines above
_LINE_BREAKS = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029")


def terminal_safe(text: str) -> str:
    """The text on one line, without anything that a terminal would interpret.

    Controls, escape sequences, bidirectional overrides, invisible and unassigned characters
    become REPLACEMENT; line ends and tabs become spaces; stacked accents are reduced.
    Idempotent.
    """
    if text.isascii() and text.isprintable():
        return text
    return _terminal_safe(text)


def _terminal_safe(text: str) -> str:
    kept: list[str] = []
    marks = _MAX_COMBINING  # none at the start, where there is no base character
    for char in unicodedata.normalize("NFC", text):
        if char in _LINE_BREAKS:
            kept.append(" ")
            marks = 0
            continue
        category = unicodedata.category(char)
        if category in _COMBINING_CATEGORIES:
            marks += 1
            if marks <= _MAX_COMBINING:
                kept.append(char)
            continue
        marks = 0
        if category in _HIDDEN_CATEGORIES:
            kept.append(REPLACEMENT)
        else:
            kept.append(" " if category == "Zs" else char)
    return unicodedata.normalize("NFC", "".join(kept))
