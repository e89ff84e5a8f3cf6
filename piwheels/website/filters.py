"""Text as it may stand on a page, in a feed or in an address, whoever wrote it."""

import unicodedata
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

_REPLACEMENT = "\ufffd"


def mark_invisible(text: str) -> str:
    """A stranger's text in which everything is to be seen: no control or direction characters.

    What is taken away leaves a mark, so that two names which differ never look the same. XML 1.0
    can hold the rest.
    """
    if text.isprintable():
        return text
    return "".join(char if _is_visible(char) else _REPLACEMENT for char in text)


def _is_visible(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"


def truncate(text: str, length: int) -> str:
    """The text, cut where it is longer."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def url_segment(text: str) -> str:
    """A name as one segment of an address."""
    return quote(text, safe="")


def uv_options(url: str) -> str:
    """The options by which `uv pip install` takes wheels from this farm beside its usual index.

    uv takes a project from the first index that has it, and that index alone (first-index): a
    release, a Python or a platform that this farm lacks would fail to install. With
    unsafe-best-match it looks at both, as pip does, and takes the farm's wheel where it fits.
    """
    return f"--index-strategy unsafe-best-match --index {url}simple/"


def trusted_host(url: str) -> str:
    """The host that pip has to be told to trust before it uses an index; "" where it does.

    pip passes over an index without TLS, but for one of its own machine.
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
    """Where a build's log is asked for; it lies there packed (webroot.Webroot.log)."""
    digits = f"{build:08d}"
    return f"logs/{digits[:-4]}/{digits[-4:]}/{build}.txt"


def wheel_path(sha256: str, filename: str) -> str:
    """Where a wheel is asked for (webroot.Webroot.wheel)."""
    return f"packages/{url_segment(sha256[:2])}/{url_segment(sha256)}/{url_segment(filename)}"
