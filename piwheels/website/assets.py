"""Static files of the website, each served under a name that contains a hash of its content.

A page refers to the files that it was written with, so pages written by an older version keep
their style after an upgrade, and the files can be cached forever. Old files are kept until such
pages have been rewritten.
"""

import hashlib
import time
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from piwheels.webroot import Webroot

#: How long the files of an older version are kept for pages that were not rewritten since.
_KEEP_OLD_S = 90 * 86_400.0

#: Files that browsers request by a fixed name.
_UNHASHED = frozenset({"favicon.ico"})


@cache
def static_files() -> MappingProxyType[str, bytes]:
    """The content of each static file by name, `style.css`."""
    folder = files("piwheels.website") / "static"
    found = {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}
    return MappingProxyType(dict(sorted(found.items())))


@cache
def hashed_names() -> MappingProxyType[str, str]:
    """Maps each static file's name to the name that it is served under in static/."""
    return MappingProxyType(
        {name: _hashed_name(name, content) for name, content in static_files().items()}
    )


def files_by_path() -> dict[str, bytes]:
    """The files of the web root, by path relative to it."""
    return {
        name if name in _UNHASHED else f"static/{hashed_names()[name]}": content
        for name, content in static_files().items()
    }


def write(webroot: Webroot) -> None:
    """Write the static files and their .gz files to the web root, and remove old ones."""
    wanted = files_by_path()
    for path, content in wanted.items():
        webroot.write_page(webroot.root / path, content)
    folder = webroot.root / "static"
    kept = {webroot.root / path for path in wanted}
    kept |= {path.with_name(f"{path.name}.gz") for path in kept}
    before = time.time() - _KEEP_OLD_S
    webroot.remove(
        path
        for path in sorted(folder.iterdir())
        if path not in kept and path.stat().st_mtime < before
    )


def _hashed_name(name: str, content: bytes) -> str:
    stem, dot, suffix = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:12]
    return f"{stem}.{digest}{dot}{suffix}"
