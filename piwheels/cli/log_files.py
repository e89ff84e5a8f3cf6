"""Reads logs of builds from files, and describes their causes."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piwheels.causes import Cause, classify
from piwheels.debian_index import DebianIndex, load_index, releases
from piwheels.errors import UsageError
from piwheels.sanitize import strip_controls
from piwheels.system.os_release import os_codename

STANDARD_INPUT = "-"
_GZIP_START = b"\x1f\x8b"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class LogCause:
    """A log and why its build failed."""

    log: str
    cause: Cause

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON has them; `class` is null if the build did not fail."""
        cause = self.cause
        missing = [
            {"kind": str(each.kind), "name": each.name, "version": each.version}
            for each in cause.missing
        ]
        return {
            "log": self.log,
            "class": str(cause.failure_class) if cause.failure_class else None,
            "missing": missing,
            "packages": list(cause.packages),
            "line_number": cause.line_number or None,
            "line": cause.line,
        }

    def as_lines(self) -> list[str]:
        """The same for people: a line, and below it the line of the log."""
        cause = self.cause
        if cause.failure_class is None:
            return [f"{self.log}: no failure"]
        what = ", ".join(map(str, cause.missing))
        packages = f" ({' '.join(cause.packages)})" if cause.packages else ""
        first = f"{self.log}: {cause.failure_class}{f': {what}' if what else ''}{packages}"
        line = [f"  line {cause.line_number}: {cause.line}"] if cause.line else []
        return [strip_controls(text) for text in (first, *line)]


def find_causes(logs: Iterable[str], release: str) -> list[LogCause]:
    """Judge logs.

    Args:
        logs: paths, or "-" for standard input.
        release: the Debian release whose packages are named; "" for that of this machine.

    Raises:
        UsageError: a log cannot be read, or the release is not known.
    """
    packages = _packages(release)
    return [LogCause(log, classify(_read(log), packages=packages)) for log in logs]


def _packages(release: str) -> DebianIndex:
    known = releases()
    if release and release not in known:
        raise UsageError(f"--debian {release}: known are {', '.join(known)}")
    own = os_codename()
    return load_index(release or (own if own in known else known[-1]))


def _read(log: str) -> str:
    try:
        data = sys.stdin.buffer.read(_MAX_BYTES + 1) if log == STANDARD_INPUT else _read_file(log)
        if data.startswith(_GZIP_START):
            data = _decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{log} cannot be read: {text}") from None
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{log} is larger than {_MAX_BYTES >> 20} MiB; pass its end")
    return data.decode(errors="replace")


def _read_file(log: str) -> bytes:
    with Path(log).open("rb") as file:
        return file.read(_MAX_BYTES + 1)


def _decompress(data: bytes) -> bytes:
    with gzip.open(io.BytesIO(data)) as file:
        return file.read(_MAX_BYTES + 1)
