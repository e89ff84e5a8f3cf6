"""HTTP client of a Simple API index: requests pages, and downloads and verifies files.

Pages and files are untrusted: malformed ones raise an error that names the URL; failures that may
be temporary raise TransientError. Messages never show passwords of URLs.
"""

import asyncio
import contextlib
import hashlib
import os
import ssl
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, Self

import httpx
from msgspec import structs

from piwheels import untrusted_names
from piwheels.append_file import AppendFile
from piwheels.errors import ConfigError, RejectedError, TransientError
from piwheels.index_client import fields
from piwheels.index_client.listing import ProjectListing, convert_listing
from piwheels.index_client.page import ProjectPage
from piwheels.index_client.page_parser import ACCEPT, parse_page, validator_header
from piwheels.index_client.pip_config import pip_ca_bundle
from piwheels.index_client.raw_page import SERIAL_HEADER, first_present
from piwheels.index_client.urls import origin_of, parse_url, redact_url
from piwheels.isolated_process import Limits, Parameters, Result, run_isolated
from piwheels.model import Struct
from piwheels.sanitize import truncate_line

PAGE_LIMIT_BYTES = 64 * 1024 * 1024
#: A larger page is parsed in a child process: in a thread it would slow down the event loop.
_LARGE_PAGE_BYTES = 4 * 1024 * 1024
#: The list of all projects: PyPI's has 33 MB.
_LISTING_LIMIT_BYTES = 512 * 1024 * 1024
_LARGE_PAGE_LIMITS = Limits(memory_bytes=2 << 30, max_result_bytes=128 << 20)
_CHUNK_BYTES = 256 * 1024
_TRANSIENT_STATUSES = (408, 425, 429)
_MISSING_STATUSES = (404, 410)
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_MAX_RETRY_AFTER_S = 3600.0
#: For a whole exchange, redirects, headers and content: a trickle of single bytes would not trigger
#: the timeouts above. A file has as much longer as its bytes so far take at _MIN_BYTES_PER_S.
_EXCHANGE_TIMEOUT_S = 600.0
_MIN_BYTES_PER_S = 16 * 1024
_MAX_REDIRECTS = 8

Progress = Callable[[int, int | None], None]


class MissingFileError(RejectedError):
    """The index has no file at a URL that it lists."""


class FileTooLargeError(RejectedError):
    """A file, or the content of an answer, is larger than allowed."""


class DigestError(RejectedError):
    """A file does not have the expected hash or size; `digest` is its sha256."""

    def __init__(self, message: str, digest: str = "") -> None:
        super().__init__(message)
        self.digest = digest


class FetchedFile(Struct, frozen=True, kw_only=True):
    """A file that was downloaded and verified."""

    size_bytes: int
    sha256: str  # computed from its content


class HttpResponse(Struct, frozen=True, kw_only=True):
    """A response of a service beside the Simple API."""

    status: int
    media_type: str  # without parameters, lower case
    content: bytes
    retry_after_s: float  # see TransientError


class SimpleIndex:
    """A client of one Simple API index; close it, or use it as an async context manager."""

    def __init__(self, url: str, *, user_agent: str = "piwheels") -> None:
        """Create a client.

        Args:
            url: the index, e.g. `https://index.example/simple/`; it may hold user:password.
            user_agent: the name of the client, which is followed by the version of piwheels.

        Raises:
            ConfigError: the URL is not http or https, or pip's certificates cannot be read.
        """
        address = parse_url(url)
        self._auth = (
            httpx.BasicAuth(address.username, address.password) if address.userinfo else None
        )
        bare = address.copy_with(userinfo=b"", path=address.path.rstrip("/") + "/")
        self._origin = origin_of(bare)
        self.url = str(bare)
        self._client = httpx.AsyncClient(
            verify=_ssl_context(bare),
            timeout=_TIMEOUT,
            headers={
                "User-Agent": f"{user_agent}/{version('piwheels')}",
                "Accept-Encoding": "gzip, deflate",  # what `_decoded` knows
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def project(self, name: str, *, known: ProjectPage | None = None) -> ProjectPage | None:
        """Request a project's page.

        Args:
            name: the project, in any spelling.
            known: an earlier page; the same object is returned if it has not changed (by ETag or
                Last-Modified).

        Returns:
            The page, or None if the index has no such project.

        Raises:
            TransientError: the index cannot be reached or is failing.
            RejectedError: the project name is invalid, or the page is malformed.
        """
        try:
            project = untrusted_names.normalize_project(name)
        except RejectedError:
            raise RejectedError(f"{name[:200]!r} is not a valid project name") from None
        url = f"{self.url}{project}/"
        headers = {"Accept": ACCEPT}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.modified:
            headers["If-Modified-Since"] = known.modified
        async with _time_limit(url), self._response(url, headers) as response:
            if response.status_code in _MISSING_STATUSES:
                return None
            if response.status_code == httpx.codes.NOT_MODIFIED and known is not None:
                return known
            _raise_for_status(response, url)
            content = await _read_limited(response, url)
        return await _parse_response(project, response, content)

    async def listing(self, destination: Path, *, etag: str = "") -> ProjectListing | None:
        """Request the list of all projects, and write it to destination for `read_listing`.

        Args:
            destination: the path of a file in an existing directory.
            etag: of an earlier list, for a conditional request.

        Returns:
            What the list says about itself; None if it has not changed.

        Raises:
            TransientError: the index cannot be reached or is failing.
            RejectedError: the response is not a list of projects.
        """
        headers = {"Accept": ACCEPT} | ({"If-None-Match": etag} if etag else {})
        with tempfile.NamedTemporaryFile(dir=destination.parent, prefix=".listing-") as file:
            async with (
                _time_limit(self.url),
                self._response(self.url, headers) as response,
            ):
                if response.status_code == httpx.codes.NOT_MODIFIED and etag:
                    return None
                _raise_for_status(response, self.url)
                await _save_limited(response, self.url, file, _LISTING_LIMIT_BYTES)
            return await _convert_listing(response, Path(file.name), destination)

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
        """Download a file to destination, which appears only when it is complete and verified.

        Args:
            url: from a page of this index.
            sha256: the expected hash; "" if the index gives no sha256.
            digest: another expected hash, as `algorithm=hex`; "" for none.
            size_bytes: the expected size; None if the index gives none.
            destination: the path of the file; its directory must exist.
            limit_bytes: the maximum size.
            on_progress: called with the bytes so far and the total size, if known.
            bypass_caches: request the content of the origin from caches (RFC 9111, 5.2.1.4).

        Returns:
            The file's size and sha256.

        Raises:
            TransientError: the index cannot be reached or is failing.
            MissingFileError: there is no such file.
            DigestError: the content differs from what the index promised.
            FileTooLargeError: the file is larger than allowed.
            RejectedError: the URL is unusable, or the index rejects the request.
        """
        headers = {"Accept-Encoding": "identity"}
        if bypass_caches:
            headers |= {"Cache-Control": "no-cache", "Pragma": "no-cache"}
        async with _time_limit(url) as limit, self._response(url, headers) as response:
            _raise_if_missing(response, url)
            _raise_for_status(response, url)
            with _temporary_file(destination) as (file, temporary):
                size, checks = 0, _hashers(sha256, digest)
                whole = _content_length(response)
                # aiter_raw: some servers declare the compression of a .tar.gz as an encoding.
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    size += len(chunk)
                    limit.extend(len(chunk))
                    if size > limit_bytes:
                        raise FileTooLargeError(_too_large(url, limit_bytes))
                    await _in_thread(_write_hashed, file, checks, chunk)
                    if on_progress is not None:
                        on_progress(size, whole)
                _verify(response, url, checks, size, size_bytes)
                await _in_thread(file.sync)
                temporary.chmod(0o644)
                temporary.replace(destination)
        return FetchedFile(size_bytes=size, sha256=checks["sha256"][0].hexdigest())

    async def fetch_resumable(
        self, url: str, sha256: str, partial: Path, *, limit_bytes: int
    ) -> None:
        """Download a file, going on after the bytes that an earlier call left in `partial`.

        Args:
            url: from a page of this index.
            sha256: the expected hash.
            partial: the path of the file; its directory must exist. Another file is removed.
            limit_bytes: the maximum size.

        Raises:
            TransientError, MissingFileError, DigestError, FileTooLargeError, RejectedError: as
                `fetch`.
        """
        there = await asyncio.to_thread(_size_of, partial)
        headers = {"Accept-Encoding": "identity"}
        if there:
            headers["Range"] = f"bytes={there}-"
        async with _time_limit(url) as limit, self._response(url, headers) as response:
            _raise_if_missing(response, url)
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                await asyncio.to_thread(partial.unlink)
                raise TransientError(f"{redact_url(url)} has fewer bytes than were there before")
            if not _continues(response, there):
                _raise_for_status(response, url)
                await asyncio.to_thread(partial.unlink, missing_ok=True)
            with AppendFile(partial) as file:
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    limit.extend(len(chunk))
                    if file.size_bytes + len(chunk) > limit_bytes:
                        raise FileTooLargeError(_too_large(url, limit_bytes))
                    await _in_thread(file.write, chunk)
                await _in_thread(file.sync)
        found = await asyncio.to_thread(_file_sha256, partial)
        if found != sha256:
            await asyncio.to_thread(partial.unlink)
            raise DigestError(
                f"{redact_url(url)} has sha256 {found}, the index lists {sha256}", found
            )

    async def read_tail(self, url: str, length_bytes: int) -> bytes:
        """The last bytes of a file, unverified; the whole file if it is shorter.

        Raises:
            TransientError: the index cannot be reached or is failing.
            RejectedError: there is no such file, or the server does not support ranges.
        """
        headers = {"Accept-Encoding": "identity", "Range": f"bytes=-{length_bytes}"}
        content = bytearray()
        async with _time_limit(url), self._response(url, headers) as response:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                _raise_for_status(response, url)
            async for chunk in response.aiter_raw(_CHUNK_BYTES):
                content += chunk
                if len(content) > length_bytes:
                    raise RejectedError(_too_large(url, length_bytes))
        return bytes(content)

    async def post_raw(self, url: str, content: bytes, *, media_type: str) -> HttpResponse:
        """Send a POST request to another service of the index, with the same trust and credentials.

        Raises:
            TransientError: it cannot be reached.
            FileTooLargeError: the response is too large.
            RejectedError: the URL is unusable.
        """
        headers = {"Content-Type": media_type}
        async with (
            _time_limit(url),
            self._response(url, headers, content=content) as response,
        ):
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
        """A streamed GET, or a POST of content; errors of httpx become errors of piwheels."""
        try:
            auth = self._auth if origin_of(parse_url(url)) == self._origin else None
            method = "GET" if content is None else "POST"
            request = self._client.build_request(method, url, headers=headers, content=content)
            response = await self._client.send(request, auth=auth or httpx.Auth(), stream=True)
            try:
                # Not of a POST, which would become a GET.
                if content is None:
                    response = await self._follow_redirects(response)
                yield response
            finally:
                await response.aclose()
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.DecodingError) as error:
            raise RejectedError(f"{redact_url(url)}: {_error_text(error)}") from error
        except (httpx.InvalidURL, ConfigError, UnicodeError) as error:  # UnicodeError: of IDNA
            raise RejectedError(f"{redact_url(url)} is not a usable URL") from error
        except httpx.HTTPError as error:
            raise TransientError(
                f"{redact_url(url)} cannot be reached: {_error_text(error)}"
            ) from error

    async def _follow_redirects(self, response: httpx.Response) -> httpx.Response:
        """The response to which others lead, whose contents are not read, however long they are.

        httpx makes each next request: without credentials for another origin. Those of the
        address itself are not used.
        """
        for _ in range(_MAX_REDIRECTS):
            if response.next_request is None:
                return response
            await response.aclose()
            response = await self._client.send(
                response.next_request, auth=httpx.Auth(), stream=True
            )
        if response.next_request is not None:
            await response.aclose()
            raise httpx.TooManyRedirects("Exceeded maximum allowed redirects.")
        return response


class _TimeLimit:
    """The time limit of an exchange, which grows with what came."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout

    def extend(self, count_bytes: int) -> None:
        """Allow the time that these bytes take at the slowest acceptable rate."""
        when = self._timeout.when()
        if when is not None:
            self._timeout.reschedule(when + count_bytes / _MIN_BYTES_PER_S)


@contextlib.asynccontextmanager
async def _time_limit(url: str) -> AsyncIterator[_TimeLimit]:
    """Limits the time of a whole exchange.

    Raises:
        TransientError: it was not complete in time.
    """
    timeout = asyncio.timeout(_EXCHANGE_TIMEOUT_S)
    began = time.monotonic()
    try:
        async with timeout:
            yield _TimeLimit(timeout)
    except TimeoutError:
        if not timeout.expired():
            raise  # a disk's
        passed_s = time.monotonic() - began
        raise TransientError(f"{redact_url(url)} was not complete after {passed_s:.0f} s") from None


# --- URLs, responses and errors ---


def _error_text(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _ssl_context(address: httpx.URL) -> ssl.SSLContext:
    """Trusts the system's authorities (or SSL_CERT_FILE), and those that pip trusts."""
    bundle = pip_ca_bundle() if address.scheme == "https" else ""
    return _load_ssl_context(
        bundle, os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", "")
    )


@lru_cache(maxsize=8)  # reading the authorities takes 50 ms of processor, and a job opens indexes
def _load_ssl_context(bundle: str, cert_file: str, cert_dir: str) -> ssl.SSLContext:  # noqa: ARG001
    # OpenSSL reads cert_file from the environment itself: it is an argument for the cache.
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not cert_dir:
        import certifi  # noqa: PLC0415 - needed only on a machine without ca-certificates

        context.load_verify_locations(certifi.where())
    if bundle:
        try:
            context.load_verify_locations(bundle)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the certificates in {bundle} cannot be read: {error}") from None
    return context


def _raise_if_missing(response: httpx.Response, url: str) -> None:
    if response.status_code in _MISSING_STATUSES:
        raise MissingFileError(f"{redact_url(url)} is no longer on the index")


def _raise_for_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == httpx.codes.OK:
        return
    text = f"{redact_url(url)} answered {status} {response.reason_phrase}".rstrip()
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
    """Compare the content with what the index promised.

    Raises:
        TransientError: it is a web page, and no hash proves that it is the file.
        DigestError: it differs.
    """
    wrong = [
        f"has {name} {hasher.hexdigest()}, the index lists {value}"
        for name, (hasher, value) in checks.items()
        if value and hasher.hexdigest() != value
    ]
    if expected_size not in {None, size}:
        wrong.append(f"has {size} bytes, the index lists {expected_size}")
    proven = any(value for _, value in checks.values()) and not wrong
    if not proven and _media_type(response) == "text/html":
        # A page of a proxy, a captive portal or a maintenance mode, with status 200.
        raise TransientError(f"{redact_url(url)} responded with a web page instead of the file")
    if wrong:
        raise DigestError(f"{redact_url(url)} {wrong[0]}", checks["sha256"][0].hexdigest())


def _too_large(url: str, limit_bytes: int) -> str:
    return f"{redact_url(url)} is larger than {limit_bytes} bytes"


def _retry_after_s(response: httpx.Response) -> float:
    """Retry-After (RFC 9110, 10.2.3): seconds or a date; bounded."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        asked_s = float(text)
    else:
        try:
            asked_s = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):  # not a date, or one without a time zone
            return 0.0
    return min(max(asked_s, 0.0), _MAX_RETRY_AFTER_S)


def _continues(response: httpx.Response, there: int) -> bool:
    """Whether a response has the bytes that follow those that are there (RFC 9110, 14.4)."""
    is_part = response.status_code == httpx.codes.PARTIAL_CONTENT
    return is_part and response.headers.get("Content-Range", "").startswith(f"bytes {there}-")


def _size_of(path: Path) -> int:
    """In bytes; 0 for a file that is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _media_type(response: httpx.Response) -> str:
    kind, _, _ = response.headers.get("Content-Type", "").partition(";")
    return str(kind.strip().lower())


async def _save_limited(
    response: httpx.Response, url: str, file: IO[bytes], limit_bytes: int
) -> None:
    async for chunk in _decoded(response, url, limit_bytes):
        await _in_thread(file.write, chunk)
    await _in_thread(file.flush)


async def _read_limited(response: httpx.Response, url: str) -> bytes:
    content = bytearray()
    async for chunk in _decoded(response, url, PAGE_LIMIT_BYTES):
        content += chunk
    return bytes(content)


async def _decoded(response: httpx.Response, url: str, limit_bytes: int) -> AsyncIterator[bytes]:
    """A response's content without its coding, in bounded chunks.

    httpx decodes what it received at once, and any number of codings after each other: 64 KiB
    could become gigabytes.

    Raises:
        FileTooLargeError: it is longer than allowed, received or decoded.
        RejectedError: it cannot be decoded.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        shown = truncate_line(coding, 80)
        raise RejectedError(f"{redact_url(url)} has an unknown content coding: {shown}")
    # This finds out whether the data is gzip's or zlib's.
    decoder = None if coding in {"", "identity"} else zlib.decompressobj(zlib.MAX_WBITS | 32)
    received = decoded = 0
    async for data in response.aiter_raw(_CHUNK_BYTES):
        received += len(data)
        for chunk in (data,) if decoder is None else _decompressed(decoder, data, url):
            decoded += len(chunk)
            if max(received, decoded) > limit_bytes:
                raise FileTooLargeError(_too_large(url, limit_bytes))
            yield chunk
    if decoder is not None and received and not decoder.eof:
        raise RejectedError(f"{redact_url(url)} has compressed content that is not complete")


def _decompressed(decoder: "zlib._Decompress", data: bytes, url: str) -> Iterator[bytes]:
    """What these bytes decode to, in chunks of at most _CHUNK_BYTES."""
    try:
        while data and not decoder.eof:
            yield decoder.decompress(data, _CHUNK_BYTES)
            data = decoder.unconsumed_tail
    except zlib.error as error:
        raise RejectedError(f"{redact_url(url)} has damaged content: {error}") from None


def _hashers(sha256: str, digest: str) -> dict[str, tuple["hashlib._Hash", str]]:
    """By algorithm, a hash to compute and its expected value, "" for any."""
    algorithm, _, value = digest.partition("=")
    expected = {"sha256": sha256} | ({algorithm: value} if algorithm else {})
    return {
        name: (hashlib.new(name, usedforsecurity=False), value.lower())
        for name, value in expected.items()
    }


def _content_length(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _write_hashed(
    file: AppendFile, hashers: dict[str, tuple["hashlib._Hash", str]], chunk: bytes
) -> None:
    for hasher, _ in hashers.values():
        hasher.update(chunk)
    file.write(chunk)


async def _in_thread(
    function: Callable[Parameters, object],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> None:
    """Call a function that uses an open file in a thread: a slow disk delays nothing else.

    Its end is awaited also when this is canceled, because the file is closed then.
    """
    running = asyncio.ensure_future(asyncio.to_thread(function, *arguments, **options))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


@contextlib.contextmanager
def _temporary_file(destination: Path) -> Iterator[tuple[AppendFile, Path]]:
    """A temporary file in the destination's directory, deleted unless it was renamed."""
    descriptor, name = tempfile.mkstemp(dir=destination.parent, prefix=".fetch-")
    os.close(descriptor)
    temporary = Path(name)
    try:
        with AppendFile(temporary) as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


# --- pages ---


@contextlib.contextmanager
def _parsing(url: str, expected: str) -> Iterator[None]:
    """Errors of a parser name the URL; those of the machine may pass."""
    try:
        yield
    except RejectedError as error:
        raise RejectedError(f"{redact_url(url)} is not {expected}: {error}") from None
    except OSError as error:
        raise TransientError(f"{redact_url(url)} cannot be parsed now: {error.strerror}") from None
    # As in a child process: whatever a parser fails with, the content caused it.
    except Exception as error:  # noqa: BLE001
        reason = truncate_line(f"{type(error).__name__}: {error}")
        raise RejectedError(f"{redact_url(url)} is not {expected}: {reason}") from None


async def parse_by_size(
    size_bytes: int,
    parse: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Result:
    """Call the parser of a response: in a thread, or in a child process if it is large.

    Raises:
        RejectedError, OSError: of `run_isolated`, if it is large; else what the parser raises.
    """
    if size_bytes > _LARGE_PAGE_BYTES:
        return await run_isolated(_LARGE_PAGE_LIMITS, parse, *arguments, **options)
    return await asyncio.to_thread(parse, *arguments, **options)


async def _parse_response(project: str, response: httpx.Response, content: bytes) -> ProjectPage:
    url = str(response.url)
    with _parsing(url, "a Simple API page"):
        return await parse_by_size(
            len(content), parse_page, project, url, content, response.headers
        )


async def _convert_listing(
    response: httpx.Response, source: Path, destination: Path
) -> ProjectListing:
    with _parsing(str(response.url), "a list of projects"):
        content_type = response.headers.get("Content-Type", "")
        listing = await run_isolated(
            _LARGE_PAGE_LIMITS, convert_listing, source, content_type, destination
        )
    header = response.headers.get(SERIAL_HEADER)
    return structs.replace(
        listing,
        serial=fields.parse_serial(first_present(listing.serial, header)),
        etag=validator_header(response.headers.get("ETag", "")),
    )
