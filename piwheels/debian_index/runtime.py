"""What wheels need at run time: the packages of one Debian release named as in another."""

from collections.abc import Iterable

from piwheels.debian_index.lookup import DebianIndex, load_index, releases


def translate_packages(
    packages: Iterable[str], built_on: str, target: str
) -> tuple[str, ...] | None:
    """The packages of a Debian release that have the shared libraries of another's packages.

    Args:
        packages: the packages that a wheel needs where it was built.
        built_on: the code name of that release.
        target: the code name of the release where the wheel is installed.

    Returns:
        Their names, sorted; None if that is not known, or the release lacks a library.
    """
    if not {built_on, target} <= set(releases()):
        return None
    source, other = load_index(built_on), load_index(target)
    found: set[str] = set()
    for package in packages:
        owners = _owners(package, source, other)
        if not owners:
            return None
        found |= owners
    return tuple(sorted(found))


def _owners(package: str, source: DebianIndex, other: DebianIndex) -> set[str]:
    """The packages with the libraries of a package; empty if there are none."""
    owners: set[str] = set()
    for library in source.libraries_of(package):
        alike = other.library_owners(library)
        owners.update([package] if package in alike else alike[:1])
    return owners
