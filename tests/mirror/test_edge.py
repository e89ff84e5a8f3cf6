"""An edge in front of a farm's site: it serves what was asked for also when the farm is dead."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from piwheels.config_templates import Tls
from piwheels.config_templates.mirror import render_edge
from piwheels.errors import ConfigError
from piwheels.media_types import SIMPLE_HTML, SIMPLE_JSON
from tests.clients.conftest import environments, tree
from tests.clients.servers import get_raw, nginx_serving, recording_origin, serving
from tests.clients.test_install import install
from tests.requires import requires_program

__all__ = ["environments", "tree"]

_VALID_UNTIL_OFFSET = 8

pytestmark = [pytest.mark.farm, requires_program("nginx")]


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder that nginx's account can read."""
    folder = Path(tempfile.mkdtemp(prefix="piwheels-edge-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def edge_of(origin: str, work: Path) -> Iterator[str]:
    """An nginx with the printed configuration; gives its address."""
    (work / "edge").mkdir()

    def site(port: int) -> str:
        return render_edge(
            origin=origin,
            server_name="_",
            port=port,
            cache=work / "cache",
            size="50m",
            access_log=work / "edge.log",
        )

    with nginx_serving(site, work / "edge") as address:
        yield address


def get(address: str, path: str, accept: str = "*/*", encoding: str = "gzip") -> httpx.Response:
    return httpx.get(f"{address}{path}", headers={"Accept": accept, "Accept-Encoding": encoding})


def test_an_edge_serves_both_variants_and_files_when_the_farm_is_dead(
    tree: Path, environments: dict[str, Path], work: Path, tmp_path: Path
) -> None:
    (work / "origin").mkdir()
    (wheel,) = tree.glob("packages/*/*/left-1.0-py3-none-any.whl")
    path = str(wheel.relative_to(tree))

    def installs(address: str, what: str) -> None:
        for client in ("pip-newest", "uv"):
            target = tmp_path / f"{what}-{client}"
            done = install(client, environments, f"{address}simple/", target, "left")
            assert done.returncode == 0, done.stdout + done.stderr
            assert (target / "right.py").read_text() == "version = '1.0'\n"

    with contextlib.ExitStack() as stack:
        with serving("nginx", tree, work / "origin") as origin:
            address = stack.enter_context(edge_of(origin.rstrip("/"), work))
            installs(address, "alive")
            direct = {
                (accept, encoding): get(origin, "simple/left/", accept, encoding)
                for accept in (SIMPLE_JSON, SIMPLE_HTML)
                for encoding in ("gzip", "identity")
            }
            for how, expected in direct.items():
                check_same(get(address, "simple/left/", *how), expected)
            part = httpx.get(f"{address}{path}", headers={"Range": "bytes=2-9"})
            assert (part.status_code, part.content) == (206, wheel.read_bytes()[2:10])
            assert get(address, "simple/none/").status_code == 404
            assert get(address, "simple/left").headers["Location"].endswith("/simple/left/")
            assert httpx.post(f"{address}simple/").status_code == 403
        # The farm is dead, and what was kept is old.
        for entry in (work / "cache").rglob("*"):
            if entry.is_file():
                set_expired(entry)
        with pytest.raises(httpx.ConnectError):
            get(origin, "simple/left/")
        for how, expected in direct.items():
            check_same(get(address, "simple/left/", *how), expected)
        assert get(address, path).content == wheel.read_bytes()
        assert get(address, "simple/right/", "text/html").status_code == 502, "nobody asked for it"
        installs(address, "dead")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/simple/Foo/", "/simple/Foo/"),
        ("//134744072/..%2fsimple/Foo/", "/simple/Foo/"),
        ("/x/%2e%2e/simple//Foo/", "/simple/Foo/"),
        ("/x%0ay/..%2fsimple/a%0ab/", "/simple/a%0Ab/"),
        ("/find.html%3fq=x", "/find.html%3Fq=x"),
        ("/find.html?q=%2f..//x", "/find.html?q=%2f..//x"),
        ("/a%20b%25%23", "/a%20b%25%23"),
    ],
)
def test_an_edge_asks_the_farm_for_the_path_that_it_keeps_the_answer_for(
    work: Path, asked: str, sent: str
) -> None:
    with recording_origin() as (origin, paths), edge_of(origin, work) as address:
        assert get_raw(address, asked) == (200, sent)
        assert get_raw(address, sent) == (200, sent)
        assert paths == [sent], "one entry of the cache"


def test_a_question_mark_in_a_name_and_a_query_are_kept_separately(work: Path) -> None:
    with recording_origin() as (origin, _), edge_of(origin, work) as address:
        for path in ("/find.html%3Fq=x", "/find.html?q=x"):
            assert get_raw(address, path) == (200, path)


def set_expired(entry: Path) -> None:
    """Let an entry of nginx's cache end ten seconds ago: its second word is when, in UNIX time."""
    with entry.open("r+b") as file:
        file.seek(_VALID_UNTIL_OFFSET)
        file.write(int(time.time() - 10).to_bytes(8, "little"))


def check_same(found: httpx.Response, expected: httpx.Response) -> None:
    """The edge answers as the farm does."""
    assert found.status_code == expected.status_code == 200
    assert found.content == expected.content
    for name in ("Content-Type", "Content-Encoding", "Cache-Control", "Content-Security-Policy"):
        assert found.headers.get(name) == expected.headers.get(name), name
    assert "Accept" in found.headers["Vary"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"origin": "http://h/path"}, "no site"),
        ({"origin": "ftp://h"}, "no site"),
        ({"origin": "http://h;"}, "no site"),
        ({"size": "50"}, "no size"),
        ({"tls": Tls()}, "gets no certificate by itself"),
    ],
)
def test_what_cannot_be_an_edge_is_one_line(changes: dict[str, object], error: str) -> None:
    options = {"origin": "http://h", "server_name": "_", "port": 80, "cache": Path("/c")}
    options |= {"size": "1g", "access_log": Path("/l"), **changes}
    with pytest.raises(ConfigError, match=error):
        render_edge(**options)  # type: ignore[arg-type]


def test_an_edge_of_a_site_with_tls_checks_its_certificate() -> None:
    text = render_edge(
        origin="https://wheels.example.org:8443",
        server_name="edge.example.org",
        port=443,
        cache=Path("/var/cache/nginx/piwheels"),
        size="50g",
        access_log=Path("/var/log/nginx/edge.log"),
        tls=Tls(Path("/etc/fullchain.pem"), Path("/etc/privkey.pem")),
    )
    for line in (
        "proxy_ssl_verify on;",
        "proxy_ssl_name wheels.example.org;",
        "proxy_set_header Host wheels.example.org:8443;",
        "return 301 https://$host$request_uri;",
        'ssl_certificate "/etc/fullchain.pem";',
    ):
        assert line in text
