"""Text from outside, fit for a line of a list or a log, and for a terminal."""

LONGEST = 300


def plain(text: str) -> str:
    """The text without what a terminal would obey: each such character becomes a ?."""
    return "".join(char if char.isprintable() else "?" for char in text)


def plain_lines(text: str) -> str:
    """The same of text of many lines: tabs and the lines' ends stay, of any kind."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in lines)


def one_line(text: str, longest: int = LONGEST) -> str:
    """A plain line of bounded length; an ellipsis says that there was more."""
    line = plain(text[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
