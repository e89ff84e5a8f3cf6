"""Every configured web server, and our own, answers alike: types, compression, caching, errors."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from piwheels.provenance.check import check_wheel
from piwheels.webroot import SECURITY_HEADERS
from tests.clients.conftest import SITE
from tests.clients.servers import BUCKET_NAMES, NAMES, program, serving
from tests.requires import requires_program

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(n, marks=requires_program(program(n))) for n in NAMES if n != "http.server"
    ]
    + [
        pytest.param(n, marks=[requires_program(program(n)), pytest.mark.slow])
        for n in BUCKET_NAMES
    ],
)
def web(
    request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    work = tmp_path_factory.mktemp("server")
    for folder in (work, *work.parents):
        if folder.stat().st_mode & 0o777 == 0o700:
            folder.chmod(0o711)
    work.chmod(0o777)
    with serving(request.param, tree, work) as address, httpx.Client(base_url=address) as client:
        yield client


def kind(response: httpx.Response) -> str:
    return response.headers["content-type"].partition(";")[0]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, HTML),
        ("*/*", HTML),
        ("text/html", HTML),
        (JSON, JSON),
        (JSON.upper(), JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01", JSON),
        (f"text/html, {JSON};q=0.5", JSON),
        (f"{JSON};q=0", HTML),
        (f"{JSON}; q=0.0, text/html", HTML),
        (f"{JSON};q=0.9", JSON),
        ("application/json", HTML),
    ],
)
@pytest.mark.parametrize("path", ["simple/", "simple/left/"])
def test_a_simple_page_is_json_for_clients_that_accept_it(
    web: httpx.Client, path: str, accept: str | None, expected: str
) -> None:
    headers = {"Accept": accept} if accept else {}
    web.headers.pop("accept", None)
    response = web.get(path, headers=headers)
    assert response.status_code == 200
    assert kind(response) == expected
    assert "accept" in response.headers["vary"].lower().replace("accept-encoding", "")
    if expected == JSON:
        assert json.loads(response.content)["meta"]["api-version"] == "1.4"


@pytest.mark.parametrize("accept", [HTML, JSON])
def test_the_gz_file_is_served_to_clients_that_accept_it(web: httpx.Client, accept: str) -> None:
    packed = web.get("simple/left/", headers={"Accept": accept, "Accept-Encoding": "gzip"})
    plain = web.get("simple/left/", headers={"Accept": accept, "Accept-Encoding": "identity"})
    assert packed.headers.get("content-encoding") == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert kind(packed) == kind(plain) == accept
    assert "accept-encoding" in packed.headers["vary"].lower()


def test_pages_are_cached_for_a_minute_and_packages_forever(web: httpx.Client) -> None:
    page = web.get("simple/left/", headers={"Accept": JSON})
    assert "max-age=60" in page.headers["cache-control"]
    wheel = web.get(address(page))
    assert "immutable" in wheel.headers["cache-control"]
    assert kind(wheel) == "application/octet-stream"
    assert hashlib.sha256(wheel.content).hexdigest() in address(page)


def address(page: httpx.Response) -> str:
    return str(page.url.join(page.json()["files"][0]["url"]))


def test_an_unchanged_page_is_not_sent_again(web: httpx.Client) -> None:
    headers = {"Accept": JSON, "Accept-Encoding": "identity"}
    first = web.get("simple/left/", headers=headers)
    again = web.get("simple/left/", headers={**headers, "If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_metadata_is_served_as_text(web: httpx.Client) -> None:
    page = web.get("simple/left/", headers={"Accept": JSON})
    metadata = web.get(f"{address(page)}.metadata")
    assert kind(metadata) == "text/plain"
    sha256 = page.json()["files"][0]["core-metadata"]["sha256"]
    assert hashlib.sha256(metadata.content).hexdigest() == sha256


def test_the_statement_of_a_wheel_is_served_as_json_and_verified(web: httpx.Client) -> None:
    wheel = address(web.get("simple/left/", headers={"Accept": JSON}))
    assert kind(web.get(f"{wheel}.provenance.json")) == "application/json"
    assert kind(web.get("provenance-keys.json")) == "application/json"
    url = str(web.base_url.join(wheel))
    assert check_wheel(url, "", None).subject.name == wheel.rpartition("/")[2]


def test_a_range_of_a_wheel_is_served(web: httpx.Client) -> None:
    page = web.get("simple/left/", headers={"Accept": JSON})
    whole = web.get(address(page), headers={"Accept-Encoding": "identity"}).content
    part = web.get(address(page), headers={"Range": "bytes=-22", "Accept-Encoding": "identity"})
    assert part.status_code == 206
    assert part.content == whole[-22:]


def test_head_is_like_get_without_content(web: httpx.Client) -> None:
    response = web.head("simple/left/", headers={"Accept": JSON})
    assert (response.status_code, kind(response), response.content) == (200, JSON, b"")


LOG = "logs/0000/0001/1.txt"
LOG_PAGE = "logs/0000/0001/1.html"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("gzip", "gzip"),
        ("identity", None),
        ("", None),
        ("br", None),
    ],
)
def test_a_log_is_readable_text_whether_a_client_accepts_gzip_or_not(
    web: httpx.Client, accepted: str, encoding: str | None, request: pytest.FixtureRequest
) -> None:
    response = web.get(LOG, headers={"Accept-Encoding": accepted})
    if accepted == "br" and "worker" in request.node.name:
        assert response.headers.get("content-encoding") == "br"  # by the runtime of workers
        return
    assert response.status_code == 200
    assert kind(response) == "text/plain"
    assert response.headers.get("content-encoding") == encoding
    assert response.text == "a log\n"
    assert "accept-encoding" in response.headers["vary"].lower()
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value


def test_a_client_without_accept_encoding_gets_a_log_as_text(web: httpx.Client) -> None:
    request = web.build_request("GET", LOG)
    del request.headers["Accept-Encoding"]
    response = web.send(request)
    assert (response.status_code, response.text) == (200, "a log\n")
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(("accepted", "encoding"), [("gzip", "gzip"), ("identity", None)])
def test_the_page_of_a_log_is_html_whether_a_client_accepts_gzip_or_not(
    web: httpx.Client, accepted: str, encoding: str | None
) -> None:
    response = web.get(LOG_PAGE, headers={"Accept-Encoding": accepted})
    assert (response.status_code, response.text) == (200, "<h1>a log</h1>")
    assert response.headers["content-type"].lower() == "text/html; charset=utf-8"
    assert response.headers.get("content-encoding") == encoding
    assert "accept-encoding" in response.headers["vary"].lower()
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value


@pytest.mark.parametrize("path", [LOG, LOG_PAGE])
def test_the_gz_url_of_a_log_redirects_to_its_own(web: httpx.Client, path: str) -> None:
    response = web.get(f"{path}.gz")
    assert response.status_code == 301
    assert response.headers["location"].removeprefix(str(web.base_url).rstrip("/")) == f"/{path}"


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_a_missing_log_is_not_found(web: httpx.Client, accepted: str) -> None:
    response = web.get("logs/0000/0009/9.txt", headers={"Accept-Encoding": accepted})
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("path", "place"), [("simple", "/simple/"), ("simple/left", "/simple/left/")]
)
def test_a_missing_slash_is_added(web: httpx.Client, path: str, place: str) -> None:
    response = web.get(path)
    assert response.status_code in {301, 302, 308}
    assert response.headers["location"].removeprefix(str(web.base_url).rstrip("/")) == place


@pytest.mark.parametrize(
    "path",
    [
        "simple/nothing/", "nothing", "packages/", "packages/00/", ".source/", "simple/.x/",
        "simple/left/../../.source/", "%2e%2e/%2e%2e/etc/passwd", "simple/%2e%2e/.source/",
        "simple/left/index.html/x",
    ],
)  # fmt: skip
def test_missing_and_hidden_files_are_not_found(web: httpx.Client, path: str) -> None:
    # httpx would tidy the path up; a hostile client does not.
    request = web.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=f"/{path}".encode())
    response = web.send(request)
    assert response.status_code in {400, 403, 404}
    assert b"root:" not in response.content


# --- the web site ---

TYPES = {
    "": HTML,
    "packages.json": "application/json",
    "sitemap.xml": ("application/xml", "text/xml"),
    "robots.txt": "text/plain",
    "favicon.ico": ("image/x-icon", "image/vnd.microsoft.icon"),
    "project/left/": HTML,
    "project/left/json": "application/json",
    "static/style.0123456789ab.css": "text/css",
    "static/site.0123456789ab.js": ("text/javascript", "application/javascript"),
    "static/mark.0123456789ab.svg": "image/svg+xml",
    "search/_.json": "application/json",
    "project/left/v1.json": "application/json",
    "wheels.atom": "application/atom+xml",
}


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("path", TYPES)
def test_every_file_of_the_site_has_its_type(web: httpx.Client, path: str, encoding: str) -> None:
    response = web.get(path, headers={"Accept-Encoding": encoding})
    assert response.status_code == 200
    assert kind(response) in TYPES[path]
    name = f"{path}index.html" if path.endswith("/") or not path else path
    assert response.content == SITE[name]
    if encoding == "identity":
        assert "content-encoding" not in response.headers


@pytest.mark.parametrize("path", ["project/left/v1.json", "project/left/json", "simple/left/"])
def test_scripts_of_other_sites_may_read_the_data(web: httpx.Client, path: str) -> None:
    response = web.get(path, headers={"Origin": "https://elsewhere.example.org"})
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["", "project/left/", "static/style.0123456789ab.css"])
def test_pages_and_static_files_are_sent_compressed(web: httpx.Client, path: str) -> None:
    assert web.get(path).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", [*TYPES, "simple/", "simple/left/", "nothing/here"])
def test_every_response_has_the_security_headers_once(web: httpx.Client, path: str) -> None:
    response = web.get(path)
    sent = {name: response.headers.get_list(name) for name in SECURITY_HEADERS}
    assert sent == {name: [value] for name, value in SECURITY_HEADERS.items()}


def test_content_addressed_files_are_cached_forever(web: httpx.Client) -> None:
    for path in TYPES:
        wanted = "immutable" if path.startswith("static/") else "max-age=60"
        assert wanted in web.get(path).headers["cache-control"], path


@pytest.mark.parametrize("path", ["nothing", "project/nothing/", "nothing/at/all.html", ".hidden"])
def test_missing_pages_get_the_404_page(web: httpx.Client, path: str) -> None:
    response = web.get(path, headers={"Accept": "text/html,*/*"})
    assert response.status_code == 404
    assert (kind(response), response.content) == (HTML, SITE["404.html"])
    assert "immutable" not in response.headers.get("cache-control", "")
