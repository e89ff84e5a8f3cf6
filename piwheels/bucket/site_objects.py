"""Which object a served file becomes: its key, its bytes and its headers.

Keys are the paths of URLs. What the web root has a .gz file of is stored compressed only, with
`Content-Encoding: gzip`; so are logs. Files of packages/ are stored as they are.
"""

import hashlib
from pathlib import Path

from piwheels.media_types import media_type
from piwheels.model import Struct
from piwheels.webroot import PROVENANCE_SUFFIX, cache_control, gz_path

_PACKAGES = "packages"
_GZIP = "gzip"


class ObjectHeaders(Struct, frozen=True, kw_only=True):
    """The headers that an object is served with."""

    content_type: str
    cache_control: str
    content_encoding: str = ""


class LocalFile(Struct, frozen=True, kw_only=True):
    """The file that an object is a copy of, as it was when it was read.

    content: its bytes; None if they are too many to be held, then they are read again from `path`.
    """

    path: Path
    headers: ObjectHeaders
    size_bytes: int
    sha256: str
    content: bytes | None


def is_stored_plain(key: str) -> bool:
    """Whether an object is stored as it is, never compressed."""
    return key.startswith(f"{_PACKAGES}/")


def is_immutable(key: str) -> bool:
    """Whether an object never changes once it is there.

    A statement is signed again after its key was revoked.
    """
    return is_stored_plain(key) and not key.endswith(PROVENANCE_SUFFIX)


def headers_of(key: str, *, compressed: bool) -> ObjectHeaders:
    """The headers of an object, by its key."""
    kind = media_type(key.rpartition("/")[2])
    return ObjectHeaders(
        content_type=f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        cache_control=cache_control(key.partition("/")[0]),
        content_encoding=_GZIP if compressed else "",
    )


def read_local(root: Path, key: str, max_held: int) -> LocalFile | None:
    """Read the file of a key; None if there is none.

    Raises:
        OSError: it cannot be read.
    """
    path = root / key
    if not is_stored_plain(key):
        packed = _read(gz_path(path), key, max_held, compressed=True)
        if packed is not None:
            return packed
    return _read(path, key, max_held, compressed=False)


def _read(path: Path, key: str, max_held: int, *, compressed: bool) -> LocalFile | None:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            content = file.read() if size <= max_held else None
            digest = hashlib.sha256(content) if content is not None else None
            sha256 = (digest or hashlib.file_digest(file, "sha256")).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return LocalFile(
        path=path,
        headers=headers_of(key, compressed=compressed),
        size_bytes=size if content is None else len(content),
        sha256=sha256,
        content=content,
    )


def key_of(relative: str) -> str:
    """The key of a served file, given its path in the web root."""
    return relative if is_stored_plain(relative) else relative.removesuffix(".gz")
