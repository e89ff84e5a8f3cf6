"""The same log as other tools and terminals would have printed it: class and line stay the same."""

import re
from collections.abc import Callable, Iterator

from tests.causes.spec import Expected

#: As `piwheels.builder.build_log` keeps it.
TAIL_BYTES = 256 * 1024

_DECOYS = b"""\
  checking for strlcpy... no
  checking for pkg-config... no
  Package libsystemd was not found in the pkg-config search path.
  _configtest.c:1:10: fatal error: minix/config.h: No such file or directory
  compilation terminated.
  failure.
  removing: _configtest.c _configtest.o
  Run-time dependency libunwind found: NO (tried pkgconfig)
  -- Could NOT find Doxygen (missing: DOXYGEN_EXECUTABLE)
  -- Performing Test HAVE_BACKTRACE - Failed
  warning: build_ext: building optional extension "speedups" failed: command 'gcc' failed
  optional.c:3:3: warning: implicit declaration of function 'error' [-Wimplicit-function-declaration]
  Looking for error.h - not found
"""

_WARNING = (
    b"  part%d.c:%d:7: warning: unused variable 'error' [-Wunused-variable]\n"
    b"  %5d |   int error = failed_call();\n        |       ^~~~~\n"
)

Change = Callable[[list[bytes], int], list[bytes]]


def _indented(lines: list[bytes], _: int) -> list[bytes]:
    return [b"    " + line for line in lines]


def _colored(lines: list[bytes], _: int) -> list[bytes]:
    """As compilers, pip and ninja color what they print."""
    pattern = re.compile(rb"(fatal error:|error:|ERROR:|warning:|\w+Error:)")
    return [
        b"\x1b[0m"
        + pattern.sub(lambda found: b"\x1b[01;31m\x1b[K" + found[0] + b"\x1b[m\x1b[K", line)
        for line in lines
    ]


def _crlf(lines: list[bytes], _: int) -> list[bytes]:
    return [line.rstrip(b"\n") + b"\r\n" for line in lines]


def _tail(lines: list[bytes], _: int) -> list[bytes]:
    """The end that a builder keeps of a long log."""
    noise = [b"  copying sample/part%05d.py -> build/lib/sample\n" % n for n in range(8000)]
    text = b"".join((*noise, *lines))[-TAIL_BYTES:]
    return text.splitlines(keepends=True)


def _warnings_after(lines: list[bytes], at: int) -> list[bytes]:
    """Thousands of warnings of other compilers that ran at the same time."""
    noise = [_WARNING % (n, n, n) for n in range(5000)]
    ends = [n for n, line in enumerate(lines) if n > at and b"subprocess-exited-with-error" in line]
    end = min(ends, default=at + 4)
    return [*lines[:end], *noise, *lines[end:]]


def _decoys_before(lines: list[bytes], at: int) -> list[bytes]:
    """What configure scripts and optional parts print before the cause."""
    start = max(
        (n for n, line in enumerate(lines[:at]) if b"Running command" in line), default=None
    )
    if start is None:
        return lines
    return [*lines[: start + 1], *_DECOYS.splitlines(keepends=True), *lines[start + 1 :]]


def _not_verbose(lines: list[bytes], _: int) -> list[bytes]:
    """As pip prints it without --verbose: the output at its end, in a box."""
    ends = [n for n, line in enumerate(lines) if b"subprocess-exited-with-error" in line]
    starts = (
        [n for n, line in enumerate(lines[: ends[0]]) if b"Running command" in line] if ends else []
    )
    empty = [n for n, line in enumerate(lines) if b"No available output." in line]
    if not starts or not empty:
        return lines
    output = lines[starts[-1] + 1 : ends[0]]
    box = [b"  \xe2\x95\xb0\xe2\x94\x80> [%d lines of output]\n" % len(output)]
    box += [b"    " + line for line in output] + [b"      [end of output]\n"]
    return [*lines[: starts[-1]], *lines[ends[0] : empty[0]], *box, *lines[empty[0] + 1 :]]


_CHANGES: dict[str, Change] = {
    "indented": _indented,
    "colored": _colored,
    "crlf": _crlf,
    "decoys-before": _decoys_before,
    "not-verbose": _not_verbose,
}

#: Those that make a log long.
_LONG_CHANGES: dict[str, Change] = {"tail": _tail, "warnings-after": _warnings_after}


def deciding_line(log: bytes, expected: Expected) -> int | None:
    """The index of the first line of a log that has one of the expected texts; None: there is none.

    Texts count in their order: the first that the log has decides.
    """
    lines = log.decode(errors="replace").splitlines()
    for text in expected.lines:
        for number, line in enumerate(lines):
            if text in line:
                return number
    return None


def log_variants(log: bytes, expected: Expected, *, long: bool) -> Iterator[tuple[str, bytes]]:
    """The log in each other form, with the name of the form; the long ones, too, if `long`."""
    lines = log.splitlines(keepends=True)
    at = deciding_line(log, expected)
    for name, change in {**_CHANGES, **(_LONG_CHANGES if long else {})}.items():
        if at is not None or name not in {"warnings-after", "decoys-before"}:
            yield name, b"".join(change(lines, at or 0))
