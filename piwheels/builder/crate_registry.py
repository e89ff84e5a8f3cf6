"""The crates that a build sees: a cargo sparse registry of the index proxy, read-only.

Formats are those of the Cargo Book, "Registry Index". A crate is sent only if an index file of the
same build listed it, and with the checksum of that file.
"""

import json
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from piwheels.builder.file_cache import FileCache
from piwheels.errors import PiwheelsError, RejectedError, TransientError
from piwheels.index_client.client import MissingFileError, SimpleIndex

_INDEX_PATH = re.compile(r"[a-z0-9_-]{1,64}(?:/[a-z0-9_-]{1,64}){1,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[\w.+-]{1,100}")
_MOST_PAGES = 5000  # of one build
_MOST_VERSIONS = 200_000  # on all of them: they are kept in memory


class CrateRegistry:
    """The crates of one build."""

    def __init__(
        self,
        upstream: SimpleIndex,
        cache: FileCache,
        sent_files: MutableMapping[str, None],
        errors: MutableMapping[str, PiwheelsError],
    ) -> None:
        """Describe a registry.

        Args:
            upstream: a client whose address is that of a sparse registry.
            cache: for the crates.
            sent_files: gets `<sha256> <filename>` of each crate that is sent.
            errors: gets the errors of the upstream that no success followed, by what was wanted.
        """
        self._upstream = upstream
        self._cache = cache
        self._sent_files = sent_files
        self._errors = errors
        self._checksums: dict[tuple[str, str], str] = {}
        self._pages: set[str] = set()
        self._template = ""
        self.routes = [
            Route("/crates/config.json", self._serve_config),
            Route("/crates/files/{name}/{version}/download", self._serve_crate),
            Route("/crates/{path:path}", self._serve_page),
        ]

    async def _serve_config(self, request: Request) -> Response:
        return JSONResponse({"dl": f"{request.base_url}crates/files"})

    async def _serve_page(self, request: Request) -> Response:
        path = request.path_params["path"]
        if not _INDEX_PATH.fullmatch(path):
            return PlainTextResponse("not a file of the index\n", 404)
        if len(self._pages) >= _MOST_PAGES or len(self._checksums) >= _MOST_VERSIONS:
            return PlainTextResponse("too many crates were requested by this build\n", 404)
        self._pages.add(path)
        try:
            file = await self._cache.get(self._upstream, f"{self._upstream.url}{path}", "")
            text = file.read_bytes()
        except MissingFileError:
            return PlainTextResponse("no such crate\n", 404)
        except (TransientError, RejectedError) as error:
            return self._failure(path, error)
        self._errors.pop(path, None)
        self._checksums |= dict(_checksums(text))
        return Response(text, media_type="text/plain")

    async def _serve_crate(self, request: Request) -> Response:
        name, version = request.path_params["name"], request.path_params["version"]
        sha256 = self._checksums.get((name, version))
        if sha256 is None:
            return PlainTextResponse("no index file of this build listed such a crate\n", 404)
        filename = f"{name}-{version}.crate"
        try:
            url = await self._crate_url(name, version, sha256)
            path = await self._cache.get(self._upstream, url, sha256)
        except (TransientError, RejectedError) as error:
            return self._failure(filename, error)
        self._errors.pop(filename, None)
        self._sent_files[f"{sha256} {filename}"] = None
        return FileResponse(path, media_type="application/octet-stream")

    async def _crate_url(self, name: str, version: str, sha256: str) -> str:
        """The address of a crate, by the `dl` of the registry's config.json."""
        if not self._template:
            address = f"{self._upstream.url}config.json"
            self._template = _download_template(await self._cache.get(self._upstream, address, ""))
        values = {
            "crate": name,
            "version": version,
            "prefix": _prefix(name),
            "lowerprefix": _prefix(name.lower()),
            "sha256-checksum": sha256,
        }
        url = self._template
        if not any(f"{{{marker}}}" in url for marker in values):
            return f"{url}/{name}/{version}/download"
        for marker, value in values.items():
            url = url.replace(f"{{{marker}}}", value)
        return url

    def _failure(self, what: str, error: PiwheelsError) -> Response:
        self._errors[what] = error
        return PlainTextResponse(f"{error}\n", 502)


def _download_template(config: Path) -> str:
    try:
        template = json.loads(config.read_bytes())["dl"]
    except (ValueError, KeyError, TypeError):
        template = None
    if not isinstance(template, str):
        raise RejectedError("config.json of the cargo registry has no `dl`")
    return template


def _checksums(text: bytes) -> Iterator[tuple[tuple[str, str], str]]:
    """The name, version and sha256 of each line of an index file."""
    for line in text.splitlines():
        try:
            entry: Any = json.loads(line)
            values = [str(entry[key]) for key in ("name", "vers", "cksum")]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        name, version, sha256 = values
        if _WORD.fullmatch(name) and _WORD.fullmatch(version) and _SHA256.fullmatch(sha256):
            yield (name, version), sha256


def _prefix(name: str) -> str:
    """The folder of a crate in the index."""
    if len(name) <= 2:
        return str(len(name))
    return f"3/{name[0]}" if len(name) == 3 else f"{name[:2]}/{name[2:4]}"
