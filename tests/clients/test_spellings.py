"""Names as people write them, and trees below a path, through every web server."""

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.clients.servers import (
    BUCKET_NAMES,
    get_raw,
    program,
    proxy,
    recording_origin,
    serving,
)
from tests.requires import requires_program
from tests.timeouts import WAIT_S

SERVERS = ("nginx", "apache", "caddy", "own")
_SHA256 = hashlib.sha256(b"a wheel").hexdigest()
WHEEL = f"packages/{_SHA256[:2]}/{_SHA256}/demo-1.0-py3-none-any.whl"
FILES = {
    "index.html": "home",
    "404.html": "not here",
    "find.html": "find",
    "simple/index.html": "all",
    "simple/flask-sqlalchemy/index.html": "the index page",
    "simple/flask-sqlalchemy/index.v1_json": "{}",
    "project/flask-sqlalchemy/index.html": "the project page",
    "project/flask-sqlalchemy/json": "{}",
    WHEEL: "a wheel",
}


class Reply(NamedTuple):
    """An answer, and where it leads if it is a redirect."""

    status: int
    location: str
    cache: str
    text: str


class Farm(NamedTuple):
    """A tree behind a server, reached below a path."""

    server: str
    address: str
    prefix: str

    def get(self, path: str, *, prefix: str | None = None) -> Reply:
        """Request a path unchanged, without following redirects."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=WAIT_S)
        connection.request("GET", (self.prefix if prefix is None else prefix) + path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        found = answer.getheader("Location", ""), answer.getheader("Cache-Control", "")
        return Reply(answer.status, *found, text)

    def led_to(self, path: str) -> str:
        """Where redirects lead to in the end, within the tree."""
        for _ in range(8):
            reply = self.get(path)
            if reply.status == 200:
                return path
            assert reply.status == 301, (path, reply)
            assert reply.location.startswith(f"{self.prefix}/"), "never one that names this server"
            path = reply.location.removeprefix(self.prefix)
        raise AssertionError("redirects without an end")


def _farm(server: str, url: str) -> Iterator[Farm]:
    root = Path(tempfile.mkdtemp(prefix="piwheels-spellings-"))
    work = Path(tempfile.mkdtemp(prefix="piwheels-server-"))
    for folder in (root, work):
        folder.chmod(0o755)
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with serving(server, root, work, url) as address:
        yield Farm(server, address, urlsplit(url).path.rstrip("/"))
    shutil.rmtree(root)
    shutil.rmtree(work, ignore_errors=True)


def _slow_marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if name in BUCKET_NAMES else []


_EVERY = [
    pytest.param(
        (name, url),
        id=f"{name}{urlsplit(url).path}",
        marks=[requires_program(program(name)), *_slow_marks(name)],
    )
    for name in (*SERVERS, *BUCKET_NAMES)
    for url in ("", "https://example.org/wheels/")
    if name != "own" or not url
]


@pytest.fixture(scope="module", params=_EVERY)
def farm(request: pytest.FixtureRequest) -> Iterator[Farm]:
    yield from _farm(*request.param)


@pytest.mark.parametrize(
    "spelling",
    [
        "flask-sqlalchemy", "Flask-SQLAlchemy", "Flask_SQLAlchemy", "flask.sqlalchemy",
        "FLASK-SQLALCHEMY", "flask--sqlalchemy", "Flask.-_SqlAlchemy",
    ],
)  # fmt: skip
def test_any_spelling_of_a_name_redirects_to_the_project(farm: Farm, spelling: str) -> None:
    for part in ("simple", "project"):
        page = f"/{part}/flask-sqlalchemy/"
        assert farm.led_to(f"/{part}/{spelling}/") == page
        assert farm.led_to(f"/{part}/{spelling}") == page
    data = f"/project/{spelling}/json"
    assert farm.led_to(data) == "/project/flask-sqlalchemy/json"


@pytest.mark.parametrize("query", ["flask-sqlalchemy", "Flask_SQLAlchemy", "+flask.sqlalchemy+"])
def test_the_search_form_leads_to_the_project_without_javascript(farm: Farm, query: str) -> None:
    path = f"/find.html?q={query}"
    assert farm.led_to(path).partition("?")[0] == "/project/flask-sqlalchemy/"


@pytest.mark.parametrize(
    "query", ["", "?q=", "?q=%0d%0aX-Evil:y", "?q=../simple", "?q=//e.org", "?q=a%2fb", "?q=%c3%a4"]
)
def test_the_search_form_leads_to_its_own_page_with_other_text(farm: Farm, query: str) -> None:
    reply = farm.get(f"/find.html{query}")
    assert (reply.status, reply.location, reply.text) == (200, "", "find")


def test_a_name_of_any_length_and_case_is_normalized(farm: Farm) -> None:
    path = "/simple/AAAAAAAA.B_C-D..E--F_G__H.zZzZzZ/"
    for _ in range(8):
        location = farm.get(path).location
        if not location:
            break
        path = f"/simple/{location.rstrip('/').rpartition('/')[2]}/"
    assert path == "/simple/aaaaaaaa-b-c-d-e-f-g-h-zzzzzz/"
    assert farm.get(path).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/simple/-x/", "/simple/x-/", "/simple/a%0db/", "/simple/a%20b/", "/project/%c3%a4/",
        "/logs/x%0d%0aSet-Cookie:a=b.txt.gz", "/logs/0/%0dX-Evil:y/1.txt.gz", "/nothing",
    ],
)  # fmt: skip
def test_an_invalid_name_is_not_found(farm: Farm, path: str) -> None:
    reply = farm.get(path)
    assert (reply.status, reply.location) == (404, "")


_HOSTILE = [
    "//134744072/..%2fsimple/Foo/", "//134744072/../simple/Foo/", "/x/%2e%2e/simple/Foo/",
    "//simple/Foo/", "/%2f134744072/..%2fproject/Foo/", "/x/..%2f..%2fother/secret",
]  # fmt: skip


@pytest.mark.parametrize("path", _HOSTILE)
def test_a_redirect_leads_to_a_page_of_this_tree_or_there_is_none(farm: Farm, path: str) -> None:
    reply = farm.get(path)
    if reply.status == 301:
        assert reply.location in {f"{farm.prefix}/{part}/foo/" for part in ("simple", "project")}
    else:
        assert (reply.status in {400, 404}, reply.location) == (True, ""), reply


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=requires_program(program(n))) for n in ("bucket-nginx", "bucket-caddy")],
)
def test_no_path_leads_out_of_the_folder_in_the_bucket(name: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with (
        recording_origin() as (bucket, asked),
        proxy(name, f"{bucket}/farm/copy", tmp_path) as address,
    ):
        assert get_raw(address, "/project/foo/")[0] == 200
        for path in (*_HOSTILE, "/a%0a/..%2f..%2f..%2fother/se%0acret"):
            get_raw(address, path)
    assert asked
    for path in asked:
        assert path.startswith("/farm/copy/")
        assert ".." not in path


def test_a_compressed_log_redirects_to_the_log(farm: Farm) -> None:
    location = farm.get("/logs/0000/0001/1.txt.gz").location
    assert location == f"{farm.prefix}/logs/0000/0001/1.txt"


def test_a_farm_url_with_a_path_is_served(farm: Farm) -> None:
    if farm.prefix:
        assert farm.get("").location == f"{farm.prefix}/"
    assert farm.get("/").text == "home"
    assert farm.get("/simple/").text == "all"
    assert farm.get("/nothing").text == "not here" or farm.server == "own"
    wheel = farm.get(f"/{WHEEL}")
    assert wheel.text == "a wheel"
    assert "immutable" in wheel.cache


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(n, marks=[requires_program(program(n)), *_slow_marks(n)])
        for n in (*SERVERS[:3], *BUCKET_NAMES)
    ],
)
@pytest.mark.parametrize("client", ["pip", "uv"])
def test_clients_install_from_below_a_path(
    server: str, client: str, tree: Path, tmp_path: Path
) -> None:
    work = Path(tempfile.mkdtemp(prefix="piwheels-server-"))
    work.chmod(0o755)
    options = ["install", "--target", str(tmp_path), "left"]
    command = (
        [str(Path(sys.executable).with_name("uv")), "pip", *options, "--python", sys.executable]
        if client == "uv"
        else [sys.executable, "-m", "pip", *options, "--disable-pip-version-check"]
    )
    environ = {key: value for key, value in os.environ.items() if key[:3] not in {"PIP", "UV_"}}
    environ |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "UV_NO_CACHE": "1"}
    with serving(server, tree, work, "http://localhost/wheels/") as address:
        done = subprocess.run(
            [*command, "--index-url", f"{address}wheels/simple/"],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=3 * WAIT_S,
        )
    shutil.rmtree(work, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "left.py").exists()
    assert (tmp_path / "right.py").exists()
