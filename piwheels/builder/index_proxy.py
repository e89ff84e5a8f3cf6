"""The index that a build sees: merged pages of the farm and upstream, files through the cache.

One proxy serves one build, on a Unix socket. It sends only files that one of its pages listed,
verified by the hash on the page, and records them. Requests of the build are hostile input;
responses of the indexes are checked by `index_client`.
"""

import asyncio
import contextlib
import hashlib
import html
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import UTC, date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from piwheels import untrusted_names
from piwheels.builder.crate_registry import CrateRegistry
from piwheels.builder.download_errors import NoUploadTimesError
from piwheels.builder.file_cache import FileCache
from piwheels.errors import PiwheelsError, RejectedError, TransientError
from piwheels.index_client.client import MissingFileError, SimpleIndex
from piwheels.index_client.page import FileKind, IndexFile, ProjectPage
from piwheels.media_types import SIMPLE_JSON, accepts_json
from piwheels.model import Struct

log = logging.getLogger(__name__)

_MOST_PAGES = 2000  # of one build; far more than any real one needs
_MOST_FILES = 100_000  # on all pages together: they are kept in memory
_MAX_CONCURRENT_PAGES = 4
_MAX_CONNECTIONS = 128
_METADATA_SUFFIX = ".metadata"


class _ListedFile(Struct, frozen=True):
    """A file that a page listed."""

    index: int
    file: IndexFile


class IndexProxy:
    """The index for one build: `indexes` by preference, the farm's own before upstream's.

    With `day` it shows only files that were uploaded until the end of that day (UTC), with `only`
    those of this list of inputs. With `crates` it is a cargo registry too.
    """

    def __init__(
        self,
        indexes: Sequence[SimpleIndex],
        cache: FileCache,
        *,
        day: date | None = None,
        crates: SimpleIndex | None = None,
        only: Collection[str] = (),
    ) -> None:
        self._day = day
        self._only = frozenset(only)
        self._only_names = frozenset(text.partition(" ")[2] for text in only)
        self._indexes = tuple(indexes)
        self._cache = cache
        self._pages: dict[str, list[_ListedFile]] = {}
        self._files_by_key: dict[tuple[str, str], _ListedFile] = {}
        self._sent_files: dict[str, None] = {}
        self._errors: dict[str, PiwheelsError] = {}
        self._page_slots = asyncio.Semaphore(_MAX_CONCURRENT_PAGES)
        routes = [
            Route("/simple/{project}/", self._serve_page),
            Route("/files/{key}/{filename}", self._serve_file),
        ]
        if crates is not None:
            routes += CrateRegistry(crates, cache, self._sent_files, self._errors).routes
        self.app = Starlette(routes=routes)

    @property
    def sent_files(self) -> tuple[str, ...]:
        """The files that were sent, as `<sha256> <filename>`, in the order of their first use."""
        return tuple(self._sent_files)

    @property
    def last_error(self) -> PiwheelsError | None:
        """The last error of an index that was not followed by a success."""
        return next(reversed(self._errors.values()), None)

    @contextlib.asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Serve on a Unix socket, created at path, within the context."""
        listener = _listen(path)
        config = uvicorn.Config(
            self.app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving

    async def _serve_page(self, request: Request) -> Response:
        requested = request.path_params["project"]
        try:
            project = untrusted_names.normalize_project(requested)
        except RejectedError:
            return PlainTextResponse("not a project name\n", 404)
        if project != requested:
            return RedirectResponse(f"/simple/{project}/")
        try:
            async with self._page_slots:
                if project not in self._pages and (
                    len(self._pages) >= _MOST_PAGES or len(self._files_by_key) >= _MOST_FILES
                ):
                    return PlainTextResponse(
                        "too many projects were requested by this build\n", 404
                    )
                offers = await self._list_files(project)
        except (TransientError, RejectedError) as error:
            return self._error_response(project, error)
        self._errors.pop(project, None)
        if not offers:
            return PlainTextResponse(f"no project {project}\n", 404)
        headers = {"Vary": "Accept"}
        if accepts_json(request.headers.get("Accept", "")):
            return Response(_json_page(project, offers), media_type=SIMPLE_JSON, headers=headers)
        return Response(_html_page(offers), media_type="text/html", headers=headers)

    async def _list_files(self, project: str) -> list[_ListedFile]:
        """All files of a project that can be served; a name is taken from its first index."""
        if project in self._pages:
            return self._pages[project]
        offers: dict[str, _ListedFile] = {}
        for number, index in enumerate(self._indexes):
            for file in self._shown_files(await self._read_page(index, project), project):
                offers.setdefault(file.filename, _ListedFile(number, file))
        self._pages[project] = list(offers.values())
        self._files_by_key |= {(_file_key(o.file), o.file.filename): o for o in offers.values()}
        return self._pages[project]

    def _shown_files(self, page: ProjectPage | None, project: str) -> list[IndexFile]:
        """The files of a page that the build may see.

        Raises NoUploadTimesError if there has to be a day and the page has no upload times at all.
        """
        files = [file for file in _servable_files(page) if self._may_show(file)]
        if self._day is None or not files:
            return files
        if all(file.uploaded_at is None for file in files):
            raise NoUploadTimesError(
                f"the index gives no upload times for {project} (PEP 700): "
                f"it cannot be shown as of {self._day}"
            )
        return [file for file in files if _was_uploaded(file, self._day)]

    def _may_show(self, file: IndexFile) -> bool:
        """Whether a file, or the metadata beside it, is one of the inputs that are allowed."""
        if not self._only:
            return True
        if not file.sha256:
            return file.filename in self._only_names
        metadata = f"{file.metadata_sha256} {file.filename}{_METADATA_SUFFIX}"
        return f"{file.sha256} {file.filename}" in self._only or metadata in self._only

    async def _read_page(self, index: SimpleIndex, project: str) -> ProjectPage | None:
        """A page of an index; None if it is unreachable and not the last one, which is upstream."""
        try:
            return await index.project(project)
        except TransientError as error:
            if index is self._indexes[-1]:
                raise
            log.warning("building without the farm's own index: %s", error)
            return None

    async def _serve_file(self, request: Request) -> Response:
        key, filename = request.path_params["key"], request.path_params["filename"]
        offer = self._files_by_key.get((key, filename))
        if offer is not None:
            return await self._send_file(offer, offer.file)
        offer = self._files_by_key.get((key, filename.removesuffix(_METADATA_SUFFIX)))
        if offer is not None and offer.file.metadata_sha256:
            return await self._send_file(offer, _metadata_file(offer.file))
        return PlainTextResponse("no page of this build listed such a file\n", 404)

    async def _send_file(self, offer: _ListedFile, file: IndexFile) -> Response:
        filename = file.filename
        try:
            path = await self._cache.get(
                self._indexes[offer.index],
                file.url,
                file.sha256,
                digest=file.digest,
                size_bytes=file.size_bytes,
            )
        except MissingFileError as error:
            if not filename.endswith(_METADATA_SUFFIX):  # installers do not need it
                self._errors[filename] = error
            return PlainTextResponse(f"{error}\n", 404)
        except (TransientError, RejectedError) as error:
            return self._error_response(filename, error)
        self._errors.pop(filename, None)
        self._sent_files[f"{path.name} {filename}"] = None
        # A media type that suggests an encoding would make clients change the hashed bytes.
        return FileResponse(path, media_type="application/octet-stream")

    def _error_response(self, what: str, error: PiwheelsError) -> Response:
        log.warning("index proxy: %s", error)
        self._errors[what] = error
        return PlainTextResponse(f"{error}\n", 502)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the process's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(path: Path) -> socket.socket:
    """Listen on a Unix socket whose path may be longer than sun_path (108 bytes)."""
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_PATH)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    path.chmod(0o666)  # access is restricted by its folder
    listener.listen()
    return listener


def _servable_files(page: ProjectPage | None) -> Iterator[IndexFile]:
    for file in page.files if page else ():
        if "/" not in file.filename and file.filename.isprintable():
            yield file


def _was_uploaded(file: IndexFile, day: date) -> bool:
    """Whether a file was on the index at the end of a day; not if its upload time is unknown."""
    return file.uploaded_at is not None and file.uploaded_at.astimezone(UTC).date() <= day


def _file_key(file: IndexFile) -> str:
    """The part of a file's URL here that identifies it: its hash, or that of its upstream URL."""
    hashed = file.sha256 or file.digest.replace("=", "-")
    return hashed or f"url-{hashlib.sha256(file.url.encode()).hexdigest()}"


def _file_hash(file: IndexFile) -> tuple[str, str]:
    """The algorithm and the value of the hash in the index; ("", "") if there is none."""
    algorithm, _, value = (f"sha256={file.sha256}" if file.sha256 else file.digest).partition("=")
    return algorithm, value


def _metadata_file(file: IndexFile) -> IndexFile:
    """The metadata file beside a wheel (PEP 658)."""
    return IndexFile(
        filename=file.filename + _METADATA_SUFFIX,
        url=file.url + _METADATA_SUFFIX,
        kind=FileKind.OTHER,
        version=file.version,
        sha256=file.metadata_sha256,
    )


def _file_url(file: IndexFile) -> str:
    return f"../../files/{_file_key(file)}/{quote(file.filename)}"


def _json_page(project: str, offers: Sequence[_ListedFile]) -> str:
    """The page by PEP 691, with the fields of PEP 700 and 714 that the index provides."""
    files = [_json_file(offer.file) for offer in offers]
    return json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": files})


def _json_file(file: IndexFile) -> dict[str, Any]:
    algorithm, value = _file_hash(file)
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": _file_url(file),
        "hashes": {algorithm: value} if algorithm else {},
        "yanked": False if file.yanked is None else file.yanked or True,
    }
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    if file.size_bytes is not None:
        entry["size"] = file.size_bytes
    if file.uploaded_at is not None:
        entry["upload-time"] = file.uploaded_at.isoformat().replace("+00:00", "Z")
    if file.metadata_sha256:
        entry["core-metadata"] = {"sha256": file.metadata_sha256}
    return entry


def _html_page(offers: Sequence[_ListedFile]) -> str:
    """The page by PEP 503."""
    links = "\n".join(f"{_html_link(offer.file)}<br>" for offer in offers)
    return f"<!DOCTYPE html>\n<html><body>\n{links}\n</body></html>\n"


def _html_link(file: IndexFile) -> str:
    algorithm, value = _file_hash(file)
    fragment = f"#{algorithm}={value}" if algorithm else ""
    attributes = {"href": f"{_file_url(file)}{fragment}"}
    if file.requires_python:
        attributes["data-requires-python"] = file.requires_python
    if file.yanked is not None:
        attributes["data-yanked"] = file.yanked
    if file.metadata_sha256:
        attributes["data-core-metadata"] = f"sha256={file.metadata_sha256}"
    spelled = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<a {spelled}>{html.escape(file.filename)}</a>"
