"""Text from outside, fit for one line of a list, a log or a terminal."""

LONGEST = 300


def plain(text: str) -> str:
    """The text without what a terminal would obey: each such character becomes a ?."""
    return "".join(char if char.isprintable() else "?" for char in text)


def one_line(text: str, longest: int = LONGEST) -> str:
    """The same, of bounded length; an ellipsis says that there was more."""
    line = plain(text[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
