"""Which code renders the pages: pages that another one wrote are written again."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import piwheels

_RENDERED_BY = {".py", ".html", ".css", ".js", ".svg"}


@cache
def renderer_version() -> str:
    """A digest of the program and its templates, and the version of the template engine."""
    root = Path(piwheels.__file__).parent
    digest = hashlib.sha256(version("jinja2").encode())
    for path in sorted(path for path in root.rglob("*") if path.suffix in _RENDERED_BY):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
