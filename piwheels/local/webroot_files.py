"""The files of a web root as the configurations of `piw config` serve them.

starlette's StaticFiles finds files and answers conditional and range requests. What it lacks is
written here: JSON or HTML of the Simple API by Accept, .gz files by Accept-Encoding, redirects to
normalized names, cache lifetimes and media types.
"""

import gzip
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, quote

from packaging.utils import canonicalize_name
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

from piwheels.media_types import accepts_json, media_type
from piwheels.webroot import cache_control, gz_path

#: The page of a project, with the name in any spelling.
_ANY_NAME = "[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?"
_NAME = re.compile(_ANY_NAME, re.IGNORECASE | re.ASCII)
_PROJECT = re.compile(
    rf"/(simple|project)/({_ANY_NAME})(/.*)?", re.IGNORECASE | re.ASCII | re.DOTALL
)
_COMPRESSED_LOG = re.compile(r"(/logs/[0-9/]+\.(?:txt|html))\.gz")


class WebRootFiles(StaticFiles):
    """An ASGI application that serves a web root."""

    def __init__(self, root: Path) -> None:
        super().__init__(directory=root)
        self._root = root.resolve()

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer a request for a normalized path, relative to the root.

        Raises:
            HTTPException: there is no such file, or the method is not GET or HEAD.
        """
        url_path: str = scope["path"]
        asked = url_path == "/find.html" and _asked_project(scope["query_string"])
        if location := asked or _redirect_of(url_path):
            return RedirectResponse(location, status_code=301)
        parts = path.split("/")
        is_dir = await run_in_threadpool(os.path.isdir, self._root / path)
        is_hidden = path != "." and any(part.startswith(".") for part in parts)
        # Index pages are served by the names of their directories only.
        if is_hidden or (parts[0] == "simple" and not is_dir):
            raise HTTPException(404)
        if is_dir and not url_path.endswith("/"):
            return RedirectResponse(f"/{quote(path)}/", status_code=301)
        if is_dir:
            path = f"{path}/{_index_name(parts[0], scope)}"
        elif url_path.endswith("/"):
            raise HTTPException(404)
        elif parts[0] == "logs":
            path += ".gz"
        return await super().get_response(path, scope)

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer with a file, or with its .gz file if the client accepts that."""
        request_headers, found = Headers(scope=scope), Path(full_path)
        folder = found.relative_to(self._root).parts[0]
        file = found.with_suffix("") if folder == "logs" else found
        compressed = gz_path(file)
        accepts_gzip = "gzip" in request_headers.get("accept-encoding", "")
        headers = {"Cache-Control": cache_control(folder)}
        if folder == "simple":
            headers["Vary"] = "Accept, Accept-Encoding"
        elif compressed.is_file():
            headers["Vary"] = "Accept-Encoding"
        if file != found and not accepts_gzip:
            # Logs are stored compressed only.
            content = gzip.decompress(found.read_bytes())
            return Response(content, headers=headers, media_type=media_type(file.name))
        if accepts_gzip and compressed.is_file():
            headers["Content-Encoding"] = "gzip"
            found, stat_result = compressed, compressed.stat()
        response = FileResponse(
            found,
            status_code,
            headers=headers,
            media_type=media_type(file.name),
            stat_result=stat_result,
        )
        if self.is_not_modified(response.headers, request_headers):
            return NotModifiedResponse(response.headers)
        return response


def _redirect_of(url_path: str) -> str:
    """Where a URL of a log's file, or of a project in another spelling, redirects to; else ""."""
    if log := _COMPRESSED_LOG.fullmatch(url_path):
        return log[1]
    project = _PROJECT.fullmatch(url_path)
    if project is None:
        return ""
    name = canonicalize_name(project[2])
    return f"/{project[1]}/{name}{quote(project[3] or '/')}" if name != project[2] else ""


def _asked_project(query: bytes) -> str:
    """The page of the project that the search form asks for without JavaScript; "" if none."""
    (name,) = parse_qs(query.decode("ascii", "replace")).get("q", [""])[:1]
    return f"/project/{canonicalize_name(name.strip())}/" if _NAME.fullmatch(name.strip()) else ""


def _index_name(folder: str, scope: Scope) -> str:
    wants_json = accepts_json(Headers(scope=scope).get("accept", ""))
    return "index.v1_json" if folder == "simple" and wants_json else "index.html"
