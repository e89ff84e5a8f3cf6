"""The Debian packages of a root whose shared libraries a wheel needs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from piwheels.roots import dpkg_status

#: The folders that Debian's loader searches, and those of alternatives in them.
_LIBRARY_PATH = re.compile(r"(/usr)?/lib/([a-z0-9_-]+-linux-[a-z0-9]+/)?([a-z0-9.-]+/)?[^/]+")
_LIBPYTHON = re.compile(r"libpython[23]\.\d+.*")
_PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_BASE_PRIORITIES = frozenset({"required", "important"})
#: Packages whose libraries compilers link to everything.
_BASE_PACKAGES = frozenset({"libc6", "libgcc-s1", "libstdc++6"})


def library_packages(
    root: Path, layers: Sequence[Path], libraries: Iterable[str]
) -> tuple[str, ...]:
    """The packages with these libraries, sorted, without those that every system has."""
    wanted = set(libraries)
    found = {
        package
        for place in (root, *layers)
        for package, path in dpkg_status.owners(place, wanted)
        if _LIBRARY_PATH.fullmatch(path)
    }
    found -= base_system(dpkg_status.installed_packages(root))
    return tuple(sorted(name for name in found if not _LIBPYTHON.fullmatch(name)))


def base_system(packages: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The packages that every Debian system has, and their dependencies.

    Args:
        packages: control fields by name.
    """
    base = set(_BASE_PACKAGES)
    for name, fields in packages.items():
        if fields.get("Essential") == "yes" or fields.get("Priority") in _BASE_PRIORITIES:
            base.add(name)
    new = base
    while new:
        new = {name for known in new for name in _relations(packages.get(known, {}))} - base
        base |= new
    return base


def _relations(fields: Mapping[str, str]) -> set[str]:
    text = f"{fields.get('Pre-Depends', '')}, {fields.get('Depends', '')}"
    return set(_PACKAGE_NAME.findall(re.sub(r"\([^()]*\)|:\w+", "", text)))
