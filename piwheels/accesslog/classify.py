"""What a request asks for, by its method and its path in the served tree."""

import re
from enum import IntEnum
from typing import NamedTuple
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from piwheels.accesslog.user_agents import hash32, hash64
from piwheels.db import binary_copy
from piwheels.model import Struct

_ARMV6_FACTOR = 6


class RequestKind(IntEnum):
    """What an access was; the numbers are those of the table `accesses`."""

    OTHER = 0  # refusals, parts of files, HEAD, metadata, pages without a kind of their own
    DOWNLOAD = 1  # GET, 200, of a wheel
    INDEX = 2  # a page below simple/
    PROJECT = 3  # a project's page
    JSON = 4
    LOG = 5  # of a build


class Wheel(Struct, frozen=True, kw_only=True):
    """A wheel that was asked for."""

    key: int  # the first eight bytes of a hash of the name
    filename: str
    project: str
    #: How often its build's duration one download saves (the first generation's formula): not
    #: at all without an ABI, six times on armv6, which is that much slower than what builds.
    time_factor: int


class RequestClass(Struct, frozen=True):
    """What an access counts as."""

    kind: RequestKind
    wheel: Wheel | None  # of a download
    packed: bytes  # both in a row of `accesses`
    hash32: int = 0  # tells requests apart (see fingerprints): of a download the wheel's key


class ClassifiedRequest(NamedTuple):
    """What a request counts as, by the status of its answer."""

    whole: RequestClass  # 200
    unchanged: RequestClass  # 304
    uncounted: RequestClass  # any other


_PACKED = {
    kind: binary_copy.pack_content(None, kind) for kind in RequestKind
}  # of a row, without a wheel
#: What counts as nothing.
UNCOUNTED = RequestClass(RequestKind.OTHER, None, _PACKED[RequestKind.OTHER])
_WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9._]+)-[A-Za-z0-9._+!]+(?:-[0-9][A-Za-z0-9._]*)?"
    r"-[A-Za-z0-9._]+-(?P<abi>[A-Za-z0-9._]+)-(?P<platform>[A-Za-z0-9._]+)\.whl"
)
_MAX_NAME_LENGTH = 300


def classify(line: str, prefix: str = "") -> ClassifiedRequest:
    """What a request line ("GET /simple/numpy/ HTTP/1.1") counts as.

    The protocol makes no difference to its mark. A tree may be served below a path as well:
    `prefix`, without slashes at its ends.
    """
    asked = line.rpartition(" ")[0] if " HTTP/" in line else line
    method, _, target = asked.partition(" ")
    path = _tree_path(target)
    path = path.removeprefix(f"{prefix}/") if prefix else path
    wheel = _wheel_in_path(path) if method == "GET" else None
    kind = _page_kind(path) if method == "GET" else RequestKind.OTHER
    mark = hash32(asked.encode(errors="replace"))
    uncounted = RequestClass(RequestKind.OTHER, None, _PACKED[RequestKind.OTHER], ~mark)
    if wheel is not None:  # counts where it was sent whole; a page also where it is unchanged
        field = binary_copy.pack_content(wheel.key, RequestKind.DOWNLOAD)
        return ClassifiedRequest(
            RequestClass(RequestKind.DOWNLOAD, wheel, field, wheel.key), uncounted, uncounted
        )
    page = RequestClass(kind, None, _PACKED[kind], mark)
    return ClassifiedRequest(page, page, uncounted)


def _wheel_in_path(path: str) -> Wheel | None:
    in_tree = path.startswith(("packages/", "simple/"))  # simple/: the first generation's
    return _parse_wheel(path.rpartition("/")[2]) if in_tree and path.endswith(".whl") else None


def _page_kind(path: str) -> RequestKind:
    """The kind of a page; OTHER of what is none."""
    first, _, below = path.partition("/")
    match first:
        case "packages" | "simple" if path.endswith(".whl"):
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
    """The path within the tree, decoded, of a request's target."""
    if target.startswith(("http://", "https://")):  # as sent to a proxy (RFC 9112, 3.2.2)
        target = "/" + target.split("/", 3)[-1]
    path = target.partition("?")[0]
    return (unquote(path) if "%" in path else path).removeprefix("/")


def _parse_wheel(filename: str) -> Wheel | None:
    match = _WHEEL.fullmatch(filename) if len(filename) <= _MAX_NAME_LENGTH else None
    if match is None:
        return None
    armv6 = "armv6l" in match["platform"]
    return Wheel(
        key=hash64(filename.encode()),
        filename=filename,
        project=canonicalize_name(match["name"]),
        time_factor=0 if match["abi"] == "none" else _ARMV6_FACTOR if armv6 else 1,
    )
