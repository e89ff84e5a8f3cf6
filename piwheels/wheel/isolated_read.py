"""Wheels and sdists read and rewritten in a child process with resource limits."""

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from piwheels.errors import RejectedError
from piwheels.isolated_process import Limits, run_isolated
from piwheels.model import WheelComparison
from piwheels.wheel.comparison import compare_wheels
from piwheels.wheel.completeness import (
    CompletenessResult,
    UpstreamWheel,
    check_completeness,
    wheel_contents,
)
from piwheels.wheel.inspect import WheelInfo, add_build_number, inspect_wheel, set_platform_tag
from piwheels.wheel.sdist import ARCHIVE_READ_ERRORS, has_compiled_sources, read_sdist
from piwheels.wheel.zip_reader import Archive

Value = TypeVar("Value", int, str)

#: Every wheel may take the processor time that a small board needs to unpack and hash 500 MB;
#: larger ones more.
_BASE_CPU_S = 120
_BYTES_PER_CPU_S = 2 * 1024**2
_BYTES_COMPRESSED_PER_CPU_S = 256 * 1024
#: Real members do not compress to less than a sixth.
_MEMORY_PER_BYTE = 6


async def read_wheel(path: Path) -> WheelInfo:
    """Read a wheel and check that it is consistent, as `inspect_wheel` does.

    Raises:
        RejectedError: it is not a valid wheel, or takes too much time or memory to read.
        OSError: it cannot be read now, which is not the wheel's fault.
    """
    try:
        facts = await run_isolated(_limits(path), inspect_wheel, path)
    except RejectedError as error:
        raise _with_wheel_name(error, path) from None
    await _check_bytes(facts, path)
    return facts


class WheelSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that was just built: its properties, and whether it is complete."""

    info: WheelInfo
    completeness: CompletenessResult


async def survey_wheel(
    path: Path, sdist: Path, *, upstream: tuple[str, bytes] | None
) -> WheelSurvey:
    """Read a wheel as `read_wheel` does, and compare it with its sdist and the upstream wheel.

    Args:
        path: the wheel.
        sdist: what it was built from.
        upstream: the file name of the upstream wheel of this release and its last bytes, which
            contain the archive's directory; None if there is none.

    Raises:
        RejectedError, OSError: as `read_wheel`.
    """
    try:
        survey = await run_isolated(_limits(path), _survey_in_child, path, sdist, upstream)
    except RejectedError as error:
        raise _with_wheel_name(error, path) from None
    await _check_bytes(survey.info, path)
    return survey


async def needs_compiler(sdist: Path) -> bool:
    """Whether an sdist has sources that need a compiler; True also if it takes too much to read.

    Raises:
        OSError: it cannot be read now, which is not the sdist's fault.
    """
    try:
        return await run_isolated(_limits(sdist), has_compiled_sources, sdist)
    except RejectedError:
        return True


async def number_wheel(path: Path, number: int) -> Path:
    """Copy a valid wheel with a build number, as `add_build_number` does.

    Raises:
        RejectedError: the wheel cannot be rewritten.
        OSError: the copy cannot be written.
    """
    return await _rewrite(path, _number_in_child, number)


async def retag_wheel(path: Path, platform: str) -> Path:
    """Copy a valid wheel with another platform tag, as `set_platform_tag` does.

    Raises:
        RejectedError: the wheel cannot be rewritten.
        OSError: the copy cannot be written.
    """
    return await _rewrite(path, _retag_in_child, platform)


async def _rewrite(path: Path, rewrite: Callable[[Path, Value], str], value: Value) -> Path:
    try:
        made = await run_isolated(_rewriting_limits(path), rewrite, path, value)
    except RejectedError as error:
        raise _with_wheel_name(error, path) from None
    return path.with_name(Path(made).name)


async def compare_contents(published: Path, rebuilt: Path) -> WheelComparison:
    """What differs between two wheels whose bytes differ, as `compare_wheels` says.

    Raises:
        RejectedError: one is no valid archive, or comparing them takes too much time or memory.
        OSError: one cannot be read now.
    """
    alone, other = _limits(published), _limits(rebuilt)
    # Each is unpacked up to three times: for its digest, and to find what differs.
    limits = Limits(cpu_s=3 * (alone.cpu_s + other.cpu_s))
    return await run_isolated(limits, compare_wheels, published, rebuilt)


async def unpack_wheel(path: Path, folder: Path) -> None:
    """Unpack a wheel into an empty folder.

    Raises:
        RejectedError: it is damaged, or not safe to unpack.
        OSError: the folder cannot be written to.
    """
    try:
        await run_isolated(_limits(path), _unpack_in_child, path, folder)
    except RejectedError as error:
        raise _with_wheel_name(error, path) from None


def _unpack_in_child(path: Path, folder: Path) -> None:
    with Archive.open(path) as archive:
        for name in archive.members:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for piece in archive.stream(name):
                    file.write(piece)


async def _check_bytes(info: WheelInfo, path: Path) -> None:
    """Check the file's hash again: the child that parsed a hostile wheel may report anything."""
    if info.sha256 != await asyncio.to_thread(file_sha256, path) or info.filename != path.name:
        raise RejectedError(f"{path.name} changed while it was read")


def _survey_in_child(path: Path, sdist: Path, upstream: tuple[str, bytes] | None) -> WheelSurvey:
    facts = inspect_wheel(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    declares = any(name.endswith(".dist-info/entry_points.txt") for name in members)
    declares = declares or b"\nrequires-dist:" in facts.metadata.lower()
    wheel = wheel_contents(members, declares=declares)
    return WheelSurvey(
        info=facts,
        completeness=check_completeness(
            wheel, read_sdist(facts.project, sdist), _upstream_wheel(upstream)
        ),
    )


def _upstream_wheel(end: tuple[str, bytes] | None) -> UpstreamWheel | None:
    """The modules of the upstream wheel; None if its last bytes do not contain its directory."""
    if end is None:
        return None
    filename, content = end
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.namelist()
    except ARCHIVE_READ_ERRORS:
        return None
    return UpstreamWheel(filename=filename, modules=wheel_contents(members).modules)


def _number_in_child(path: Path, number: int) -> str:
    return add_build_number(path, number).name


def _retag_in_child(path: Path, platform: str) -> str:
    return set_platform_tag(path, platform).name


def _limits(path: Path) -> Limits:
    return Limits(cpu_s=_BASE_CPU_S + path.stat().st_size // _BYTES_PER_CPU_S)


def _rewriting_limits(path: Path) -> Limits:
    """Higher limits: the `wheel` tool holds whole members in memory and recompresses them."""
    size_bytes = path.stat().st_size
    return Limits(
        cpu_s=_BASE_CPU_S + size_bytes // _BYTES_COMPRESSED_PER_CPU_S,
        memory_bytes=Limits().memory_bytes + _MEMORY_PER_BYTE * size_bytes,
    )


def _with_wheel_name(error: RejectedError, path: Path) -> RejectedError:
    """The error with the wheel's name in front, which errors of the child's end do not have."""
    text = str(error)
    return RejectedError(text if text.startswith(path.name) else f"{path.name}: {text}")


def file_sha256(path: Path) -> str:
    """The hash of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
