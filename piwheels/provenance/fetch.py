"""Files that `piw verify` reads over HTTP, with limits: what a server sends is hostile input."""

import contextlib
import hashlib
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Self

import httpx

from piwheels.provenance.errors import NotVerifiedError, Problem
from piwheels.provenance.statement import public_url
from piwheels.sanitize import truncate_line

#: As much as a farm publishes.
MAX_WHEEL_BYTES = 4 * 1024**3
_TIMEOUT = httpx.Timeout(30.0, connect=20.0)
#: A slow trickle would not trigger the timeouts above.
_MAX_SMALL_S = 60.0
_MAX_WHEEL_S = 3600.0
_MISSING = (404, 410)
_MAX_REDIRECTS = 5


class WebReader:
    """Reads files of web servers; close it, or use it as a context manager."""

    def __init__(self) -> None:
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            # The bytes as they are stored: a small response cannot become a large one.
            headers={
                "Accept-Encoding": "identity",
                "User-Agent": f"piwheels-verify/{version('piwheels')}",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def read(self, url: str, limit_bytes: int) -> bytes | None:
        """A small file; None if there is none.

        Raises:
            NotVerifiedError: it cannot be read, or is larger than the limit.
        """
        try:
            return b"".join(self._chunks(url, limit_bytes, _MAX_SMALL_S))
        except FileNotFoundError:
            return None

    def sha256(self, url: str) -> str:
        """The hash of a wheel, which is not stored.

        Raises:
            NotVerifiedError: it cannot be read, or is larger than any wheel.
        """
        digest = hashlib.sha256()
        try:
            for chunk in self._chunks(url, MAX_WHEEL_BYTES, _MAX_WHEEL_S):
                digest.update(chunk)
        except FileNotFoundError:
            raise _unreadable(url, "there is no such file") from None
        return digest.hexdigest()

    def _chunks(self, url: str, limit_bytes: int, max_s: float) -> Iterator[bytes]:
        left, ends_at = limit_bytes, time.monotonic() + max_s
        try:
            with self._response(url) as response:
                if response.status_code in _MISSING:
                    raise FileNotFoundError(url)
                if response.status_code != httpx.codes.OK:
                    raise _unreadable(url, f"the server answered {response.status_code}")
                for chunk in response.iter_raw():
                    left -= len(chunk)
                    if left < 0:
                        raise _unreadable(url, f"it has more than {limit_bytes} bytes")
                    if time.monotonic() > ends_at:
                        raise _unreadable(url, f"it was not sent within {max_s:.0f} s")
                    yield chunk
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise _unreadable(url, str(error) or type(error).__name__) from None

    @contextlib.contextmanager
    def _response(self, url: str) -> Iterator[httpx.Response]:
        """A streamed GET; contents of redirects are not read, however long they are."""
        request = self._client.build_request("GET", url)
        for _ in range(_MAX_REDIRECTS + 1):
            with contextlib.closing(self._client.send(request, stream=True)) as response:
                if response.next_request is None:
                    yield response
                    return
                request = response.next_request
        raise httpx.TooManyRedirects("it redirects too often")


def _unreadable(url: str, reason: str) -> NotVerifiedError:
    return NotVerifiedError(
        Problem.UNREADABLE,
        f"{public_url(url)} cannot be read: {truncate_line(' '.join(reason.split()))}",
    )
