"""Finds the packages that have what a build did not find, the preferred first."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files

from piwheels.debian_index.rules import Rules, load_rules
from piwheels.debian_index.table import Entry, EntryKind, Table
from piwheels.errors import ConfigError

#: A name found at the end of the paths of more packages than this belongs to none in particular.
_MAX_OWNERS = 4
_MAX_NAME = 200

_LIBRARY_NAME = re.compile(r"(?:-l|lib)?(?P<name>.+?)(?:\.so(?:\.[0-9.]+)?|\.a)?")


def releases() -> tuple[str, ...]:
    """The code names of the Debian releases that have a table."""
    folder = files("piwheels.debian_index").joinpath("data")
    return tuple(sorted(file.name[:-3] for file in folder.iterdir() if file.name.endswith(".xz")))


@cache
def load_index(release: str) -> "DebianIndex":
    """The index of a release by its code name, read once.

    Raises ConfigError if there is no table of that release.
    """
    if release not in releases():
        raise ConfigError(
            f"no table of the packages of {release!r}; there are: {', '.join(releases())}"
        )
    data = files("piwheels.debian_index").joinpath(f"data/{release}.xz").read_bytes()
    return DebianIndex(Table(data), load_rules())


class DebianIndex:
    """The packages of one release, by what they have; a `causes.PackageLookup`."""

    def __init__(self, table: Table, rules: Rules) -> None:
        self._table = table
        self._rules = rules
        self._finders: dict[str, Callable[[str], Iterator[str]]] = {
            "header": self._find_header,
            "library": self._find_library,
            "pkg-config": self._find_pkg_config,
            "program": self._find_program,
            "cmake": self._find_cmake,
            "software": self._find_software,
        }

    def find_packages(self, kind: str, name: str) -> tuple[str, ...]:
        """The packages that have it, the preferred first; empty if none is known.

        `kind` is one of header (as included), library (as linked, or its file name), pkg-config,
        program, cmake (as in find_package) and software (as a message names it).
        """
        finder = self._finders.get(kind)
        name = name.strip()
        if finder is None or not 0 < len(name) <= _MAX_NAME or "\n" in name or "\t" in name:
            return ()
        if self._rules.is_excluded(kind, name):
            return ()
        return tuple(dict.fromkeys(finder(name)))

    def find_in_text(self, text: str) -> tuple[str, ...]:
        """The packages of all the software that a sentence names, in its order.

        "make sure the libxml2 and libxslt development packages are installed" names two.
        """
        found: dict[str, None] = {}
        for match in self._rules.software_pattern.finditer(text[:2000]):
            for package in self.find_packages("software", match[0])[:1]:
                found[package] = None
        return tuple(found)

    def library_owners(self, file: str) -> tuple[str, ...]:
        """The packages that have a shared library by its file name, the preferred first."""
        return tuple(self._best(self._table.find(EntryKind.RUNTIME, file)))

    def libraries_of(self, package: str) -> tuple[str, ...]:
        """The file names of the shared libraries that a package has for loaders."""
        return self._libraries.get(package, ())

    @cached_property
    def _libraries(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for entry in self._table.entries(EntryKind.RUNTIME):
            for package in entry.packages:
                found[package] = (*found.get(package, ()), entry.name)
        return found

    def has_package(self, name: str) -> bool:
        """Whether the release has a -dev package, or one that the rules name, called so."""
        return any(self._table.find(EntryKind.PACKAGE, name))

    def _find_header(self, name: str) -> Iterator[str]:
        name = name.removeprefix("./")
        yield from self._alternative("header", name)
        folder, _, file = name.rpartition("/")
        entries = [
            entry
            for entry in self._table.find(EntryKind.HEADER, file)
            if _is_below(entry.folder, folder)
        ]
        exact = [entry for entry in entries if entry.folder == folder]
        yield from self._best(exact) if exact else self._unless_common(entries)
        if not entries and folder:
            yield from self._find_folder(folder)

    def _find_folder(self, path: str) -> Iterator[str]:
        """The packages whose headers in a folder, or in one around it, have no own entries."""
        while path:
            yield from self._alternative("header", f"{path}/")
            parent, _, name = path.rpartition("/")
            entries = [
                entry
                for entry in self._table.find(EntryKind.FOLDER, name)
                if _is_below(entry.folder, parent)
            ]
            if entries:
                yield from self._unless_common(entries)
                return
            path = parent

    def _find_library(self, name: str) -> Iterator[str]:
        match = _LIBRARY_NAME.fullmatch(name)
        bare = match["name"] if match else name
        for candidate in dict.fromkeys((bare, name.removeprefix("-l"))):
            yield from self._alternative("library", candidate)
            entries = list(self._table.find(EntryKind.LIBRARY, candidate))
            exact = [entry for entry in entries if not entry.folder]
            yield from self._best(exact) if exact else self._unless_common(entries)

    def _find_pkg_config(self, name: str) -> Iterator[str]:
        name = name.removesuffix(".pc")
        yield from self._alternative("pkg-config", name)
        yield from self._best(self._table.find(EntryKind.PKG_CONFIG, name))

    def _find_program(self, name: str) -> Iterator[str]:
        name = name.rpartition("/")[2]
        yield from self._alternative("program", name)
        yield from self._best(self._table.find(EntryKind.PROGRAM, name))

    def _find_cmake(self, name: str) -> Iterator[str]:
        name = name.lower()
        yield from self._alternative("cmake", name)
        yield from self._best(self._table.find(EntryKind.CMAKE, name))

    def _find_software(self, name: str) -> Iterator[str]:
        """The package of a word: a known one, a package's own name, or the name of a file."""
        if name.endswith("-dev") and self.has_package(name):
            yield name
            return
        word = re.sub(r"(?i)[ _-](?:dev|devel|development|library|headers?)$", "", name)
        if self._rules.is_excluded("software", word.lower()):
            return
        yield from self._existing(self._rules.software.get(word.lower(), ()))
        for variant in dict.fromkeys((word, word.lower())):
            yield from self._find_pkg_config(variant)
            yield from self._find_pkg_config(f"lib{variant.removeprefix('lib')}")
            yield from self._find_library(variant)
            yield from self._find_header(f"{variant}.h")
            yield from self._find_program(variant)
            yield from self._find_cmake(variant)

    def _alternative(self, kind: str, name: str) -> Iterator[str]:
        yield from self._existing(self._rules.alternatives.get(kind, {}).get(name, ()))

    def _existing(self, packages: Iterable[str]) -> Iterator[str]:
        return (package for package in packages if self.has_package(package))

    def _unless_common(self, entries: list[Entry]) -> list[str]:
        """The packages of the least deep entries, or of none if they have too many owners."""
        depth = min((entry.folder.count("/") for entry in entries), default=0)
        found = self._best(entry for entry in entries if entry.folder.count("/") == depth)
        good = [name for name in found if not self._rules.avoided_pattern.fullmatch(name)]
        return found if len(good or found) <= _MAX_OWNERS else []

    def _best(self, entries: Iterable[Entry]) -> list[str]:
        """The owners of these files, the preferred first."""
        owners = {package for entry in entries for package in entry.packages}
        good = {name for name in owners if not self._rules.ignored_pattern.fullmatch(name)}
        return sorted(good, key=self._preference)

    def _preference(self, package: str) -> tuple[bool, int, bool, bool, int, str]:
        """What sorts packages: rules, then those for development, then the general ones."""
        return (
            self._rules.avoided_pattern.fullmatch(package) is not None,
            self._rules.rank.get(package, len(self._rules.rank)),
            not package.endswith("-dev"),
            re.search(r"\d+\.\d+", package) is not None,
            len(package),
            package,
        )


def _is_below(folder: str, end: str) -> bool:
    """Whether a folder is `end`, or ends with it."""
    return not end or folder == end or folder.endswith(f"/{end}")
