"""The platforms that the farm builds for: their order, and the matrix of the home page."""

from collections.abc import Sequence
from itertools import groupby

from piwheels.model import Struct, platform_words, target_words
from piwheels.release_status import platform_of


class PlatformRow(Struct, frozen=True, kw_only=True):
    """A platform, and the target for each Python of the matrix if the farm builds for it."""

    platform: str  # in words
    targets: tuple[str, ...]  # "" if it does not


class PlatformMatrix(Struct, frozen=True, kw_only=True):
    """The targets of a farm by platform and Python."""

    pythons: tuple[str, ...]  # in words, oldest first
    rows: tuple[PlatformRow, ...]


def targets_by_platform(targets: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Targets, which are in numeric order, by platform: the newest first, and so is each Python."""
    places = {platform_of(target): at for at, target in enumerate(targets)}
    newest_first = targets[::-1]
    ordered = sorted(newest_first, key=lambda target: -places[platform_of(target)])
    return [(platform, list(names)) for platform, names in groupby(ordered, key=platform_of)]


def platform_matrix(targets: Sequence[str]) -> PlatformMatrix:
    """The matrix of some targets, which are in numeric order."""
    pythons = tuple(dict.fromkeys(target_words(target).python for target in targets))
    rows = []
    for platform, names in targets_by_platform(targets):
        there = {target_words(name).python: name for name in names}
        rows.append(
            PlatformRow(
                platform=platform_words(platform),
                targets=tuple(there.get(python, "") for python in pythons),
            )
        )
    return PlatformMatrix(pythons=pythons, rows=tuple(rows))
