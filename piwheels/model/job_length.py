"""Which jobs are long: their builds keep a builder for so long that short ones would wait."""

from enum import Enum

#: A build is long from here on; sql/ has the same number (`projects.is_long`).
LONG_BUILD_S = 20 * 60.0


class JobLength(Enum):
    """Which jobs a claim looks for. One of unknown length is short."""

    ANY = "any"
    SHORT = "short"
    LONG = "long"


def is_long_build(expected_s: float, running_s: float = 0.0) -> bool:
    """Whether a build is long: one of unknown duration (0) is, once it has run for as long."""
    return max(expected_s, running_s) >= LONG_BUILD_S
