"""Reduces the Contents lists of a Debian archive to what builds can miss (pure)."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from piwheels.debian_index.table import Entry, EntryKind

#: Headers in more folders than this are included by others of their package, not by projects.
_MAX_FOLDERS = 2
#: A package's folder with more headers than this has one entry for all of them.
_MAX_HEADERS = 400

#: Sections whose programs no build runs.
_IGNORED_SECTIONS = frozenset(
    ("comm", "education", "games", "gnustep", "hamradio", "kde", "localization", "mail", "news")
)
_TRIPLET = r"(?:x86_64-linux-gnu/)?"
_LIBRARY_FOLDERS = rf"(?:usr/)?lib/{_TRIPLET}"
_PATTERNS = {
    EntryKind.PROGRAM: re.compile(r"(?:usr/)?s?bin/(?P<folder>)(?P<name>[^/]+)"),
    EntryKind.PKG_CONFIG: re.compile(
        rf"usr/(?:share|lib)/{_TRIPLET}(?P<folder>(?:[^/]+/)*)pkgconfig/(?P<name>[^/]+)\.pc"
    ),
    EntryKind.LIBRARY: re.compile(
        rf"{_LIBRARY_FOLDERS}(?P<folder>(?:[^/]+/){{0,3}})lib(?P<name>[^/]+)\.(?:so|a)"
    ),
    EntryKind.CMAKE: re.compile(
        r"usr/(?:lib|share)/(?P<folder>)(?:.+/)?"
        r"(?:(?P<name>[^/]+?)(?:Config|-config)|Find(?P<module>[^/]+))\.cmake"
    ),
    EntryKind.HEADER: re.compile(
        rf"(?:usr/include|usr/(?:lib|share)/(?:[^/]+/){{1,4}}include)/{_TRIPLET}"
        r"(?P<folder>(?:[^/]+/)*)(?P<name>[^/]+)"
    ),
}
_RUNTIME_LIBRARY = re.compile(
    rf"{_LIBRARY_FOLDERS}(?P<folder>(?:[a-z0-9.-]+/)?)(?P<file>lib(?P<name>[^/]+?)\.so\.[0-9.]+)"
)

#: Files for other systems than the one that builds, and what only its own language includes.
_IGNORED_PATHS = re.compile(
    r"usr/include/(?:python3\.\d+|GNUstep|c\+\+)/"
    r"|usr/lib/(?:gcc|gcc-cross|R|avr|llvm-\d+|picolibc|bcc|klibc|xemacs[^/]*|petscdir|slepcdir)/"
    r"|usr/lib/(?:ghc|haskell-packages|emboss|[^/]*elf|pypy[^/]*|python3[^/]*)/"
    r"|usr/lib/x86_64-linux-gnu/(?:perl|perl5|ghc|rubygems-integration|pmix2)/"
    r"|.*/(?:private|detail|impl|internal|dist-packages|site-packages)/"
)
_IGNORED_PACKAGES = re.compile(
    r".*-cross$|.*mingw.*|.*-(?:arm64|armhf|armel|i386|amd64|riscv64|ppc64el|s390x|mips\w*)$"
    r"|.*-linux-gnu\w*$|.*-dbg(?:sym)?$|libc6-(?:i386|x32|dev-.*)|cmake-data"
)


#: Packages with source code in other languages, which no build asks for by their names.
_OTHER_LANGUAGES = re.compile(r"librust-|golang-|libghc-|libghc6-")

#: What any of the patterns can match, quickly: nine of ten lines describe something else.
_CANDIDATE = re.compile(
    r"(?:usr/)?s?bin/|usr/include/|usr/\S+?/include/|usr/share/doc/[^/\s]+(?:/copyright)?\s"
    r"|(?:usr/)?lib/\S+\.(?:so|a)\b|usr/\S+\.(?:pc|cmake)\s"
)

_Key = tuple[EntryKind, str, str]


def reduce_contents(lines: Iterable[str], named: frozenset[str] = frozenset()) -> list[Entry]:
    """The entries of the table that the lines of Contents lists give.

    Packages are listed by their own name as well if it ends in -dev or is one of `named`.
    """
    found: dict[_Key, set[str]] = defaultdict(set)
    runtime: dict[str, set[str]] = defaultdict(set)
    for path, owners in _parse_lines(lines):
        for owner in owners:
            if owner in named or (owner.endswith("-dev") and not _OTHER_LANGUAGES.match(owner)):
                found[EntryKind.PACKAGE, owner, ""] = {owner}
        if match := _RUNTIME_LIBRARY.fullmatch(path):
            found[EntryKind.RUNTIME, match["file"], match["folder"].rstrip("/")] |= owners
            if not match["folder"]:
                runtime[match["name"]] |= owners
        elif key := _classify(path):
            found[key] |= owners
    for name, owners in runtime.items():
        found.setdefault((EntryKind.LIBRARY, name, ""), owners)
    return _summarize_headers(
        Entry(*key, tuple(sorted(_for_development(key[0], owners))))
        for key, owners in found.items()
        if not _is_versioned_file(key, found)
    )


def _is_versioned_file(key: _Key, found: Mapping[_Key, set[str]]) -> bool:
    """Whether it is the file behind a shorter name of the same library, as libxml2.so.2.9.14."""
    kind, name, folder = key
    short = name.rpartition(".")[0]
    while kind is EntryKind.RUNTIME and not short.endswith(".so"):
        if found.get((kind, short, folder)) == found[key]:
            return True
        short = short.rpartition(".")[0]
    return False


def _parse_lines(lines: Iterable[str]) -> Iterator[tuple[str, set[str]]]:
    """The path and the packages of each line: `usr/bin/x   section/one,section/two`."""
    for line in lines:
        if not _CANDIDATE.match(line):
            continue
        path, _, qualified = line.rstrip().rpartition(" ")
        program = "bin/" in path[:9]
        owners = {
            name
            for section, _, name in (item.rpartition("/") for item in qualified.split(","))
            if not (program and section in _IGNORED_SECTIONS)
            and not _IGNORED_PACKAGES.fullmatch(name)
        }
        if owners and "\t" not in path:
            yield path.rstrip(), owners


def _classify(path: str) -> _Key | None:
    if _IGNORED_PATHS.match(path):
        return None
    for kind, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(path):
            groups = match.groupdict()
            name = groups["name"] or groups["module"]
            folder = groups["folder"].rstrip("/")
            return kind, name.lower() if kind is EntryKind.CMAKE else name, folder
    return None


def _for_development(kind: EntryKind, owners: set[str]) -> set[str]:
    """The -dev packages among a file's owners, if there are any; what runs belongs to all."""
    development = {owner for owner in owners if "-dev" in owner}
    return owners if kind in {EntryKind.PROGRAM, EntryKind.RUNTIME} else development or owners


def _summarize_headers(entries: Iterable[Entry]) -> list[Entry]:
    """Headers that are deep, or too many, become entries of their folders."""
    every = list(entries)
    count = Counter(entry[2:] for entry in every if entry.kind is EntryKind.HEADER)
    kept: list[Entry] = []
    folders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in every:
        parts = [part for part in entry.folder.split("/") if part]
        many = parts and count[entry[2:]] > _MAX_HEADERS
        if entry.kind is not EntryKind.HEADER or not (many or len(parts) > _MAX_FOLDERS):
            kept.append(entry)
            continue
        for depth in range(min(len(parts), _MAX_FOLDERS)):
            folders[parts[depth], "/".join(parts[:depth])].update(entry.packages)
    kept += (
        Entry(EntryKind.FOLDER, name, parent, tuple(sorted(owners)))
        for (name, parent), owners in folders.items()
    )
    return kept
