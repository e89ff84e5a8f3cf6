"""The client of a Simple API index."""

import asyncio
import contextlib
import gzip
import hashlib
import json
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest

from piwheels.append_file import AppendFile
from piwheels.errors import ConfigError, RejectedError, TransientError, UsageError
from piwheels.index_client import client
from piwheels.index_client.client import DigestError, FetchedFile, MissingFileError, SimpleIndex
from piwheels.index_client.page import FileKind
from piwheels.index_client.urls import validate_index_url
from piwheels.isolated_process import Limits
from piwheels.model import ProjectStatus
from tests.fake_index import JSON, FakeIndex, fake_index
from tests.timeouts import WAIT_S

SDIST = b"an sdist, or so it says"


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    with fake_index() as index:
        yield index


@pytest.fixture
async def index(upstream: FakeIndex) -> AsyncIterator[SimpleIndex]:
    async with SimpleIndex(upstream.simple) as index:
        yield index


async def test_a_page_is_read_as_json(upstream: FakeIndex, index: SimpleIndex) -> None:
    entry = upstream.add(
        "zope-interface",
        "zope.interface-6.0.tar.gz",
        SDIST,
        **{"requires-python": ">=3.8", "yanked": "broken"},
    )
    upstream.extras["zope-interface"] = {
        "name": "zope.interface",
        "project-status": {"status": "archived", "reason": "done"},
    }
    page = await index.project("Zope.Interface")
    assert page is not None
    assert (page.project, page.display_name, page.serial) == (
        "zope-interface",
        "zope.interface",
        42,
    )
    assert (page.status, page.status_reason) == (ProjectStatus.ARCHIVED, "done")
    (file,) = page.files
    assert file.url == upstream.file_url(entry)
    assert file.sha256 == hashlib.sha256(SDIST).hexdigest()
    assert (file.kind, file.version, file.size_bytes) == (FileKind.SDIST, "6.0", len(SDIST))
    assert file.requires_python == ">=3.8"
    assert file.yanked == "broken"
    assert file.uploaded_at == datetime(2026, 1, 28, 18, 14, 54, 428400, tzinfo=UTC)


async def test_a_page_is_read_as_html_where_there_is_no_json(
    upstream: FakeIndex, index: SimpleIndex
) -> None:
    upstream.json = False
    upstream.headers["X-PyPI-Last-Serial"] = "7"
    entry = upstream.add("foo", "foo-1.0-py3-none-any.whl", b"w", **{"requires-python": ">=3.9,<4"})
    page = await index.project("foo")
    assert page is not None
    assert page.serial == 7
    (file,) = page.files
    assert file.url == upstream.file_url(entry)
    assert (file.kind, file.version, file.requires_python) == (FileKind.WHEEL, "1.0", ">=3.9,<4")
    assert file.sha256 == entry["hashes"]["sha256"]


@pytest.mark.parametrize("moment", ["2020-05-01T10:00:00Z", "2020-05-01T10:00:00.000001Z"])
async def test_times_may_have_fractions(
    upstream: FakeIndex, index: SimpleIndex, moment: str
) -> None:
    upstream.add("foo", "foo-1.tar.gz", SDIST, **{"upload-time": moment})
    page = await index.project("foo")
    assert page is not None
    found = page.files[0].uploaded_at
    assert found is not None
    assert found.replace(microsecond=0) == datetime(2020, 5, 1, 10, tzinfo=UTC)


async def test_optional_fields_may_be_missing(upstream: FakeIndex, index: SimpleIndex) -> None:
    page = {
        "meta": {"api-version": "1.99"},
        "name": "foo",
        "project-status": {"status": "enchanted"},
        "files": [
            {"filename": "foo-1.0.zip", "url": "https://x.example/foo-1.0.zip#x", "hashes": {}},
            {"filename": "what is this?", "url": "x", "hashes": {"sha256": "no hex"}},
        ],
    }
    upstream.pages["foo"] = (JSON, json.dumps(page).encode())
    read = await index.project("foo")
    assert read is not None
    assert (read.serial, read.status) == (None, ProjectStatus.ACTIVE)
    first, second = read.files
    assert (first.kind, first.sha256, first.uploaded_at) == (FileKind.SDIST, "", None)
    assert (second.kind, second.version, second.sha256) == (FileKind.OTHER, "", "")


async def test_an_unknown_project_is_none(index: SimpleIndex) -> None:
    assert await index.project("no-such-thing") is None


@pytest.mark.parametrize("name", ["", "../admin", "a b", "-", "naïve"])
async def test_an_invalid_project_name_is_not_requested(
    upstream: FakeIndex, index: SimpleIndex, name: str
) -> None:
    with pytest.raises(RejectedError, match="not a valid project name"):
        await index.project(name)
    assert upstream.requests == []


async def test_an_unchanged_page_returns_the_known_one(
    upstream: FakeIndex, index: SimpleIndex
) -> None:
    upstream.etags = True
    upstream.add("foo", "foo-1.tar.gz", SDIST)
    first = await index.project("foo")
    assert first is not None
    assert await index.project("foo", known=first) is first
    upstream.add("foo", "foo-2.tar.gz", SDIST)
    second = await index.project("foo", known=first)
    assert second is not None
    assert len(second.files) == 2


@contextlib.asynccontextmanager
async def raw_server(*answers: bytes, trickle: bytes = b"") -> AsyncIterator[str]:
    """The address of a server that sends these responses to its connections, the last to all more.

    After each, it sends `trickle` for as long as the client reads.
    """
    served = iter(answers)
    left = answers[-1]
    connections: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(next(served, left))
            await writer.drain()
            while trickle and not writer.is_closing():
                writer.write(trickle)
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
        server.close()
        await asyncio.gather(*filter(None, connections))


_BEGINNINGS = {
    "content": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "redirect": b"HTTP/1.1 302 F\r\nLocation: /end\r\nX-Slow: ",
}


@pytest.mark.parametrize("part", sorted(_BEGINNINGS))
@pytest.mark.parametrize("call", ["project", "listing", "fetch", "resume", "tail", "post"])
async def test_no_exchange_lasts_longer_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, call: str
) -> None:
    monkeypatch.setattr(client, "_EXCHANGE_TIMEOUT_S", 0.2)
    async with (
        raw_server(_BEGINNINGS[part], trickle=b"a") as address,
        SimpleIndex(f"{address}simple/") as index,
        asyncio.timeout(WAIT_S),
    ):
        file, target = f"{address}f", tmp_path / "f"
        exchanges: dict[str, Callable[[], Awaitable[object]]] = {
            "project": lambda: index.project("demo"),
            "listing": lambda: index.listing(target),
            "fetch": lambda: index.fetch(file, "", target, limit_bytes=1 << 20),
            "resume": lambda: index.fetch_resumable(file, "0", target, limit_bytes=1 << 20),
            "tail": lambda: index.read_tail(file, 1 << 20),
            "post": lambda: index.post_raw(file, b"", media_type="text/xml"),
        }
        with pytest.raises(TransientError, match="was not complete after 0 s"):
            await exchanges[call]()


async def test_a_file_has_the_time_that_its_size_takes(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"x" * (3 << 20)
    entry = upstream.add("foo", "foo-1.tar.gz", content)
    monkeypatch.setattr(client, "_EXCHANGE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(client, "_MIN_BYTES_PER_S", 1 << 20)

    def pause(done: int, _: int | None) -> None:
        time.sleep(0.4 if done == len(content) else 0.0)

    sha256 = entry["hashes"]["sha256"]
    fetched = await index.fetch(
        upstream.file_url(entry), sha256, tmp_path / "f", limit_bytes=1 << 30, on_progress=pause
    )
    assert fetched.size_bytes == len(content)


def _peak_memory_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.parametrize("status", [b"302 F\r\nLocation: /end", b"200 OK"])
async def test_compressed_content_is_not_decoded_beyond_its_limit(
    monkeypatch: pytest.MonkeyPatch, status: bytes
) -> None:
    monkeypatch.setattr(client, "PAGE_LIMIT_BYTES", 1 << 20)
    packer = zlib.compressobj(wbits=31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()
    head = b"Content-Type: text/html\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
    length = f"Content-Length: {len(body)}\r\n\r\n".encode()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before = _peak_memory_bytes()
    async with (
        raw_server(b"HTTP/1.1 %b\r\n%b%b%b" % (status, head, length, body)) as address,
        SimpleIndex(f"{address}simple/") as index,
    ):
        with pytest.raises(RejectedError, match=r"larger than|maximum allowed redirects"):
            await index.project("demo")
    assert _peak_memory_bytes() - before < 100 << 20


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "x" * 5000])
async def test_an_unknown_coding_is_rejected(
    upstream: FakeIndex, index: SimpleIndex, coding: str
) -> None:
    content = gzip.compress(gzip.compress(b'{"files": []}'))
    upstream.headers["Content-Encoding"], upstream.pages["foo"] = coding, (JSON, content)
    with pytest.raises(RejectedError, match="unknown content coding") as caught:
        await index.project("foo")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_compressed_page_is_read_whole_or_rejected(
    upstream: FakeIndex, index: SimpleIndex, pack: Callable[[bytes], bytes]
) -> None:
    upstream.headers["Content-Encoding"] = "deflate" if pack is zlib.compress else "gzip"
    whole = pack(b'{"files": []}' + b" " * 1_000_000)
    upstream.pages["foo"] = (JSON, whole)
    assert await index.project("foo") is not None
    for damaged, why in ((whole[:-9], "not complete"), (b"no" + whole, "damaged")):
        upstream.pages["foo"] = (JSON, damaged)
        with pytest.raises(RejectedError, match=why):
            await index.project("foo")


async def test_credentials_do_not_follow_a_redirect_elsewhere(
    upstream: FakeIndex, tmp_path: Path
) -> None:
    entry = upstream.add("foo", "foo-1.tar.gz", SDIST)
    there = upstream.file_url(entry).replace("://", "://mallory:evil@")
    redirect = f"HTTP/1.1 302 F\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode()
    async with raw_server(redirect) as address:
        login = address.replace("://", "://farm:s3cret@")
        async with SimpleIndex(f"{login}simple/") as index:
            sha256 = entry["hashes"]["sha256"]
            await index.fetch(f"{address}f", sha256, tmp_path / "f", limit_bytes=999)
    assert "Authorization" not in upstream.requests[0][1]


async def test_a_redirect_to_another_scheme_is_rejected() -> None:
    redirect = b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(redirect) as address, SimpleIndex(f"{address}simple/") as index:
        with pytest.raises(RejectedError, match="/simple/demo/"):
            await index.project("demo")


async def test_whatever_a_parser_fails_with_is_a_rejection(
    upstream: FakeIndex, index: SimpleIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.add("foo", "foo-1.tar.gz", SDIST)
    for error in (RecursionError("deep"), MemoryError(), ArithmeticError("x"), KeyError("y")):
        monkeypatch.setattr(client, "parse_page", Mock(side_effect=error))
        with pytest.raises(RejectedError, match=r"/simple/foo/ is not a Simple API page"):
            await index.project("foo")


@pytest.mark.parametrize(
    ("requested", "wait_s"),
    [
        ("17", 17.0),
        ("99999999999", 3600.0),
        ("Wed, 25 Nov 2015 10:00:00 GMT", 0.0),
        ("Wed, 25 Nov 2095 10:00:00 GMT", 3600.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
    ],
)
async def test_retry_after_is_read(
    upstream: FakeIndex, index: SimpleIndex, requested: str, wait_s: float
) -> None:
    upstream.faults[""] = 429
    upstream.headers["Retry-After"] = requested
    with pytest.raises(TransientError) as caught:
        await index.project("demo")
    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_temporary_errors_are_transient(
    upstream: FakeIndex, index: SimpleIndex, status: int
) -> None:
    upstream.faults[""] = status
    with pytest.raises(TransientError, match=f"/simple/foo/ answered {status}"):
        await index.project("foo")


async def test_a_redirect_to_an_invalid_host_is_rejected(
    upstream: FakeIndex, index: SimpleIndex
) -> None:
    upstream.faults[""], upstream.headers["Location"] = 302, "http://xn--zzzzzzzzzzzzzz/"
    with pytest.raises(RejectedError, match="/simple/foo/ is not a usable URL"):
        await index.project("foo")


async def test_an_unreachable_index_is_transient() -> None:
    async with SimpleIndex("http://user:secret@127.0.0.1:1/simple") as index:
        with pytest.raises(TransientError) as caught:
            await index.project("foo")
    assert "http://127.0.0.1:1/simple/foo/ cannot be reached" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b'{"meta": {"api-version": "1.0"}, "name": "foo"}'),
        (JSON, b'{"meta": {"api-version": "1.0"}, "name": "foo", "files": null}'),
        (JSON, b"\xff\xfe\x00"),
        (JSON, b"[" * 100_000),
        ("image/png", b"\x89PNG"),
    ],
)
async def test_a_malformed_page_is_rejected_with_its_url(
    upstream: FakeIndex, index: SimpleIndex, kind: str, content: bytes
) -> None:
    upstream.pages["foo"] = (kind, content)
    with pytest.raises(RejectedError, match=r"/simple/foo/") as caught:
        await index.project("foo")
    assert "\n" not in str(caught.value)


async def test_a_large_page_is_parsed_in_another_process(
    upstream: FakeIndex, index: SimpleIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.add("foo", "foo-1.tar.gz", SDIST)
    read_here = await index.project("foo")
    monkeypatch.setattr(client, "_LARGE_PAGE_BYTES", 0)
    read_there = await index.project("foo")
    assert read_there is not None
    assert read_there == read_here
    upstream.pages["foo"] = (JSON, b"{")
    with pytest.raises(RejectedError, match=r"/simple/foo/ is not a Simple API page: not JSON"):
        await index.project("foo")
    monkeypatch.setattr(client, "_LARGE_PAGE_LIMITS", Limits(memory_bytes=1 << 20))
    with pytest.raises((TransientError, RejectedError)):
        await index.project("foo")


async def test_an_endless_page_is_rejected(
    upstream: FakeIndex, index: SimpleIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE_LIMIT_BYTES", 1000)
    upstream.headers["Content-Encoding"] = "gzip"
    upstream.pages["foo"] = (JSON, gzip.compress(b" " * 10_000_000))
    with pytest.raises(RejectedError, match="larger than 1000 bytes"):
        await index.project("foo")


def test_messages_show_urls_without_credentials() -> None:
    with pytest.raises(UsageError) as caught:
        validate_index_url("ftp://user:secret@index.example.org/simple/")
    assert "ftp://index.example.org/simple/" in str(caught.value)


async def test_credentials_are_sent_only_to_the_index(upstream: FakeIndex, tmp_path: Path) -> None:
    entry = upstream.add("foo", "foo-1.tar.gz", SDIST)
    with_login = upstream.simple.replace("http://", "http://farm:s3cret@")
    async with SimpleIndex(with_login) as index:
        assert "s3cret" not in index.url
        page = await index.project("foo")
        assert page is not None
        assert page.files[0].url == upstream.file_url(entry)
        with fake_index() as elsewhere:
            other = elsewhere.add("foo", "foo-1.tar.gz", SDIST)
            address, sha256 = elsewhere.file_url(other), other["hashes"]["sha256"]
            await index.fetch(address, sha256, tmp_path / "f", limit_bytes=99)
            assert "Authorization" not in elsewhere.requests[0][1]
    assert upstream.requests[0][1]["Authorization"].startswith("Basic ")


# --- files ---


async def test_a_file_is_fetched_and_verified(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4000
    entry = upstream.add("foo", "foo-1.tar.gz", content)
    seen: list[tuple[int, int | None]] = []
    sha256 = entry["hashes"]["sha256"]
    fetched = await index.fetch(
        upstream.file_url(entry),
        sha256,
        tmp_path / "f",
        limit_bytes=len(content),
        on_progress=lambda done, whole: seen.append((done, whole)),
    )
    assert fetched == FetchedFile(size_bytes=len(content), sha256=sha256)
    assert (tmp_path / "f").read_bytes() == content
    assert seen[-1] == (len(content), len(content))


@pytest.mark.parametrize("step", ["write", "sync"])
async def test_a_slow_disk_delays_nothing_else(
    upstream: FakeIndex,
    index: SimpleIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    entry = upstream.add("foo", "foo-1.tar.gz", SDIST)
    began, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    unslowed = getattr(AppendFile, step)

    def slowed(*arguments: object) -> None:
        began.set()
        assert goes_on.wait(10)
        unslowed(*arguments)  # fails if the file was closed meanwhile
        ended.set()

    monkeypatch.setattr(AppendFile, step, slowed)
    address, sha256 = upstream.file_url(entry), entry["hashes"]["sha256"]
    task = asyncio.ensure_future(index.fetch(address, sha256, tmp_path / "f", limit_bytes=999))
    await asyncio.to_thread(began.wait, WAIT_S)
    assert not task.done()
    task.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert list(tmp_path.iterdir()) == []


async def test_an_archive_declared_as_an_encoding_stays_an_archive(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path
) -> None:
    content = gzip.compress(b"tar")
    entry = upstream.add("foo", "foo-1.tar.gz", content)
    upstream.headers["Content-Encoding"] = "gzip"
    sha256 = entry["hashes"]["sha256"]
    await index.fetch(upstream.file_url(entry), sha256, tmp_path / "f", limit_bytes=999)
    assert (tmp_path / "f").read_bytes() == content


async def test_wrong_content_leaves_no_file(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path
) -> None:
    entry = upstream.add("foo", "foo-1.tar.gz", SDIST)
    with pytest.raises(DigestError, match=r"foo-1\.tar\.gz has sha256"):
        await index.fetch(upstream.file_url(entry), "0" * 64, tmp_path / "f", limit_bytes=999)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512", "blake2b"])
async def test_a_file_is_verified_by_any_hash(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path, algorithm: str
) -> None:
    digest = f"{algorithm}={hashlib.new(algorithm, SDIST).hexdigest()}"
    address = upstream.file_url(upstream.add("foo", "foo-1.tar.gz", SDIST))
    fetched = await index.fetch(address, "", tmp_path / "f", digest=digest, limit_bytes=999)
    assert fetched.sha256 == hashlib.sha256(SDIST).hexdigest()
    wrong = f"{algorithm}={hashlib.new(algorithm, b'other').hexdigest()}"
    with pytest.raises(DigestError, match=rf"has {algorithm} \w+, the index lists"):
        await index.fetch(address, "", tmp_path / "g", digest=wrong, limit_bytes=999)


async def test_a_file_without_a_hash_is_verified_by_its_size(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path
) -> None:
    address = upstream.file_url(upstream.add("foo", "foo-1.tar.gz", SDIST))
    fetched = await index.fetch(address, "", tmp_path / "f", limit_bytes=999)
    assert fetched.sha256 == hashlib.sha256(SDIST).hexdigest()
    with pytest.raises(DigestError, match="the index lists 7"):
        await index.fetch(address, "", tmp_path / "g", size_bytes=7, limit_bytes=999)


async def test_a_file_over_the_limit_is_rejected(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path
) -> None:
    entry = upstream.add("foo", "foo-1.tar.gz", SDIST)
    sha256 = entry["hashes"]["sha256"]
    with pytest.raises(RejectedError, match="larger than 5 bytes"):
        await index.fetch(upstream.file_url(entry), sha256, tmp_path / "f", limit_bytes=5)
    assert list(tmp_path.iterdir()) == []


async def test_errors_of_files_are_distinguished(
    upstream: FakeIndex, index: SimpleIndex, tmp_path: Path
) -> None:
    async def fetch(url: str) -> None:
        await index.fetch(url, "0" * 64, tmp_path / "f", limit_bytes=9)

    with pytest.raises(MissingFileError):
        await fetch(f"{upstream.url}files/gone")
    upstream.faults[""] = 403
    with pytest.raises(RejectedError, match="403"):
        await fetch(f"{upstream.url}files/gone")
    upstream.faults[""] = 503
    with pytest.raises(TransientError):
        await fetch(f"{upstream.url}files/gone")
    for hostile in ("file:///etc/passwd", "http://x:port/", "", "gopher://x/"):
        with pytest.raises(RejectedError, match="not a usable URL"):
            await fetch(hostile)


@pytest.mark.parametrize("url", ["file:///srv/simple", "simple", "", "http://", "http://x:port/"])
def test_an_invalid_index_url_is_rejected(url: str) -> None:
    with pytest.raises(ConfigError, match="index"):
        SimpleIndex(url)
