"""Media types of the served files and the Simple API (PEP 691), and which clients get JSON."""

import re
from pathlib import PurePath

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
SIMPLE_HTML = "application/vnd.pypi.simple.v1+html"
#: An Accept header that names JSON and does not give it the quality 0; also for nginx and Apache.
JSON_ACCEPT = r"application/vnd\.pypi\.simple\.(v1|latest)\+json(?!\s*;\s*q=0(\.0*)?\s*(,|$))"

#: Media types by the end of a file's name, for objects in a bucket, `piw up` and web servers.
MEDIA_TYPES = {
    ".html": "text/html",
    ".v1_json": SIMPLE_JSON,
    ".json": "application/json",
    ".metadata": "text/plain",
    ".txt": "text/plain",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".xml": "application/xml",
    ".atom": "application/atom+xml",
}
#: Of wheels, packed logs and anything else.
OTHER_MEDIA_TYPE = "application/octet-stream"

_JSON_ACCEPT = re.compile(JSON_ACCEPT, re.IGNORECASE)


def accepts_json(accept: str) -> bool:
    """Whether a client with this Accept header gets JSON."""
    return _JSON_ACCEPT.search(accept) is not None


def media_type(name: str) -> str:
    """The media type of a served file, by its name."""
    if name == "json":  # the JSON of a project has no extension
        return MEDIA_TYPES[".json"]
    return MEDIA_TYPES.get(PurePath(name).suffix, OTHER_MEDIA_TYPE)
