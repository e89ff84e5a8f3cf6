"""The platforms and Pythons that the farm builds for, as a matrix."""

from collections.abc import Sequence

from piwheels.model import Struct, target_words


class PlatformRow(Struct, frozen=True, kw_only=True):
    """A platform, and whether the farm builds for each Python of the matrix there."""

    platform: str  # in words
    served: tuple[bool, ...]


class PlatformMatrix(Struct, frozen=True, kw_only=True):
    """The targets of a farm by platform and Python."""

    pythons: tuple[str, ...]  # in words, oldest first
    rows: tuple[PlatformRow, ...]


def platform_matrix(targets: Sequence[str]) -> PlatformMatrix:
    """The matrix of some targets, which are in numeric order; newest platforms first."""
    words = [target_words(target) for target in targets]
    served = {(each.platform, each.python) for each in words}
    pythons = tuple(dict.fromkeys(each.python for each in words))
    platforms = list(dict.fromkeys(each.platform for each in words))
    return PlatformMatrix(
        pythons=pythons,
        rows=tuple(
            PlatformRow(
                platform=platform,
                served=tuple((platform, python) in served for python in pythons),
            )
            for platform in reversed(platforms)
        ),
    )
