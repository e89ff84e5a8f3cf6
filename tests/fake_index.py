"""A Simple API index made of what a test puts into it, on loopback, with faults on demand."""

import hashlib
import html
import json
import threading
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


@dataclass(slots=True)
class FakeIndex:
    """The content and the faults of the index."""

    url: str = ""
    projects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)  # top-level keys of a page
    files: dict[str, bytes] = field(default_factory=dict)  # by path
    pages: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # raw: type, content
    faults: dict[str, int] = field(default_factory=dict)  # HTTP status by path; "" is any path
    headers: dict[str, str] = field(default_factory=dict)  # of pages
    #: (name, version, timestamp, action, serial), as PyPI's; None: there is no changelog.
    changelog: list[Any] | None = None
    last_serial: int | None = None  # of the changelog; None is that of its newest event
    listing_serial: int | None = None  # the last serial that the list of projects is sent with
    json: bool = True
    etags: bool = False
    modified: str = ""  # Last-Modified of pages, and what a 304 is given for
    clock_ahead_s: float = 0.0  # of this machine's
    slow_s: float = 0.0  # how long a page takes
    #: By path, after how many bytes of a file the connection stands still until `resume` is set.
    stalls: dict[str, int] = field(default_factory=dict)
    resume: threading.Event = field(default_factory=threading.Event)
    most_at_once: int = 0  # pages that were asked for at the same time
    answered: Counter[int] = field(default_factory=Counter)  # pages, by HTTP status
    busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def simple(self) -> str:
        """The address of the index."""
        return f"{self.url}simple/"

    def add(self, project: str, filename: str, content: bytes, **extra: Any) -> dict[str, Any]:
        """Add a file to a project; `extra` are further keys of its entry (PEP 691)."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = f"/files/{sha256[:8]}/{filename}"
        self.files[path] = content
        entry = {
            "filename": filename,
            "url": f"../../files/{sha256[:8]}/{filename}",
            "hashes": {"sha256": sha256},
            "size": len(content),
            "upload-time": "2026-01-28T18:14:54.428400Z",
            **extra,
        }
        self.projects.setdefault(project, []).append(entry)
        return entry

    def file_url(self, entry: dict[str, Any]) -> str:
        """The absolute address of a file."""
        return self.url + str(entry["url"]).removeprefix("../../")

    def add_event(self, name: str, action: str, serial: int, version: str | None = "1.0") -> None:
        """Add an event to the changelog."""
        self.changelog = [*(self.changelog or []), [name, version, 1_770_000_000, action, serial]]

    def _call(self, request: bytes) -> tuple[int, str, bytes]:
        """An XML-RPC call."""
        status = self.faults.get("/pypi") or self.faults.get("")
        if status is not None or self.changelog is None:
            return status or 405, "text/plain", b"a fault\n"
        if "/pypi" in self.pages:
            return 200, *self.pages["/pypi"]
        arguments, method = xmlrpc.client.loads(request)
        serials = [int(event[4]) for event in self.changelog if isinstance(event[4], int)]
        answer: Any = self.last_serial or max(serials, default=0)
        if method == "changelog_since_serial":
            answer = [event for event in self.changelog if event[4] > arguments[0]]
        text = xmlrpc.client.dumps((answer,), methodresponse=True, allow_none=True)
        return 200, "text/xml", text.encode()

    def _serve(self, path: str, headers: dict[str, str]) -> tuple[int, str, bytes, dict[str, str]]:
        """The answer to a GET, with its validators (RFC 9110, 8.8); 304 where they match."""
        with self.lock:
            self.busy += 1
            self.most_at_once = max(self.most_at_once, self.busy)
        time.sleep(self.slow_s)
        status, kind, content = self._answer(path, headers.get("Accept", ""))
        validators = {"Last-Modified": self.modified} if self.modified else {}
        if self.etags:
            validators["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        requested = headers.get("If-None-Match"), headers.get("If-Modified-Since")
        if set(requested) & set(validators.values()):
            status, content = 304, b""
        start = _range_start(headers.get("Range", ""))
        if status == 200 and start:
            validators["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = (206, content[start:]) if start < len(content) else (416, b"")
        with self.lock:
            self.busy -= 1
            self.answered[status] += 1
        return status, kind, content, validators

    def _answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        status = self.faults.get(path) or self.faults.get("")
        if status is not None:
            return status, "text/plain", b"a fault\n"
        if path in self.files:
            return 200, "application/octet-stream", self.files[path]
        project = path.removeprefix("/simple/").rstrip("/")
        if path == "/simple/" and project not in self.pages:
            return 200, *self._listing(accept)
        if project in self.pages:
            return 200, *self.pages[project]
        if project in self.projects:
            return 200, *self._page(project, accept)
        return 404, "text/plain", b"no such thing\n"

    def _serial(self, project: str) -> int:
        """That of the project's newest event, as a page has it that is not stale."""
        events = [event for event in self.changelog or [] if str(event[0]).lower() == project]
        return max((event[4] for event in events), default=42)

    def _listing(self, accept: str) -> tuple[str, bytes]:
        """The list of all projects; PyPI's JSON has serials, its mirrors' has none."""
        if not (self.json and JSON in accept):
            links = "".join(f'<a href="{name}/">{name}</a>\n' for name in self.projects)
            return f"{HTML}; charset=utf-8", f"<html><body>{links}</body></html>".encode()
        meta: dict[str, Any] = {"api-version": "1.1"}
        entries: list[dict[str, Any]] = [{"name": name} for name in self.projects]
        if self.listing_serial is not None:
            meta["_last-serial"] = self.listing_serial
            for entry in entries:
                entry["_last-serial"] = self._serial(entry["name"])
        return JSON, json.dumps({"meta": meta, "projects": entries}).encode()

    def _page(self, project: str, accept: str) -> tuple[str, bytes]:
        files = self.projects[project]
        if self.json and JSON in accept:
            page = {
                "meta": {"api-version": "1.1", "_last-serial": str(self._serial(project))},
                "name": project,
                "files": files,
                **self.extras.get(project, {}),
            }
            return JSON, json.dumps(page).encode()
        links = [
            f'<a href="{file["url"]}#sha256={file["hashes"].get("sha256", "")}" '
            f'data-requires-python="{html.escape(file.get("requires-python", ""))}">'
            f"{html.escape(file['filename'])}</a>"
            for file in files
        ]
        return f"{HTML}; charset=utf-8", f"<html><body>{''.join(links)}</body></html>".encode()


def _range_start(header: str) -> int:
    """Where the rest of a file begins that is asked for (RFC 9110, 14.1.2); 0 for anything else."""
    start = header.removeprefix("bytes=").removesuffix("-")
    return int(start) if header.startswith("bytes=") and start.isdecimal() else 0


@contextmanager
def fake_index() -> Iterator[FakeIndex]:
    """Serve a fake index while the context lasts."""
    index = FakeIndex()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path)
            index.requests.append((path, dict(self.headers)))
            status, kind, content, validators = index._serve(path, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in {**validators, **index.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                stall = index.stalls.get(path, len(content))
                self.wfile.write(content[:stall])
                index.resume.wait(timeout=None if stall < len(content) else 0)
                self.wfile.write(content[stall:])

        def do_HEAD(self) -> None:
            self.do_GET()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + index.clock_ahead_s)

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            index.requests.append((self.path, dict(self.headers)))
            status, kind, content = index._call(request)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that went away is what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.resume.set()
        server.shutdown()
        server.server_close()
        thread.join()
