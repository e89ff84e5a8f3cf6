"""The static files of the site: each is served under a name that holds a hash of its content.

A page names the very files that it was written with, so a new version of piwheels never shows
an old page with a new style; what a page may still name lies in the tree until it is written
again, and can be cached for ever.
"""

import hashlib
import time
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from piwheels.webroot import Webroot

#: How long a file of an older version stays for pages that were not written again since.
_KEEP_OLD_S = 90 * 86_400.0

#: Files that are asked for by their plain name, without any page naming them.
_UNHASHED = frozenset({"favicon.ico"})


@cache
def static_files() -> MappingProxyType[str, bytes]:
    """Every static file by its own name, `style.css`."""
    folder = files("piwheels.website") / "static"
    found = {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}
    return MappingProxyType(dict(sorted(found.items())))


@cache
def hashed_names() -> MappingProxyType[str, str]:
    """From a static file's own name to the one that it is served under in static/."""
    return MappingProxyType(
        {name: _hashed_name(name, content) for name, content in static_files().items()}
    )


def files_by_path() -> dict[str, bytes]:
    """What has to lie in the tree, by path below its root."""
    return {
        name if name in _UNHASHED else f"static/{hashed_names()[name]}": content
        for name, content in static_files().items()
    }


def write(webroot: Webroot) -> None:
    """Put the static files into the tree, each with its .gz twin, and take very old ones away."""
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
