"""Situation 24: an index, or the way to it, at fault."""

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from piwheels.index_client import client as client_module
from tests.causes.projects import setup_py
from tests.causes.spec import PROJECT, Expected, Situation, Variant
from tests.fake_index import FakeIndex

Change = Callable[[FakeIndex], None]

_PLAIN = setup_py("")
_HTML = ("text/html", b"<html><body><h1>Down for maintenance</h1></body></html>")


def _expect(failure_class: str) -> Expected:
    """The facts decide: no line of a log is better."""
    return Expected(failure_class=failure_class)


def _page_status(status: int, **headers: str) -> Change:
    """The page of a dependency answers with an HTTP status."""

    def change(index: FakeIndex) -> None:
        index.faults["/simple/setuptools/"] = status
        index.headers.update({name.replace("_", "-"): value for name, value in headers.items()})

    return change


def _file_path(index: FakeIndex, project: str) -> list[str]:
    """The paths of a project's files."""
    urls = [str(entry["url"]) for entry in index.projects[project]]
    return [url.removeprefix("../..") for url in urls]


def _file_status(project: str, status: int) -> Change:
    """The files of a project answer with an HTTP status."""

    def change(index: FakeIndex) -> None:
        for path in _file_path(index, project):
            index.faults[path] = status

    return change


def _damaged(project: str) -> Change:
    """The files of a project have other bytes than their page says."""

    def change(index: FakeIndex) -> None:
        for path in _file_path(index, project):
            index.files[path] = bytes(reversed(index.files[path]))

    return change


def _html_page(index: FakeIndex) -> None:
    index.pages["setuptools"] = _HTML


def _html_file(project: str) -> Change:
    def change(index: FakeIndex) -> None:
        for path in _file_path(index, project):
            index.files[path] = _HTML[1]

    return change


def _other_server(project: str, behave: Callable[[socket.socket], None] | None) -> Change:
    """The files of a project are on another server: one that is down, or that breaks off."""

    def change(index: FakeIndex) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        if behave is None:
            listener.close()
        else:
            threading.Thread(target=_serve, args=(listener, behave), daemon=True).start()
        for entry in index.projects[project]:
            entry["url"] = url + str(entry["url"]).removeprefix("../../")

    return change


def _serve(listener: socket.socket, behave: Callable[[socket.socket], None]) -> None:
    while True:
        client = listener.accept()[0]
        client.recv(65536)
        behave(client)


def _expired_certificate(index: FakeIndex) -> None:
    """The files of a project are on a server with a certificate that has expired."""
    certificate = Path(__file__).parent / "expired_certificate.pem"
    os.environ["SSL_CERT_FILE"] = str(certificate)  # its authority is in it, too
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    for entry in index.projects["setuptools"]:
        entry["url"] = f"https://127.0.0.1:{listener.getsockname()[1]}/{entry['filename']}"


def _accept(listener: ssl.SSLSocket) -> None:
    while True:
        with suppress(OSError):  # a client ends the handshake
            listener.accept()


def _stalled_file(index: FakeIndex) -> None:
    """The files of a project do not come to their end; nobody waits a minute for that here."""
    client_module._TIMEOUT = httpx.Timeout(2.0)
    _other_server("setuptools", _stall)(index)


def _stall(client: socket.socket) -> None:
    """Begin to answer, and keep the connection."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf of it")
    _STALLED.append(client)


_STALLED: list[socket.socket] = []


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _truncate(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf of it")
    client.close()


def _fault(name: str, failure_class: str, change: Change) -> Variant:
    return Variant(name=name, sdist=_PLAIN, index=change, expected=_expect(failure_class))


def _absent_and_faulty(index: FakeIndex) -> None:
    index.faults["/simple/helper/"] = 503


_INDEX = Situation(
    24,
    "index",
    (
        _fault("sdist-503", "index-fault", _file_status(PROJECT, 503)),
        _fault("sdist-gone", "file-gone", _file_status(PROJECT, 404)),
        _fault("sdist-damaged", "damaged-download", _damaged(PROJECT)),
        _fault("sdist-html", "damaged-download", _html_file(PROJECT)),
        _fault("page-503", "index-fault", _page_status(503)),
        _fault("page-503-retry-after", "index-fault", _page_status(503, Retry_After="7")),
        _fault("page-429", "index-fault", _page_status(429)),
        _fault("page-500", "index-fault", _page_status(500)),
        _fault("page-html", "index-fault", _html_page),
        _fault("file-503", "index-fault", _file_status("setuptools", 503)),
        _fault("file-gone", "file-gone", _file_status("setuptools", 404)),
        _fault("file-damaged", "damaged-download", _damaged("setuptools")),
        _fault("file-refused", "index-fault", _other_server("setuptools", None)),
        _fault("file-reset", "index-fault", _other_server("setuptools", _reset)),
        _fault("file-truncated", "index-fault", _other_server("setuptools", _truncate)),
        _fault("file-stalled", "index-fault", _stalled_file),
        _fault("file-expired-certificate", "index-fault", _expired_certificate),
        Variant(
            name="requirement-503",
            sdist=setup_py("", requires='"helper"'),
            index=_absent_and_faulty,
            expected=_expect("index-fault"),
        ),
    ),
)

SITUATIONS = (_INDEX,)
