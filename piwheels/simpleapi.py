"""Reading a Simple API index (PEP 503, 691, 700, 714, 792) and fetching the files it lists.

Pages and files come from outside: what is malformed is refused by an error that names its
address, what may come right by itself is a TransientError. Addresses never show a password.
"""

import ast
import asyncio
import contextlib
import functools
import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Self

import httpx
import pypi_simple

from piwheels import names
from piwheels.errors import ConfigError, RefusedError, TransientError, UsageError
from piwheels.model import ProjectStatus, Struct

PAGE_LIMIT_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_JSON_TYPE = "application/vnd.pypi.simple.v1+json"
_HTML_TYPES = ("application/vnd.pypi.simple.v1+html", "text/html", "application/xhtml+xml")
_PASSING_STATUSES = (408, 425, 429)
_MISSING_STATUSES = (404, 410)
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_LONGEST_WAIT_S = 3600.0
_PAGE_S = 600.0  # for a whole page: a byte now and then would keep the time-outs above away

Progress = Callable[[int, int | None], None]


class MissingFileError(RefusedError):
    """The index has no file at an address that it named."""


class DigestError(RefusedError):
    """A file's bytes are not those that its sha256 promised."""


class FileKind(StrEnum):
    """What an index file is."""

    SDIST = "sdist"
    WHEEL = "wheel"
    OTHER = "other"


class IndexFile(Struct, frozen=True, kw_only=True):
    """A file as a project's page lists it."""

    filename: str
    url: str  # absolute, without credentials and fragment
    kind: FileKind
    version: str  # canonical (PEP 440); "" if the name does not tell a valid one
    sha256: str = ""  # lower-case hex; "" if the index gives none
    size_bytes: int | None = None  # PEP 700
    requires_python: str = ""  # PEP 503's data-requires-python; "" allows every Python
    uploaded_at: datetime | None = None  # PEP 700 upload-time
    yanked: str | None = None  # PEP 592: None is not yanked, "" is yanked without a reason
    metadata_sha256: str = ""  # PEP 714 core-metadata; "" if none with a sha256 is offered


class ProjectPage(Struct, frozen=True, kw_only=True):
    """A project's page."""

    project: str  # normalised (PEP 503)
    display: str  # as the index spells it
    files: tuple[IndexFile, ...]
    status: ProjectStatus = ProjectStatus.ACTIVE  # PEP 792
    status_reason: str = ""
    serial: int | None = None  # the index's last serial for this project, where it has one
    etag: str = ""


class Answer(Struct, frozen=True, kw_only=True):
    """What the index answers to a question that is not of the Simple API."""

    status: int
    media_type: str  # without parameters, lower case
    content: bytes
    wait_s: float  # as TransientError has it


class SimpleIndex:
    """A client of one Simple API index; close it, or use it as an async context manager."""

    def __init__(self, url: str) -> None:
        """Make a client.

        Args:
            url: the index, e.g. `https://index.example/simple/`; it may hold user:password.

        Raises:
            ConfigError: the address is not http or https, or pip's certificates cannot be read.
        """
        address = _parsed(url)
        self._auth = (
            httpx.BasicAuth(address.username, address.password) if address.userinfo else None
        )
        bare = address.copy_with(userinfo=b"", path=address.path.rstrip("/") + "/")
        self._origin = _origin(bare)
        self.url = str(bare)
        self._client = httpx.AsyncClient(
            verify=_trust(bare), timeout=_TIMEOUT, follow_redirects=True, max_redirects=8
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
            known: an earlier page; the same object comes back if the index says (by ETag)
                that nothing changed.

        Returns:
            The page, or None if the index does not know the project.

        Raises:
            TransientError: the index cannot be reached or is in trouble.
            RefusedError: the name is not a project's, or the page is malformed.
        """
        try:
            project = names.project(name)
        except RefusedError:
            raise RefusedError(f"{name[:200]!r} is not a valid project name") from None
        url = f"{self.url}{project}/"
        headers = {"Accept": pypi_simple.ACCEPT_JSON_PREFERRED}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        async with self._response(url, headers) as response:
            if response.status_code in _MISSING_STATUSES:
                return None
            if response.status_code == httpx.codes.NOT_MODIFIED and known is not None:
                return known
            _expect_ok(response, url)
            content = await _limited(response, url)
        return _page(project, response, content)

    async def fetch(
        self,
        url: str,
        sha256: str,
        destination: Path,
        *,
        limit_bytes: int,
        on_progress: Progress | None = None,
    ) -> int:
        """Fetch a file to destination, which appears only when it is whole and verified.

        Args:
            url: an address from a page of this index.
            sha256: what the bytes must hash to.
            destination: where the file will lie; its folder must exist.
            limit_bytes: a longer file is refused.
            on_progress: called with the bytes so far and the whole length, if known.

        Returns:
            The file's size in bytes.

        Raises:
            TransientError: the index cannot be reached or is in trouble.
            MissingFileError: there is no such file.
            DigestError: the bytes are not the promised ones.
            RefusedError: the file is longer than allowed, or the address is unusable.
        """
        async with self._response(url, {"Accept-Encoding": "identity"}) as response:
            if response.status_code in _MISSING_STATUSES:
                raise MissingFileError(f"{_shown(url)} is gone from the index")
            _expect_ok(response, url)
            with _beside(destination) as (file, temporary):
                size, digest = 0, hashlib.sha256()
                whole = _length(response)
                # aiter_raw, because some servers declare a .tar.gz itself as an encoding.
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > limit_bytes:
                        raise RefusedError(f"{_shown(url)} is longer than {limit_bytes} bytes")
                    digest.update(chunk)
                    file.write(chunk)
                    if on_progress is not None:
                        on_progress(size, whole)
                if digest.hexdigest() != sha256.lower():
                    raise DigestError(
                        f"{_shown(url)} has sha256 {digest.hexdigest()}, the index says {sha256}"
                    )
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.replace(destination)
        return size

    async def post(self, url: str, content: bytes, *, media_type: str) -> Answer:
        """Ask another service of the same index, with the same trust and credentials.

        Raises:
            TransientError: it cannot be reached.
            RefusedError: the answer is too long, or the address is unusable.
        """
        headers = {"Content-Type": media_type}
        async with self._response(url, headers, content=content) as response:
            return Answer(
                status=response.status_code,
                media_type=_media_type(response),
                content=await _limited(response, url),
                wait_s=_wait_s(response),
            )

    @contextlib.asynccontextmanager
    async def _response(
        self, url: str, headers: dict[str, str], *, content: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """A streamed GET, or a POST of content, with what can go wrong turned into our errors."""
        try:
            auth = self._auth if _origin(_parsed(url)) == self._origin else None
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
            raise RefusedError(f"{_shown(url)}: {_said(error)}") from error
        except (httpx.InvalidURL, ConfigError) as error:
            raise RefusedError(f"{_shown(url)} is not a usable address") from error
        except httpx.HTTPError as error:
            raise TransientError(f"{_shown(url)} cannot be reached: {_said(error)}") from error


# --- what this machine's pip is configured to use ---


def check_address(url: str) -> None:
    """Refuse what cannot be the address of an index, before anything depends on it.

    Raises:
        UsageError: it is no http:// or https:// address.
    """
    _parsed(url)


def configured_index() -> str:
    """The index that this machine's pip installs from; PyPI if nothing says otherwise.

    Only pip's index-url counts, not its extra indexes: those may hold anything.
    """
    return _pip_setting("index-url") or pypi_simple.PYPI_SIMPLE_ENDPOINT


def configured_certificates() -> str:
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


def _parsed(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"{_shown(url)} is not a usable index address: {error}") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise UsageError(
            f"{_shown(url)} cannot be used as an index: give an http:// or https:// address"
        )
    return address


def _origin(address: httpx.URL) -> tuple[str, str, int | None]:
    return address.scheme, address.host, address.port


def _shown(url: str) -> str:
    """An address for a message: without credentials, and not endless."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"[:400] if mark else url[:400]


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _trust(address: httpx.URL) -> ssl.SSLContext:
    """The system's authorities (SSL_CERT_FILE says otherwise), and those that pip trusts."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not os.environ.get("SSL_CERT_DIR"):
        import certifi  # noqa: PLC0415 - needed only on a machine without ca-certificates

        context.load_verify_locations(certifi.where())
    extra = configured_certificates() if address.scheme == "https" else ""
    if extra:
        try:
            context.load_verify_locations(extra)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the certificates in {extra} cannot be read: {error}") from None
    return context


def _expect_ok(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == httpx.codes.OK:
        return
    text = f"{_shown(url)} answered {status} {response.reason_phrase}".rstrip()
    if status in _PASSING_STATUSES or status >= 500:
        raise TransientError(text, wait_s=_wait_s(response))
    raise RefusedError(text)


def _wait_s(response: httpx.Response) -> float:
    """Retry-After (RFC 9110, 10.2.3): seconds, or a date; within reason."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        asked_s = float(text)
    else:
        try:
            asked_s = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return 0.0
    return min(max(asked_s, 0.0), _LONGEST_WAIT_S)


def _media_type(response: httpx.Response) -> str:
    kind, _, _ = response.headers.get("Content-Type", "").partition(";")
    return str(kind.strip().lower())


async def _limited(response: httpx.Response, url: str) -> bytes:
    content = bytearray()
    try:
        async with asyncio.timeout(_PAGE_S):
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > PAGE_LIMIT_BYTES:
                    raise RefusedError(f"{_shown(url)} is longer than {PAGE_LIMIT_BYTES} bytes")
    except TimeoutError:
        raise TransientError(f"{_shown(url)} was not all there after {_PAGE_S:.0f} s") from None
    return bytes(content)


def _length(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


@contextlib.contextmanager
def _beside(destination: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A temporary file in destination's folder, gone afterwards unless it was renamed."""
    descriptor, name = tempfile.mkstemp(dir=destination.parent, prefix=".fetch-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


# --- pages ---


def _page(project: str, response: httpx.Response, content: bytes) -> ProjectPage:
    url = str(response.url)
    try:
        parsed = _parse(project, response, content)
        serial = parsed.last_serial or response.headers.get("X-PyPI-Last-Serial")
        return ProjectPage(
            project=project,
            display=parsed.project,
            files=tuple(_file(package) for package in parsed.packages),
            status=ProjectStatus(parsed.status.value) if parsed.status else ProjectStatus.ACTIVE,
            status_reason=parsed.status_reason or "",
            serial=int(serial) if serial and serial.strip().isdecimal() else None,
            etag=response.headers.get("ETag", ""),
        )
    # The parsers below raise whatever their own dependencies raise at hostile input.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise RefusedError(f"{_shown(url)} is not a Simple API page: {_first(error)}") from error
    except (httpx.InvalidURL, pypi_simple.UnsupportedRepoVersionError) as error:
        raise RefusedError(f"{_shown(url)}: {_first(error)}") from error


def _parse(project: str, response: httpx.Response, content: bytes) -> pypi_simple.ProjectPage:
    kind, _, parameters = response.headers.get("Content-Type", "text/html").partition(";")
    kind = kind.strip().lower()
    url = str(response.url.copy_with(userinfo=b""))
    with warnings.catch_warnings():
        # A newer minor version of the API is compatible by PEP 629.
        warnings.simplefilter("ignore")
        if kind == _JSON_TYPE or kind.endswith("/json"):
            return pypi_simple.ProjectPage.from_json_data(_tolerant(json.loads(content)), url)
        if kind in _HTML_TYPES:
            return pypi_simple.ProjectPage.from_html(project, content, url, _charset(parameters))
    raise ValueError(f"its content type is {kind!r}")


def _tolerant(data: Any) -> Any:
    """Drop a project status that PEP 792 did not know when this was written."""
    if isinstance(data, dict) and isinstance(status := data.get("project-status"), dict):
        known = {status.value for status in ProjectStatus}
        if status.get("status") not in known:
            return {key: value for key, value in data.items() if key != "project-status"}
    return data


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        key, _, value = parameter.strip().partition("=")
        if key.lower() == "charset":
            return value.strip('"')
    return None


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:300] or type(error).__name__


def _file(package: pypi_simple.DistributionPackage) -> IndexFile:
    yanked = (package.yanked_reason or "") if package.is_yanked else None
    return IndexFile(
        filename=package.filename,
        url=str(httpx.URL(package.url).copy_with(userinfo=b"")),
        kind=_kind(package.package_type),
        version=_version(package.version),
        sha256=_hex(package.digests),
        size_bytes=package.size if package.size is not None and package.size >= 0 else None,
        requires_python=package.requires_python or "",
        uploaded_at=_utc(package.upload_time),
        yanked=yanked,
        metadata_sha256=_hex(package.metadata_digests or {}),
    )


def _kind(package_type: str | None) -> FileKind:
    return FileKind(package_type) if package_type in {"sdist", "wheel"} else FileKind.OTHER


def _version(text: str | None) -> str:
    if text is None:
        return ""
    # In a wheel's name a version's dash is spelled with an underscore (PEP 427).
    for spelling in (text, text.replace("_", "-")):
        with contextlib.suppress(RefusedError):
            return str(names.version(spelling))
    return ""


def _hex(digests: dict[str, str]) -> str:
    digest = digests.get("sha256", "").lower()
    return digest if len(digest) == 64 and set(digest) <= set("0123456789abcdef") else ""


def _utc(moment: datetime | None) -> datetime | None:
    """PEP 700 wants UTC; a time without a zone is taken as that."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
