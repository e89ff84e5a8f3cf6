"""What an index sends: pages, the list of projects, the changelog, headers, names of files."""

import xmlrpc.client
from collections.abc import Callable, Sequence

import httpx

from piwheels import untrusted_names
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client import client
from piwheels.index_client.listing import convert_listing, read_listing
from piwheels.index_client.page_parser import parse_page
from piwheels.media_types import SIMPLE_HTML, SIMPLE_JSON
from piwheels.upstream import changelog
from tests.fuzz.scratch import as_text, scratch_file
from tests.fuzz.target import Target

_URL = "https://index.example/simple/demo/"
_JSON_PAGE = b"""{"meta": {"api-version": "1.4", "_last-serial": 12}, "name": "Demo",
"project-status": {"status": "archived", "reason": "old"}, "versions": ["1.0"], "files": [
{"filename": "demo-1.0.tar.gz", "url": "../files/demo-1.0.tar.gz#sha256=aa", "size": 12,
"hashes": {"sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
"requires-python": ">=3.7", "upload-time": "2026-01-01T12:00:00.123456Z", "yanked": "bad"},
{"filename": "demo-1.0-py3-none-any.whl", "url": "demo-1.0-py3-none-any.whl",
"core-metadata": {"sha256": "bb"}, "hashes": {}}]}"""
_HTML_PAGE = b"""<!DOCTYPE html><html><head><base href="/files/">
<meta name="pypi:repository-version" content="1.4"><meta name="pypi:project-status" content="archived">
</head><body><a href="demo-1.0.tar.gz#md5=d41d8cd98f00b204e9800998ecf8427e" data-yanked="x"
data-requires-python="&gt;=3.7" data-core-metadata="sha256=bb">demo-1.0.tar.gz</a>
<a href="demo-1.0-py3-none-any.whl">demo-1.0-py3-none-any.whl</a><!-- end --></body></html>"""
_JSON_LISTING = b"""{"meta": {"_last-serial": 9, "api-version": "1.0"},
"projects": [{"name": "Demo", "_last-serial": 3}, {"name": "other.one"}]}"""
_HTML_LISTING = b"""<html><body><a href="/simple/demo/">Demo</a>\n<a href="/o/">other</a></body>"""
_HEADERS = b"""Content-Type: application/vnd.pypi.simple.v1+json; charset=utf-8
Retry-After: Wed, 21 Oct 2026 07:28:00 GMT
Content-Length: 120
Date: Mon, 30 Nov 2026 10:00:00 GMT
Age: 20
ETag: "abc"
X-PyPI-Last-Serial: 77"""
_CHANGES = [["demo", "1.0", 1_700_000_000, "new release", 5], ["other", None, 1, "remove", 6]]


def _page(kind: str) -> Callable[[bytes], object]:
    return lambda data: parse_page("demo", _URL, data, {"Content-Type": kind})


def _page_of_any_type(data: bytes) -> object:
    kind, _, content = data.partition(b"\n")
    return parse_page("demo", _URL, content, {"Content-Type": kind.decode("latin-1")})


def _listing(kind: str) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        found = scratch_file(b"", "listing")
        convert_listing(scratch_file(data), kind, found)
        return list(read_listing(found))

    return parse


def _headers(data: bytes) -> object:
    pairs = [line.partition(b": ")[::2] for line in data.split(b"\n")]
    response = httpx.Response(200, headers=pairs)
    response.headers["Content-Type"] = SIMPLE_JSON
    parse_page("demo", _URL, _JSON_PAGE, response.headers)
    return (
        client._retry_after_s(response),
        client._content_length(response),
        client._media_type(response),
    )


def _changelog(data: bytes) -> object:
    events = changelog._parse_response(_URL, data)
    return (
        [changelog._parse_event(event) for event in events or ()]
        if isinstance(events, list)
        else changelog._is_serial(events)
    )


def _changelog_seeds() -> Sequence[bytes]:
    values = (_CHANGES, 12)
    return [
        xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()
        for value in values
    ]


def _names() -> Sequence[Target]:
    """Names, versions and tags, as file names, messages and metadata have them."""
    parsers: dict[str, tuple[Callable[[str], object], Sequence[bytes]]] = {
        "project-name": (untrusted_names.normalize_project, [b"Demo.one_two"]),
        "version": (untrusted_names.parse_version, [b"1!2.0rc1.post2.dev3+local.7", b"v1.0-1"]),
        "tags": (untrusted_names.parse_tags, [b"py2.py3-none-any", b"cp313-cp313-linux_armv7l"]),
        "wheel-filename": (
            untrusted_names.parse_wheel_filename,
            [b"demo-1.0-1a-cp313-cp313-manylinux_2_36_aarch64.manylinux2014_aarch64.whl"],
        ),
        "specifier": (untrusted_names.parse_specifier, [b">=3.7,<4,!=3.9.*,~=3.8, ===x"]),
        "requirement": (
            untrusted_names.parse_requirement,
            [b"demo[a,b]>=1 ; python_version < '3.9' and (os_name == 'posix' or extra == 'x')"],
        ),
    }
    return [_of_text(name, read, seeds) for name, (read, seeds) in parsers.items()]


def _of_text(name: str, read: Callable[[str], object], seeds: Sequence[bytes]) -> Target:
    return Target(name, lambda data: read(as_text(data)), (RejectedError,), lambda: seeds)


INDEX_TARGETS = (
    Target("simple-page-json", _page(SIMPLE_JSON), (RejectedError,), lambda: [_JSON_PAGE]),
    Target("simple-page-html", _page("text/html"), (RejectedError,), lambda: [_HTML_PAGE]),
    Target(
        "simple-page-type",
        _page_of_any_type,
        (RejectedError,),
        lambda: [
            SIMPLE_HTML.encode() + b"; charset=utf-16\n" + _HTML_PAGE,
            b"text/html; charset=punycode\n" + _HTML_PAGE,
            SIMPLE_JSON.encode() + b"\n" + _JSON_PAGE,
        ],
    ),
    Target("project-list-json", _listing(SIMPLE_JSON), (RejectedError,), lambda: [_JSON_LISTING]),
    Target("project-list-html", _listing("text/html"), (RejectedError,), lambda: [_HTML_LISTING]),
    Target("response-headers", _headers, (), lambda: [_HEADERS, b"Retry-After: 120"]),
    Target("changelog", _changelog, (TransientError,), _changelog_seeds),
    *_names(),
)
