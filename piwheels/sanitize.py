"""Text from outside, fit for a line of a list or a log, and for a terminal."""

MAX_LINE_LENGTH = 300


def strip_controls(text: str) -> str:
    """The text without what a terminal would obey: each such character becomes a ?."""
    return "".join(char if char.isprintable() else "?" for char in text)


def strip_controls_multiline(text: str) -> str:
    """The same of text of many lines: tabs and the lines' ends stay, of any kind."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in lines)


def truncate_line(text: str, max_length: int = MAX_LINE_LENGTH) -> str:
    """A plain line of bounded length; an ellipsis says that there was more."""
    line = strip_controls(text[: max_length + 1])
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"
