"""A message of the console to its operator."""

from typing import NamedTuple


class AppMessage(NamedTuple):
    """A text and the name of its style."""

    text: str
    style: str = ""


NO_MESSAGE = AppMessage("")
