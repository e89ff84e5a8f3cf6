"""Reading a Simple API index and fetching the files it lists; `simplepage` parses its pages.

Pages and files come from outside: what is malformed is refused by an error that names its
address, what may come right by itself is a TransientError. Addresses never show a password.
"""

import ast
import asyncio
import contextlib
import functools
import hashlib
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Self

import httpx

from piwheels import names
from piwheels.append_file import AppendFile
from piwheels.errors import ConfigError, RejectedError, TransientError, UsageError
from piwheels.isolated import Limits, run_isolated
from piwheels.model import Struct
from piwheels.simple_index.page import ACCEPT, FileKind, IndexFile, ProjectPage, parse_page

__all__ = [
    "PAGE_LIMIT_BYTES",
    "DigestError",
    "FetchedFile",
    "FileKind",
    "FileTooLargeError",
    "HttpResponse",
    "IndexFile",
    "MissingFileError",
    "ProjectPage",
    "SimpleIndex",
    "pip_ca_bundle",
    "pip_index_url",
    "validate_index_url",
]

PYPI = "https://pypi.org/simple/"
PAGE_LIMIT_BYTES = 64 * 1024 * 1024
#: A larger page is parsed in a child process: in a thread it would slow down the event loop.
_LARGE_PAGE_BYTES = 4 * 1024 * 1024
_LARGE_PAGE_LIMITS = Limits(memory_bytes=2 << 30, max_result_bytes=128 << 20)
_CHUNK_BYTES = 256 * 1024
_TRANSIENT_STATUSES = (408, 425, 429)
_MISSING_STATUSES = (404, 410)
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_MAX_RETRY_AFTER_S = 3600.0
_PAGE_TIMEOUT_S = 600.0  # for a whole page: a byte now and then would keep the time-outs above away

Progress = Callable[[int, int | None], None]


class MissingFileError(RejectedError):
    """The index has no file at an address that it named."""


class FileTooLargeError(RejectedError):
    """A file is longer than is allowed here."""


class DigestError(RejectedError):
    """A file's bytes are not those that its hash or its size promised; `digest` is their sha256."""

    def __init__(self, message: str, digest: str = "") -> None:
        super().__init__(message)
        self.digest = digest


class FetchedFile(Struct, frozen=True, kw_only=True):
    """A file that was fetched and verified."""

    size_bytes: int
    sha256: str  # of its bytes, computed here


class HttpResponse(Struct, frozen=True, kw_only=True):
    """What the index answers to a question that is not of the Simple API."""

    status: int
    media_type: str  # without parameters, lower case
    content: bytes
    retry_after_s: float  # as TransientError has it


class SimpleIndex:
    """A client of one Simple API index; close it, or use it as an async context manager."""

    def __init__(self, url: str, *, user_agent: str = "piwheels") -> None:
        """Make a client.

        Args:
            url: the index, e.g. `https://index.example/simple/`; it may hold user:password.
            user_agent: who asks, before piwheels' version.

        Raises:
            ConfigError: the address is not http or https, or pip's certificates cannot be read.
        """
        address = _parse_url(url)
        self._auth = (
            httpx.BasicAuth(address.username, address.password) if address.userinfo else None
        )
        bare = address.copy_with(userinfo=b"", path=address.path.rstrip("/") + "/")
        self._origin = _origin(bare)
        self.url = str(bare)
        self._client = httpx.AsyncClient(
            verify=_ssl_context(bare),
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_redirects=8,
            headers={"User-Agent": f"{user_agent}/{version('piwheels')}"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def project(self, name: str, *, known: ProjectPage | None = None) -> ProjectPage | None:
        """Read a project's page.

        Args:
            name: the project, in any spelling.
            known: an earlier page; the same object comes back if the index says (by ETag or
                Last-Modified) that nothing changed.

        Returns:
            The page, or None if the index does not know the project.

        Raises:
            TransientError: the index cannot be reached or is in trouble.
            RefusedError: the name is not a project's, or the page is malformed.
        """
        try:
            project = names.normalize_project(name)
        except RejectedError:
            raise RejectedError(f"{name[:200]!r} is not a valid project name") from None
        url = f"{self.url}{project}/"
        headers = {"Accept": ACCEPT}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.modified:
            headers["If-Modified-Since"] = known.modified
        async with self._response(url, headers) as response:
            if response.status_code in _MISSING_STATUSES:
                return None
            if response.status_code == httpx.codes.NOT_MODIFIED and known is not None:
                return known
            _raise_for_status(response, url)
            content = await _read_limited(response, url)
        return await _parse_response(project, response, content)

    async def fetch(
        self,
        url: str,
        sha256: str,
        destination: Path,
        *,
        digest: str = "",
        size_bytes: int | None = None,
        limit_bytes: int,
        on_progress: Progress | None = None,
        bypass_caches: bool = False,
    ) -> FetchedFile:
        """Fetch a file to destination, which appears only when it is whole and verified.

        Args:
            url: an address from a page of this index.
            sha256: what the bytes must hash to; "" if the index gives no sha256.
            digest: another hash that they must have, as `algorithm=hex`; "" for none.
            size_bytes: how long it must be; None if the index does not tell.
            destination: where the file will lie; its folder must exist.
            limit_bytes: a longer file is refused.
            on_progress: called with the bytes so far and the whole length, if known.
            bypass_caches: ask caches on the way for the origin's bytes (RFC 9111, 5.2.1.4).

        Returns:
            The file's size, and its sha256 whatever the index gave.

        Raises:
            TransientError: the index cannot be reached or is in trouble.
            MissingFileError: there is no such file.
            DigestError: the bytes are not the promised ones.
            TooLongError: the file is longer than allowed.
            RefusedError: the address is unusable, or the index refuses.
        """
        headers = {"Accept-Encoding": "identity"}
        if bypass_caches:
            headers |= {"Cache-Control": "no-cache", "Pragma": "no-cache"}
        async with self._response(url, headers) as response:
            if response.status_code in _MISSING_STATUSES:
                raise MissingFileError(f"{_redact_url(url)} is gone from the index")
            _raise_for_status(response, url)
            with _temporary_file(destination) as (file, temporary):
                size, checks = 0, _hashers(sha256, digest)
                whole = _content_length(response)
                # aiter_raw, because some servers declare a .tar.gz itself as an encoding.
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > limit_bytes:
                        raise FileTooLargeError(
                            f"{_redact_url(url)} is longer than {limit_bytes} bytes"
                        )
                    for hasher, _ in checks.values():
                        hasher.update(chunk)
                    file.write(chunk)
                    if on_progress is not None:
                        on_progress(size, whole)
                _verify(response, url, checks, size, size_bytes)
                file.sync()
                temporary.chmod(0o644)
                temporary.replace(destination)
        return FetchedFile(size_bytes=size, sha256=checks["sha256"][0].hexdigest())

    async def read_tail(self, url: str, length_bytes: int) -> bytes:
        """The last bytes of a file, unverified; fewer if it is shorter.

        Raises:
            TransientError: the index cannot be reached or is in trouble.
            RefusedError: there is no such file, or the server sends no parts of one that is longer.
        """
        headers = {"Accept-Encoding": "identity", "Range": f"bytes=-{length_bytes}"}
        content = bytearray()
        async with self._response(url, headers) as response:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                _raise_for_status(response, url)
            async for chunk in response.aiter_raw(_CHUNK_BYTES):
                content += chunk
                if len(content) > length_bytes:
                    raise RejectedError(f"{_redact_url(url)} is longer than {length_bytes} bytes")
        return bytes(content)

    async def post_raw(self, url: str, content: bytes, *, media_type: str) -> HttpResponse:
        """Ask another service of the same index, with the same trust and credentials.

        Raises:
            TransientError: it cannot be reached.
            RefusedError: the answer is too long, or the address is unusable.
        """
        headers = {"Content-Type": media_type}
        async with self._response(url, headers, content=content) as response:
            return HttpResponse(
                status=response.status_code,
                media_type=_media_type(response),
                content=await _read_limited(response, url),
                retry_after_s=_retry_after_s(response),
            )

    @contextlib.asynccontextmanager
    async def _response(
        self, url: str, headers: dict[str, str], *, content: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """A streamed GET, or a POST of content, with what can go wrong turned into our errors."""
        try:
            auth = self._auth if _origin(_parse_url(url)) == self._origin else None
            async with self._client.stream(
                "GET" if content is None else "POST",
                url,
                headers=headers,
                auth=auth,
                content=content,
                follow_redirects=content is None,  # a POST would go on as a GET
            ) as response:
                yield response
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.DecodingError) as error:
            raise RejectedError(f"{_redact_url(url)}: {_error_text(error)}") from error
        except (httpx.InvalidURL, ConfigError, UnicodeError) as error:  # IDNA's are the last
            raise RejectedError(f"{_redact_url(url)} is not a usable address") from error
        except httpx.HTTPError as error:
            raise TransientError(
                f"{_redact_url(url)} cannot be reached: {_error_text(error)}"
            ) from error


# --- what this machine's pip is configured to use ---


def validate_index_url(url: str) -> None:
    """Refuse what cannot be the address of an index, before anything depends on it.

    Raises:
        UsageError: it is no http:// or https:// address.
    """
    _parse_url(url)


def pip_index_url() -> str:
    """The index that this machine's pip installs from; PyPI if nothing says otherwise.

    Only pip's index-url counts, not its extra indexes: those may hold anything.
    """
    return _pip_setting("index-url") or PYPI


def pip_ca_bundle() -> str:
    """The file of certificate authorities that this machine's pip trusts; "" for its own."""
    return _pip_setting("cert") or os.environ.get("REQUESTS_CA_BUNDLE", "")


def _pip_setting(name: str) -> str:
    """A setting of `pip install`: the environment before its own section before the global one."""
    variable = f"PIP_{name.upper().replace('-', '_')}"
    if value := os.environ.get(variable):
        return value
    settings = _pip_settings()
    return settings.get(f"install.{name}") or settings.get(f"global.{name}") or ""


@functools.cache
def _pip_settings() -> dict[str, str]:
    """What pip reads in its configuration files; nothing where there is no pip."""
    command = [sys.executable, "-m", "pip", "--no-input", "config", "list"]
    quiet = subprocess.DEVNULL
    try:
        listed = subprocess.run(
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    settings = {}
    for line in listed.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        with contextlib.suppress(ValueError, SyntaxError):
            settings[key] = str(ast.literal_eval(value))
    return settings


# --- addresses, answers, faults ---


def _parse_url(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"{_redact_url(url)} is not a usable index address: {error}") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise UsageError(
            f"{_redact_url(url)} cannot be used as an index: give an http:// or https:// address"
        )
    return address


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _redact_url(url: str) -> str:
    """An address for a message: without credentials, and not endless."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"[:400] if mark else url[:400]


def _error_text(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _ssl_context(address: httpx.URL) -> ssl.SSLContext:
    """The system's authorities (SSL_CERT_FILE says otherwise), and those that pip trusts."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not os.environ.get("SSL_CERT_DIR"):
        import certifi  # noqa: PLC0415 - needed only on a machine without ca-certificates

        context.load_verify_locations(certifi.where())
    extra = pip_ca_bundle() if address.scheme == "https" else ""
    if extra:
        try:
            context.load_verify_locations(extra)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the certificates in {extra} cannot be read: {error}") from None
    return context


def _raise_for_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == httpx.codes.OK:
        return
    text = f"{_redact_url(url)} answered {status} {response.reason_phrase}".rstrip()
    if status in _TRANSIENT_STATUSES or status >= 500:
        raise TransientError(text, retry_after_s=_retry_after_s(response))
    raise RejectedError(text)


def _verify(
    response: httpx.Response,
    url: str,
    checks: dict[str, tuple["hashlib._Hash", str]],
    size: int,
    expected_size: int | None,
) -> None:
    """Compare what arrived with what the index promised of it.

    Raises:
        TransientError: a web page arrived, and nothing says that it is the file.
        DigestError: these are other bytes.
    """
    wrong = [
        f"has {name} {hasher.hexdigest()}, the index says {value}"
        for name, (hasher, value) in checks.items()
        if value and hasher.hexdigest() != value
    ]
    if expected_size not in {None, size}:
        wrong.append(f"has {size} bytes, the index says {expected_size}")
    proven = any(value for _, value in checks.values()) and not wrong
    if not proven and _media_type(response) == "text/html":
        # A page of a proxy, a portal or a maintenance mode, answered with 200.
        raise TransientError(f"{_redact_url(url)} answered with a web page instead of the file")
    if wrong:
        raise DigestError(f"{_redact_url(url)} {wrong[0]}", checks["sha256"][0].hexdigest())


def _retry_after_s(response: httpx.Response) -> float:
    """Retry-After (RFC 9110, 10.2.3): seconds, or a date; within reason."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        asked_s = float(text)
    else:
        try:
            asked_s = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return 0.0
    return min(max(asked_s, 0.0), _MAX_RETRY_AFTER_S)


def _media_type(response: httpx.Response) -> str:
    kind, _, _ = response.headers.get("Content-Type", "").partition(";")
    return str(kind.strip().lower())


async def _read_limited(response: httpx.Response, url: str) -> bytes:
    content = bytearray()
    try:
        async with asyncio.timeout(_PAGE_TIMEOUT_S):
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > PAGE_LIMIT_BYTES:
                    raise RejectedError(
                        f"{_redact_url(url)} is longer than {PAGE_LIMIT_BYTES} bytes"
                    )
    except TimeoutError:
        raise TransientError(
            f"{_redact_url(url)} was not all there after {_PAGE_TIMEOUT_S:.0f} s"
        ) from None
    return bytes(content)


def _hashers(sha256: str, digest: str) -> dict[str, tuple["hashlib._Hash", str]]:
    """By algorithm, a hash to compute and what it has to be, "" for anything."""
    algorithm, _, value = digest.partition("=")
    expected = {"sha256": sha256} | ({algorithm: value} if algorithm else {})
    return {
        name: (hashlib.new(name, usedforsecurity=False), value.lower())
        for name, value in expected.items()
    }


def _content_length(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


@contextlib.contextmanager
def _temporary_file(destination: Path) -> Iterator[tuple[AppendFile, Path]]:
    """A temporary file in destination's folder, gone afterwards unless it was renamed."""
    descriptor, name = tempfile.mkstemp(dir=destination.parent, prefix=".fetch-")
    os.close(descriptor)
    temporary = Path(name)
    try:
        with AppendFile(temporary) as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


# --- pages ---


async def _parse_response(project: str, response: httpx.Response, content: bytes) -> ProjectPage:
    url = str(response.url)
    try:
        if len(content) > _LARGE_PAGE_BYTES:
            return await run_isolated(
                _LARGE_PAGE_LIMITS, parse_page, project, url, content, response.headers
            )
        return await asyncio.to_thread(parse_page, project, url, content, response.headers)
    except RejectedError as error:
        raise RejectedError(f"{_redact_url(url)} is not a Simple API page: {error}") from None
    except OSError as error:
        raise TransientError(f"{_redact_url(url)} cannot be read now: {error.strerror}") from None
