"""Wheels read and rewritten in a child process with limits, by builders and by the master."""

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from piwheels.errors import RefusedError
from piwheels.isolated import Limits, call
from piwheels.wheel.archive import Archive
from piwheels.wheel.completeness import Upstream, Verdict, judge, wheel_contents
from piwheels.wheel.file import WheelFacts, inspect, with_build_number, with_platform
from piwheels.wheel.sdist import UNREADABLE, has_compiled_sources, read_sdist

Value = TypeVar("Value", int, str)

#: Every wheel may take as much processor time as a small board needs to unpack and hash 500 MB,
#: which an honest one rarely has; a larger one more.
_BASE_CPU_S = 120
_BYTES_PER_CPU_S = 2 * 1024**2
_BYTES_PACKED_PER_CPU_S = 256 * 1024
#: An honest member is not packed to less than a sixth.
_MEMORY_PER_BYTE = 6


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
    await _check_bytes(facts, path)
    return facts


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that was just built: its facts, and whether it is what its release should be."""

    facts: WheelFacts
    verdict: Verdict


async def survey_wheel(path: Path, sdist: Path, *, upstream: tuple[str, bytes] | None) -> Survey:
    """Read a wheel as `read_wheel` does, and compare it with its sdist and the upstream's wheel.

    Args:
        path: the wheel.
        sdist: what it was built from.
        upstream: the file name of the upstream's wheel of this release and its last bytes, which
            hold the archive's directory; None if there is none.

    Raises:
        RefusedError, OSError: as `read_wheel`.
    """
    try:
        survey = await call(_limits(path), _survey, path, sdist, upstream)
    except RefusedError as error:
        raise _named(error, path) from None
    await _check_bytes(survey.facts, path)
    return survey


async def needs_compiler(sdist: Path) -> bool:
    """Whether an sdist holds sources that need a compiler; also where it takes too much to read.

    Raises:
        OSError: it cannot be read now, which says nothing of it.
    """
    try:
        return await call(_limits(sdist), has_compiled_sources, sdist)
    except RefusedError:
        return True


async def number_wheel(path: Path, number: int) -> Path:
    """A copy of a sound wheel with a build number, as `with_build_number` makes it.

    Raises:
        RefusedError: the wheel cannot be rewritten.
        OSError: the copy cannot be written.
    """
    return await _rewritten(path, _number, number)


async def retag_wheel(path: Path, platform: str) -> Path:
    """A copy of a sound wheel with another platform tag, as `with_platform` makes it.

    Raises:
        RefusedError: the wheel cannot be rewritten.
        OSError: the copy cannot be written.
    """
    return await _rewritten(path, _retag, platform)


async def _rewritten(path: Path, rewrite: Callable[[Path, Value], str], value: Value) -> Path:
    try:
        made = await call(_rewriting_limits(path), rewrite, path, value)
    except RefusedError as error:
        raise _named(error, path) from None
    return path.with_name(Path(made).name)


async def unpack_wheel(path: Path, folder: Path) -> None:
    """Unpack a wheel that has to be safe to unpack into an empty folder.

    Raises:
        RefusedError: it is not sound.
        OSError: the folder cannot take it.
    """
    try:
        await call(_limits(path), _unpack, path, folder)
    except RefusedError as error:
        raise _named(error, path) from None


def _unpack(path: Path, folder: Path) -> None:
    with Archive.open(path) as archive:
        for name in archive.members:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for piece in archive.stream(name):
                    file.write(piece)


async def _check_bytes(facts: WheelFacts, path: Path) -> None:
    """What was inspected has to be what lies there: the child that parsed it may be wrong."""
    if facts.sha256 != await asyncio.to_thread(_sha256, path) or facts.filename != path.name:
        raise RefusedError(f"{path.name} changed while it was read")


def _survey(path: Path, sdist: Path, upstream: tuple[str, bytes] | None) -> Survey:
    facts = inspect(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    declares = any(name.endswith(".dist-info/entry_points.txt") for name in members)
    declares = declares or b"\nrequires-dist:" in facts.metadata.lower()
    wheel = wheel_contents(members, declares=declares)
    return Survey(
        facts=facts,
        verdict=judge(wheel, read_sdist(facts.project, sdist), _upstream(upstream)),
    )


def _upstream(end: tuple[str, bytes] | None) -> Upstream | None:
    """What the upstream's wheel holds; None where the end of it does not tell."""
    if end is None:
        return None
    filename, content = end
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.namelist()
    except UNREADABLE:
        return None
    return Upstream(filename=filename, modules=wheel_contents(members).modules)


def _number(path: Path, number: int) -> str:
    return with_build_number(path, number).name


def _retag(path: Path, platform: str) -> str:
    return with_platform(path, platform).name


def _limits(path: Path) -> Limits:
    return Limits(cpu_s=_BASE_CPU_S + path.stat().st_size // _BYTES_PER_CPU_S)


def _rewriting_limits(path: Path) -> Limits:
    """The `wheel` tool holds each member in memory as a whole, and compresses it again."""
    size_bytes = path.stat().st_size
    return Limits(
        cpu_s=_BASE_CPU_S + size_bytes // _BYTES_PACKED_PER_CPU_S,
        memory_bytes=Limits().memory_bytes + _MEMORY_PER_BYTE * size_bytes,
    )


def _named(error: RefusedError, path: Path) -> RefusedError:
    """The error with the wheel's name before it; what ends the child knows none."""
    said = str(error)
    return RefusedError(said if said.startswith(path.name) else f"{path.name}: {said}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
