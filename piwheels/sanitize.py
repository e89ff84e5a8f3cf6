"""Makes untrusted text safe for lists, logs and terminals."""

import re

MAX_LINE_LENGTH = 300

_TAB_CELLS = 8
#: Controls except the line feed, invisible characters, and directional marks.
UNSAFE_CHARACTERS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_ESCAPE_SEQUENCES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # colors, cursor movements
    "|(?:\x1b\\]|\x9d)[^\r\x07\x1b\x90-\x9f]*(?:\x07|\x1b\\\\|\x9c)"  # titles, links
    "|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\r\x1b\x90-\x9f]*(?:\x1b\\\\|\x9c)"  # device control
    "|\x1b[ -/]*[0-~]"
)


def strip_controls(text: str) -> str:
    """The text with each control character replaced by a ?."""
    return "".join(char if char.isprintable() else "?" for char in text)


def strip_controls_multiline(text: str) -> str:
    """The same for several lines: tabs and line ends are kept."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in lines)


def truncate_line(text: str, max_length: int = MAX_LINE_LENGTH) -> str:
    """A line without control characters, truncated with an ellipsis."""
    line = strip_controls(text[: max_length + 1])
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"


def strip_terminal_codes(line: str) -> str:
    """The text of a line as a terminal would show it.

    Escape sequences are dropped; of a progress bar that returns to the start of its line, the last
    state stays; a backspace removes a character; other controls become the replacement character.
    """
    line = _ESCAPE_SEQUENCES.sub("", line)
    if "\r" in line:
        states = [state for state in line.split("\r") if state.strip()]
        line = states[-1] if states else ""
    if "\b" in line:
        line = _apply_backspaces(line)
    if "\t" in line:
        line = line.expandtabs(_TAB_CELLS)
    return UNSAFE_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", line)


def _apply_backspaces(line: str) -> str:
    letters: list[str] = []
    for letter in line:
        if letter != "\b":
            letters.append(letter)
        elif letters:
            letters.pop()
    return "".join(letters)
