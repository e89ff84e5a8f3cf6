"""Logs of simulated builds: any length, growing at any rate, the same for the same number."""

import random
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

_LINES = (
    "gcc -pthread -Wall -g -fwrapv -O2 -fPIC -I/usr/include/python3 -c src/{word}_{n}.c",
    "[{n}/{all}] Building CXX object CMakeFiles/core.dir/{word}/{word}_{n}.cpp.o",
    "src/{word}/{word}.c:{n}:12: warning: unused variable '{word}' [-Wunused-variable]",
    "   Compiling {word} v0.{n}.1",
    "copying {word}/{word}_{n}.py -> build/lib/{word}",
    "\x1b[32mok\x1b[0m {word} \x1b[1m{n}\x1b[0m",
)
_WORDS = ("array", "matrix", "linalg", "tensor", "parser", "socket", "kernel", "codec")
_ERROR = "src/core/{word}.c:{n}:5: error: implicit declaration of function '{word}_{n}'"


@lru_cache(8)
def full_log(build: int, lines: int, reason: str = "", *, failed: bool) -> bytes:
    """The whole log of a build; one that failed has an error, or its reason, near its end."""
    dice = random.Random(build)
    pool = [dice.choice(_LINES) for _ in range(64)]
    words = [dice.choice(_WORDS) for _ in range(61)]
    made = [
        pool[n % 64].format(n=n, all=lines, word=words[n % 61]) for n in range(1, max(1, lines) + 1)
    ]
    if failed:
        at = max(0, lines - 1 - lines // 20)
        made[at] = reason or _ERROR.format(n=at, word=words[0])
    return "".join(f"{line}\n" for line in made).encode()


@lru_cache(8)
def _ends(build: int, lines: int, *, failed: bool) -> tuple[int, ...]:
    data = full_log(build, lines, failed=failed)
    return tuple(accumulate(len(line) for line in data.splitlines(keepends=True)))


def partial_log(build: int, lines: int, so_far: int, *, failed: bool) -> bytes:
    """The log of a build that has written so many of its lines."""
    if so_far <= 0:
        return b""
    data = full_log(build, lines, failed=failed)
    if so_far >= lines:
        return data
    return data[: _ends(build, lines, failed=failed)[so_far - 1]]


@dataclass(frozen=True, slots=True)
class SimArrivals:
    """When the parts of a log arrived: every 4 KiB at a steady rate."""

    lines: int
    lines_per_s: float

    def between(self, start: int, end: int) -> tuple[tuple[int, float], ...]:
        """Where what arrived began, and after how many seconds."""
        rate = max(1.0, self.lines_per_s) * 60  # bytes per second: of lines of about 60
        return tuple((at, at / rate) for at in range(start // 4096 * 4096, end, 4096))
