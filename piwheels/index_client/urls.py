"""URLs of indexes: validation, and a form without credentials for messages."""

import httpx

from piwheels.errors import UsageError


def validate_index_url(url: str) -> None:
    """Check the URL of an index.

    Raises:
        UsageError: it is not an http:// or https:// URL.
    """
    parse_url(url)


def parse_url(url: str) -> httpx.URL:
    """An http:// or https:// URL.

    Raises:
        UsageError: it is not one.
    """
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"{redact_url(url)} is not a usable index URL: {error}") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise UsageError(
            f"{redact_url(url)} cannot be used as an index: use an http:// or https:// URL"
        )
    return address


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port, to compare origins."""
    return url.scheme, url.host, url.port


def redact_url(url: str) -> str:
    """A URL for a message: without credentials, and of bounded length."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"[:400] if mark else url[:400]
