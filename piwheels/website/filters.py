"""Formatting of untrusted text, URLs, times and numbers; also the filters of templates."""

import re
import unicodedata
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

_REPLACEMENT = "\ufffd"
#: What needs no quoting: nearly every name, for which a test is faster than quoting.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")


def mark_invisible(text: str) -> str:
    """Replace control and direction characters of untrusted text by U+FFFD.

    So two different names never look alike, and the result is valid in XML 1.0.
    """
    if text.isprintable():
        return text
    return "".join(char if _is_visible(char) else _REPLACEMENT for char in text)


def _is_visible(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"


def truncate(text: str, length: int) -> str:
    """The text, truncated with an ellipsis if it is longer."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def url_segment(text: str) -> str:
    """A name as one segment of a URL."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")


def uv_options(url: str) -> str:
    """The options for `uv pip install` to use this index in addition to the usual one.

    By default uv uses only the first index that has a project (first-index): a release, a Python
    or a platform that this farm lacks would fail to install. With unsafe-best-match it considers
    both indexes, as pip does.
    """
    return f"--index-strategy unsafe-best-match --index {url}simple/"


@lru_cache(maxsize=10)
def trusted_host(url: str) -> str:
    """The host for pip's --trusted-host; "" if the option is not needed.

    pip ignores an index without TLS, except on the local machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "" if parts.scheme == "https" or _is_loopback(host) else host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def log_path(build: int) -> str:
    """The URL path of a build's log, which is stored compressed (Webroot.log_path)."""
    return f"{_log_dir(build)}/{build}.txt"


def log_page_path(build: int, line: int = 0) -> str:
    """The URL path of the page of a failed build's log (Webroot.log_page_path), at a line."""
    return f"{_log_dir(build)}/{build}.html{f'#L{line}' if line else ''}"


def _log_dir(build: int) -> str:
    digits = f"{build:08d}"
    return f"logs/{digits[:-4]}/{digits[-4:]}"


def wheel_path(sha256: str, filename: str) -> str:
    """The URL path of a wheel (Webroot.wheel_path)."""
    return f"packages/{url_segment(sha256[:2])}/{url_segment(sha256)}/{url_segment(filename)}"
