"""How much of what takes long is tested: a sample, or all of it with TEST_FULL=1."""

import os
from typing import TypeVar

_Size = TypeVar("_Size")


def sampled(part: _Size, *, full: _Size) -> _Size:
    """The part that every run tests, or all of it where that was asked for."""
    return full if os.environ.get("TEST_FULL") else part
