"""Makes untrusted text safe for lists, logs and terminals."""

MAX_LINE_LENGTH = 300


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
