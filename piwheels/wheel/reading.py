"""Wheels read and rewritten in a child process with limits, by builders and by the master."""

import asyncio
import hashlib
from pathlib import Path

from piwheels.errors import RefusedError
from piwheels.isolated import Limits, call
from piwheels.wheel.file import WheelFacts, inspect, with_build_number

#: Every wheel may take as much processor time as a small board needs to unpack and hash 500 MB,
#: which an honest one rarely has; a larger one more.
_BASE_CPU_S = 120
_BYTES_PER_CPU_S = 2 * 1024**2


async def read_wheel(path: Path) -> WheelFacts:
    """Read a wheel and check it against itself, as `inspect` does.

    Raises:
        RefusedError: it is not a sound wheel, or takes too much to read; says what is wrong.
        OSError: it cannot be read now, which says nothing of the wheel.
    """
    try:
        facts = await call(_limits(path), inspect, path)
    except RefusedError as error:
        raise _named(error, path) from None
    # Nothing is believed of a process that parsed a hostile file: these bytes were inspected.
    if facts.sha256 != await asyncio.to_thread(_sha256, path) or facts.filename != path.name:
        raise RefusedError(f"{path.name} changed while it was read")
    return facts


async def number_wheel(path: Path, number: int) -> Path:
    """A copy of a sound wheel with a build number, as `with_build_number` makes it.

    Raises:
        RefusedError: the wheel cannot be rewritten.
        OSError: the copy cannot be written.
    """
    try:
        made = await call(_limits(path), _number, path, number)
    except RefusedError as error:
        raise _named(error, path) from None
    return path.with_name(Path(made).name)


def _number(path: Path, number: int) -> str:
    return with_build_number(path, number).name


def _limits(path: Path) -> Limits:
    return Limits(cpu_s=_BASE_CPU_S + path.stat().st_size // _BYTES_PER_CPU_S)


def _named(error: RefusedError, path: Path) -> RefusedError:
    """The error with the wheel's name before it; what ends the child knows none."""
    said = str(error)
    return RefusedError(said if said.startswith(path.name) else f"{path.name}: {said}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
