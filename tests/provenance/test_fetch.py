"""What hostile servers send to `piw verify`: read within limits, refused in one line."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from piwheels.errors import UsageError
from piwheels.provenance import fetch
from piwheels.provenance.check import check_wheel
from piwheels.provenance.errors import NotVerifiedError, Problem
from piwheels.provenance.fetch import WebReader

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def answers() -> Iterator[tuple[str, dict[str, Answer]]]:
    """A server's address, and what it does for each path."""
    known: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known[self.path](self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", known
    server.shutdown()
    thread.join()
    server.server_close()


def send(content: bytes, status: int = 200, **headers: str) -> Answer:
    """An answer with this content, without its length."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return answer


def read(url: str, limit_bytes: int = 100) -> bytes | None:
    with WebReader() as reader:
        return reader.read(url, limit_bytes)


def test_a_file_up_to_the_limit_is_read(answers: tuple[str, dict[str, Answer]]) -> None:
    address, known = answers
    known["/"] = send(b"x" * 100)
    assert read(f"{address}/") == b"x" * 100


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_file_is_told_apart(answers: tuple[str, dict[str, Answer]], status: int) -> None:
    address, known = answers
    known["/"] = send(b"", status)
    assert read(f"{address}/") is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (send(b"x" * 101), "more than 100 bytes"),
        (send(b"", 500), "answered 500"),
        (send(b"", 302, Location="/"), "redirects"),
        (send(b"", 302, Location="file:///etc/passwd"), "protocol"),
        (send(b"", 302, Location="http://[/"), "cannot be read"),
        (send(b"xx", Content_Length="1000"), "cannot be read"),
    ],
)
def test_an_answer_that_is_no_file_is_one_line(
    answers: tuple[str, dict[str, Answer]], answer: Answer, words: str
) -> None:
    address, known = answers
    known["/"] = answer
    with pytest.raises(NotVerifiedError, match=words) as refused:
        read(f"{address}/")
    assert refused.value.problem is Problem.UNREADABLE
    assert str(refused.value).isprintable()


def test_a_compressed_answer_is_not_expanded(answers: tuple[str, dict[str, Answer]]) -> None:
    address, known = answers
    known["/"] = send(b"not gzip", Content_Encoding="gzip")
    assert read(f"{address}/") == b"not gzip"


def test_the_content_of_a_redirect_is_not_read(answers: tuple[str, dict[str, Answer]]) -> None:
    address, known = answers
    known["/"] = send(b"not gzip", 302, Location="/there", Content_Encoding="gzip")
    known["/there"] = send(b"found")
    assert read(f"{address}/") == b"found"


def test_an_answer_that_takes_too_long_ends(
    answers: tuple[str, dict[str, Answer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, known = answers
    known["/"] = send(b"x")
    monkeypatch.setattr(fetch, "_MAX_SMALL_S", -1.0)
    with pytest.raises(NotVerifiedError, match="was not sent within"):
        read(f"{address}/")


def test_no_message_has_the_password_of_a_url() -> None:
    for index in ("http://user:secret@127.0.0.1:1/", "http://user:secret@127.0.0.1:1/simple/"):
        with pytest.raises(NotVerifiedError) as refused:
            check_wheel("http://127.0.0.1:1/packages/a/b.whl", index, None)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("wheel", "index"),
    [("http://[/packages/a.whl", ""), ("a.whl", "http://["), ("a.whl", "ftp://example.org")],
)
def test_what_is_no_url_is_a_wrong_command(wheel: str, index: str) -> None:
    with pytest.raises(UsageError, match="is no URL"):
        check_wheel(wheel, index, None)
