"""Names of sdists and wheels, read as pip reads them."""

import contextlib
import posixpath
import re
from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.model import Struct

#: The name of a legacy egg, in a link's fragment.
EGG = re.compile(r"(?:^|&)egg=([^&]*)")

_SDIST_EXTENSIONS = frozenset(
    {".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz",
     ".tar.lzma"}
)  # fmt: skip
_OTHER_EXTENSIONS = frozenset({".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg", ".whl"})
_BDIST_DUMB = re.compile(r"\.(linux|macosx|win|cygwin|freebsd|solaris|sunos|darwin|aix)[-._0-9]")


class FileKind(StrEnum):
    """What an index file is."""

    SDIST = "sdist"
    WHEEL = "wheel"
    OTHER = "other"


class FileIdentity(Struct, frozen=True):
    """What a file name tells."""

    filename: str
    kind: FileKind
    version: str  # canonical (PEP 440); "" if the name has none


def parse_filename(filename: str, project: str) -> FileIdentity | None:
    """The release that a file belongs to, read as pip reads it; None if it is not one of these.

    Args:
        filename: without a path.
        project: normalized (PEP 503); files of other projects give None.
    """
    if not is_storable(filename):
        return None
    extension = file_extension(filename)
    if extension == ".whl":
        parts = filename.removesuffix(".whl").split("-")
        if len(parts) not in {5, 6} or canonicalize_name(parts[0]) != project:
            return None
        version = canonical_version(parts[1])
        return FileIdentity(filename, FileKind.WHEEL, version) if version else None
    if extension not in _SDIST_EXTENSIONS or (extension == ".zip" and "macosx10" in filename):
        return None
    version = _version_after(project, filename.removesuffix(extension))
    return FileIdentity(filename, FileKind.SDIST, version) if version else None


def _version_after(project: str, stem: str) -> str:
    """The version after a project's name, in any spelling of the name; "" if there is none."""
    for hyphen in _hyphens(stem):
        if canonicalize_name(stem[: hyphen.start()]) == project:
            return canonical_version(stem[hyphen.end() :])
    return ""


def _hyphens(stem: str) -> Iterator[re.Match[str]]:
    return re.finditer("-", stem[: untrusted_names.MAX_FILENAME_BYTES])


def canonical_version(text: str) -> str:
    """The canonical spelling of a version (PEP 440), or "" if it is not valid.

    In a wheel's name a version's hyphen is spelled with an underscore (PEP 427).
    """
    for spelling in (text, text.replace("_", "-")):
        with contextlib.suppress(RejectedError):
            return str(untrusted_names.parse_version(spelling))
    return ""


def file_extension(filename: str) -> str:
    """The extension of a file name; `.tar.gz` and its like are one extension."""
    stem, extension = posixpath.splitext(filename)
    if stem.lower().endswith(".tar"):
        return stem[-4:] + extension
    return extension


def is_legacy(filename: str) -> bool:
    """Whether a file has an extension of another format than sdists, wheels included."""
    return file_extension(filename) in _OTHER_EXTENSIONS


def is_malformed(filename: str, project: str) -> bool:
    """Whether a file that belongs to no release should have belonged to one.

    Old formats (bdist_dumb, eggs, installers) are not reported, nor are archives whose versions
    are older than PEP 440: some projects have hundreds of them.
    """
    extension = file_extension(filename)
    if extension == ".whl":
        return True
    is_archive = extension in _SDIST_EXTENSIONS and _BDIST_DUMB.search(filename) is None
    stem = filename.removesuffix(extension)
    has_name = any(
        canonicalize_name(stem[: hyphen.start()]) == project for hyphen in _hyphens(stem)
    )
    return is_archive and not has_name


def is_storable(filename: str) -> bool:
    """Whether a name can be that of a file on disk, and can be shown."""
    return (
        0 < len(filename.encode(errors="replace")) <= untrusted_names.MAX_FILENAME_BYTES
        and filename.isprintable()
        and "/" not in filename
        and filename not in {".", ".."}
    )


def may_be_file(href: str, text: str) -> bool:
    """Whether a link's address or text has the extension of a file, or names an egg."""
    address, _, fragment = href.partition("#")
    known = _SDIST_EXTENSIONS | _OTHER_EXTENSIONS
    candidates = (unquote(address.partition("?")[0]).rstrip("/"), text)
    return bool(EGG.search(fragment)) or any(file_extension(name) in known for name in candidates)
