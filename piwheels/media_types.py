"""Media types of the Simple API (PEP 691), and which clients get JSON."""

import re

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
SIMPLE_HTML = "application/vnd.pypi.simple.v1+html"
#: An Accept header that names JSON and does not give it the quality 0; also for nginx and Apache.
JSON_ACCEPT = r"application/vnd\.pypi\.simple\.(v1|latest)\+json(?!\s*;\s*q=0(\.0*)?\s*(,|$))"

_JSON_ACCEPT = re.compile(JSON_ACCEPT, re.IGNORECASE)


def accepts_json(accept: str) -> bool:
    """Whether a client with this Accept header gets JSON."""
    return _JSON_ACCEPT.search(accept) is not None
