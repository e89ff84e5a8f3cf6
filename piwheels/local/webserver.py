"""A small static web server for trying a tree out; a real farm has nginx, Apache or Caddy.

It answers as the configurations of `piw deploy` do: JSON or HTML by Accept, the .gz twin by
Accept-Encoding, an access log in the combined format.
"""

import gzip
import logging
import re
import signal
import time
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import uvicorn
from packaging.utils import canonicalize_name
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piwheels.append_file import AppendFile
from piwheels.errors import ConfigError
from piwheels.local.connection_limits import BoundedProtocol
from piwheels.local.ports import bind_listener
from piwheels.webroot import SECURITY_HEADERS

log = logging.getLogger(__name__)

_JSON_TYPE = "application/vnd.pypi.simple.v1+json"
#: JSON is for those who name it and do not give it the weight 0.
_WANTS_JSON = re.compile(
    r"application/vnd\.pypi\.simple\.(v1|latest)\+json(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".v1_json": _JSON_TYPE,
    ".json": "application/json",
    ".whl": "application/octet-stream",
    ".metadata": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".xml": "application/xml",
}
#: A project's name, in any spelling.
_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)
_PACKED_LOG = re.compile(r"logs/[0-9/]+\.txt\.gz")
_PAGE_CACHE = "public, max-age=60"
_FILE_CACHE = "public, max-age=31536000, immutable"


def serve(root: Path, *, host: str, port: int, access_log: Path | None = None) -> None:
    """Serve a tree until SIGTERM or SIGINT.

    Raises:
        ConfigError: the address cannot be listened on, or the log cannot be written.
    """
    application: ASGIApp = application_for(root)
    if access_log is not None:
        application = AccessLog(application, access_log)
    config = uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    with bind_listener(host, port) as listener:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            return


def application_for(root: Path) -> Starlette:
    """The web application that serves a tree."""
    tree = _Tree(root)
    return Starlette(routes=[Route("/{path:path}", tree.answer, methods=["GET", "HEAD"])])


class _Tree:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def answer(self, request: Request) -> Response:
        """Find the file of a request's path."""
        try:
            return self._find(request)
        except OSError:  # a name that no file can have, say
            return self._not_found(request)

    def _find(self, request: Request) -> Response:
        path: str = request.path_params["path"]
        parts = path.split("/")
        # What begins with a second slash would be a path of this machine, not of the tree.
        if path.startswith("/") or any(part.startswith(".") for part in parts) or "\0" in path:
            return self._not_found(request)
        if parts[0] == "simple":
            return self._simple(request, parts[1:])
        if parts[0] == "project" and (name := _respelled(parts[1:])):
            return RedirectResponse(f"/project/{name}", status_code=301)
        if parts[0] == "logs":
            return self._log(request, path)
        place = self._root / path
        if place.is_dir():
            if not path.endswith("/") and path:
                return RedirectResponse(f"/{quote(path)}/", status_code=301)
            place /= "index.html"
        elif path.endswith("/"):
            return self._not_found(request)
        return self._file(request, place)

    def _simple(self, request: Request, parts: list[str]) -> Response:
        if not parts:
            return RedirectResponse("/simple/", status_code=301)
        if len(parts) > 2 or (len(parts) == 2 and parts[1]):
            return self._not_found(request)
        project = parts[0]
        if project:
            name = canonicalize_name(project)
            if len(parts) == 1 or name != project:
                return RedirectResponse(f"/simple/{quote(name)}/", status_code=301)
        wants_json = _WANTS_JSON.search(request.headers.get("accept", ""))
        page = "index.v1_json" if wants_json else "index.html"
        response = self._file(request, self._root / "simple" / project / page)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        return response

    def _log(self, request: Request, path: str) -> Response:
        """Logs lie there packed, and are unpacked for those who do not accept that."""
        if _PACKED_LOG.fullmatch(path):
            return RedirectResponse(f"/{quote(path.removesuffix('.gz'))}", status_code=301)
        place = self._root / path
        packed = place.with_name(f"{place.name}.gz")
        if "gzip" in request.headers.get("accept-encoding", "") or not packed.is_file():
            return self._file(request, place)
        headers = {**SECURITY_HEADERS, "Cache-Control": _PAGE_CACHE, "Vary": "Accept-Encoding"}
        return PlainTextResponse(gzip.decompress(packed.read_bytes()), headers=headers)

    def _file(self, request: Request, place: Path) -> Response:
        packed = place.with_name(f"{place.name}.gz")
        gzip_accepted = "gzip" in request.headers.get("accept-encoding", "")
        chosen = packed if gzip_accepted and packed.is_file() else place
        headers = {**SECURITY_HEADERS, "Cache-Control": _cache(place.relative_to(self._root))}
        if chosen is packed:
            headers["Content-Encoding"] = "gzip"
        if packed.is_file():
            headers["Vary"] = "Accept-Encoding"
        try:
            status = chosen.stat()
        except OSError:
            return self._not_found(request)
        if not chosen.is_file():
            return self._not_found(request)
        headers["ETag"] = f'"{int(status.st_mtime):x}-{status.st_size:x}"'
        headers["Last-Modified"] = formatdate(status.st_mtime, usegmt=True)
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return FileResponse(chosen, headers=headers, media_type=_type(place), stat_result=status)

    def _not_found(self, request: Request) -> Response:
        headers = {**SECURITY_HEADERS, "Vary": "Accept"}
        page = self._root / "404.html"
        if "text/html" in request.headers.get("accept", "") and page.is_file():
            return HTMLResponse(page.read_bytes(), status_code=404, headers=headers)
        text = "404: nothing here. The index is at /simple/\n"
        return PlainTextResponse(text, status_code=404, headers=headers)


def _respelled(parts: list[str]) -> str:
    """What lies below project/, by its normalised name where it has another spelling; else ""."""
    name = canonicalize_name(parts[0]) if parts and _NAME.fullmatch(parts[0]) else ""
    return "/".join(map(quote, [name, *parts[1:]])) if name and name != parts[0] else ""


def _type(place: Path) -> str:
    if place.name == "json":  # a project's figures, by an address without an ending
        return _TYPES[".json"]
    return _TYPES.get(place.suffix, "application/octet-stream")


def _cache(place: Path) -> str:
    return _FILE_CACHE if place.parts[0] in {"packages", "static"} else _PAGE_CACHE


class AccessLog:
    """Writes a line of the combined format for every request, also through a log rotation."""

    def __init__(self, application: ASGIApp, path: Path) -> None:
        """Open the log.

        Raises:
            ConfigError: it cannot be written.
        """
        self._application = application
        self._path = path
        self._problem = ""
        try:
            self._open()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and log it when it is answered."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status, size = 0, 0

        async def counting(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._application(scope, receive, counting)
        finally:
            self._write(scope, status, size)

    def _write(self, scope: Scope, status: int, size: int) -> None:
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += f"?{scope['query_string'].decode('latin-1')}"
        address = scope["client"][0] if scope["client"] else "-"
        moment = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        request = f"{scope['method']} {target} HTTP/{scope['http_version']}"
        agent, referer = (_quoted(headers.get(name, "-")) for name in ("user-agent", "referer"))
        self._add(
            f'{address} - - [{moment}] "{_quoted(request)}" {status} {size} "{referer}" "{agent}"\n'
        )

    def _add(self, line: str) -> None:
        """Write a line; a disk that does not take it is reported once, and costs no answer."""
        try:
            if self._was_moved():
                self._file.close()
                self._open()
            self._file.write(line.encode())
        except OSError as error:
            if (problem := str(error.strerror)) != self._problem:
                self._problem = problem
                log.error("%s: %s; requests are not logged", self._path, problem)
        else:
            self._problem = ""

    def _was_moved(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = AppendFile(self._path)
        self._inode = self._path.stat().st_ino


def _quoted(text: str) -> str:
    return "".join(
        f"\\x{ord(char):02x}" if char in '"\\' or ord(char) < 32 or ord(char) > 126 else char
        for char in text
    )
