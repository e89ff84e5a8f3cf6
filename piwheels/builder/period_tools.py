"""The days as of which the index is shown to builds of old releases, and what compilers changed.

The data is in period_tools.toml, with its sources.
"""

import re
import tomllib
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec

_PERIOD = timedelta(days=30)  # a release was tried with the tools of these days
_GCC = re.compile(r"gcc-(\d+)\Z")
_Python = Annotated[str, msgspec.Meta(pattern=r"^3\.\d+$")]


class _OldSetuptools(msgspec.Struct, frozen=True):
    day: date
    last_python: _Python


class CompilerDefault(msgspec.Struct, frozen=True):
    """What a GCC no longer does by default."""

    gcc: int  # the first release that does not
    error: str  # what a line says of sources that need it
    option: str


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    old_setuptools: _OldSetuptools
    whole: dict[_Python, date]
    gcc: dict[int, date]
    changed_defaults: tuple[CompilerDefault, ...]


def _load() -> _Data:
    text = files("piwheels.builder").joinpath("period_tools.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Data, strict=False)


_DATA = _load()


def period_days(python: str, released_on: date, today: date) -> tuple[date, ...]:
    """The days to try, in this order, for a release that today's tools cannot build.

    First the release's own time, but not before the tools of its Python were whole, then the last
    days of setuptools 57.

    Args:
        python: the version of the target's Python, "3.11.7".
        released_on: when the release was published upstream.
        today: no day is later than yesterday.
    """
    minor = _minor(python)
    days: list[date] = []
    if whole := _DATA.whole.get(minor):
        days.append(max(released_on + _PERIOD, whole))
    old = _DATA.old_setuptools
    if released_on <= old.day and _order(minor) <= _order(old.last_python):
        days.append(old.day)
    return tuple(dict.fromkeys(day for day in days if day < today))


def compiler_released_on(system: Path) -> date | None:
    """When the GCC of a system was released; None if unknown.

    Args:
        system: its top folder.
    """
    return _DATA.gcc.get(_gcc_version(system))


def changed_defaults(system: Path, released_on: date) -> tuple[CompilerDefault, ...]:
    """What the GCC of a system no longer does by default and every GCC did before a release."""
    version = _gcc_version(system)
    return tuple(
        each
        for each in _DATA.changed_defaults
        if each.gcc <= version and released_on < _DATA.gcc[each.gcc]
    )


def _gcc_version(system: Path) -> int:
    """The version of the GCC of a system, by the name that `gcc` links to; 0 if unknown."""
    try:
        target = (system / "usr/bin/gcc").readlink()
    except OSError:
        return 0
    found = _GCC.search(target.name)
    return int(found[1]) if found else 0


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _order(minor: str) -> tuple[int, ...]:
    return tuple(int(part) for part in minor.split("."))
