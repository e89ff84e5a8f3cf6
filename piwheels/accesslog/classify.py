"""Classifies requests by method and path."""

import re
from enum import IntEnum
from typing import NamedTuple
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from piwheels.accesslog.user_agents import hash32, hash64
from piwheels.db import binary_copy
from piwheels.model import DownloadedWheel, Struct

_ARMV6_FACTOR = 6


class RequestKind(IntEnum):
    """The kind of a request; the numbers are stored in the database."""

    OTHER = 0  # errors, partial content, HEAD, metadata, other pages
    DOWNLOAD = 1  # GET of a wheel, with status 200
    INDEX = 2  # a page in simple/
    PROJECT = 3  # a project's page
    JSON = 4
    LOG = 5  # a build log


class RequestClass(Struct, frozen=True):
    """How an access is counted."""

    kind: RequestKind
    wheel: DownloadedWheel | None  # of a download
    packed: bytes  # both as a field of a row (db.binary_copy)
    hash32: int = 0  # for fingerprints; for a download, the wheel's key


class ClassifiedRequest(NamedTuple):
    """How a request is counted, by the status of its response."""

    whole: RequestClass  # 200
    unchanged: RequestClass  # 304
    uncounted: RequestClass  # any other


_PACKED = {
    kind: binary_copy.pack_content(None, kind) for kind in RequestKind
}  # fields of a row, without a wheel
#: An access that is not counted.
UNCOUNTED = RequestClass(RequestKind.OTHER, None, _PACKED[RequestKind.OTHER])
_WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9._]+)-[A-Za-z0-9._+!]+(?:-[0-9][A-Za-z0-9._]*)?"
    r"-[A-Za-z0-9._]+-(?P<abi>[A-Za-z0-9._]+)-(?P<platform>[A-Za-z0-9._]+)\.whl"
)
_MAX_NAME_LENGTH = 300


def classify(line: str, prefix: str = "") -> ClassifiedRequest:
    """Classify a request line ("GET /simple/numpy/ HTTP/1.1").

    The HTTP version does not change the hash. `prefix` is a path that the web root may also be
    served under, without slashes at its ends.
    """
    request_line = line.rpartition(" ")[0] if " HTTP/" in line else line
    method, _, target = request_line.partition(" ")
    path = _tree_path(target)
    path = path.removeprefix(f"{prefix}/") if prefix else path
    wheel = _wheel_in_path(path) if method == "GET" else None
    kind = _page_kind(path) if method == "GET" else RequestKind.OTHER
    request_hash = hash32(request_line.encode(errors="replace"))
    uncounted = RequestClass(RequestKind.OTHER, None, _PACKED[RequestKind.OTHER], ~request_hash)
    if wheel is not None:  # counted if it was sent completely; a page also if it was not modified
        field = binary_copy.pack_content(wheel.key, RequestKind.DOWNLOAD)
        return ClassifiedRequest(
            RequestClass(RequestKind.DOWNLOAD, wheel, field, wheel.key), uncounted, uncounted
        )
    page = RequestClass(kind, None, _PACKED[kind], request_hash)
    return ClassifiedRequest(page, page, uncounted)


def _wheel_in_path(path: str) -> DownloadedWheel | None:
    in_tree = path.startswith(("packages/", "simple/"))  # simple/: in the layout of piwheels 0.x
    return _parse_wheel(path.rpartition("/")[2]) if in_tree and path.endswith(".whl") else None


def _page_kind(path: str) -> RequestKind:
    """The kind of a page; OTHER for anything else."""
    first, _, below = path.partition("/")
    match first:
        case "packages":  # wheels, and what is beside them
            return RequestKind.OTHER
        case "simple" if path.endswith(".whl"):
            return RequestKind.OTHER
        case "simple":
            return RequestKind.INDEX
        case "logs":
            return RequestKind.LOG
        case _ if path.rstrip("/").endswith((".json", "/json")):
            return RequestKind.JSON
        case "project" if below:
            return RequestKind.PROJECT
    return RequestKind.OTHER


def _tree_path(target: str) -> str:
    """The decoded path, relative to the root, of a request target."""
    if target.startswith(("http://", "https://")):  # as sent to a proxy (RFC 9112, 3.2.2)
        target = "/" + target.split("/", 3)[-1]
    path = target.partition("?")[0]
    return (unquote(path) if "%" in path else path).removeprefix("/")


def _parse_wheel(filename: str) -> DownloadedWheel | None:
    match = _WHEEL.fullmatch(filename) if len(filename) <= _MAX_NAME_LENGTH else None
    if match is None:
        return None
    armv6 = "armv6l" in match["platform"]
    return DownloadedWheel(
        key=hash64(filename.encode()),
        filename=filename,
        project=canonicalize_name(match["name"]),
        time_factor=0 if match["abi"] == "none" else _ARMV6_FACTOR if armv6 else 1,
    )
