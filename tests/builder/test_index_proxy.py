"""The index proxy that a build uses."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest

from piwheels.builder.file_cache import FileCache
from piwheels.builder.index_proxy import IndexProxy
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import FileKind
from tests.fake_index import JSON, FakeIndex, fake_index

WHEEL = "foo-1.0-py3-none-any.whl"


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    with fake_index() as index:
        yield index


@pytest.fixture
def farm() -> Iterator[FakeIndex]:
    with fake_index() as index:
        yield index


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", max_bytes=1 << 20, max_file_bytes=1 << 19)


@pytest.fixture
async def proxy(
    upstream: FakeIndex, farm: FakeIndex, cache: FileCache
) -> AsyncIterator[IndexProxy]:
    async with SimpleIndex(farm.simple) as ours, SimpleIndex(upstream.simple) as theirs:
        yield IndexProxy([ours, theirs], cache)


@asynccontextmanager
async def client_of(socket: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://index/") as client:
        yield client


@pytest.fixture
async def client(proxy: IndexProxy, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with proxy.serving(tmp_path / "s"), client_of(tmp_path / "s") as client:
        yield client


async def get_page(client: httpx.AsyncClient, project: str) -> dict[str, dict[str, object]]:
    answer = await client.get(f"/simple/{project}/", headers={"Accept": JSON})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON
    return {file["filename"]: file for file in answer.json()["files"]}


async def get_file(
    client: httpx.AsyncClient, project: str, file: dict[str, object]
) -> httpx.Response:
    return await client.get(httpx.URL(f"http://index/simple/{project}/").join(str(file["url"])))


async def test_a_file_is_proxied_and_recorded(
    client: httpx.AsyncClient, proxy: IndexProxy, upstream: FakeIndex
) -> None:
    extra = {"requires-python": ">=3.9", "yanked": "bad"}
    entry = upstream.add("foo", WHEEL, b"bytes", **extra)
    file = (await get_page(client, "foo"))[WHEEL]
    assert (file["requires-python"], file["yanked"]) == (">=3.9", "bad")
    assert file["upload-time"] == "2026-01-28T18:14:54.428400Z"
    answer = await get_file(client, "foo", file)
    assert (answer.status_code, answer.content) == (200, b"bytes")
    assert proxy.sent_files == (f"{entry['hashes']['sha256']} {WHEEL}",)
    await get_file(client, "foo", file)
    assert len(proxy.sent_files) == 1
    assert sum("/files/" in path for path, _ in upstream.requests) == 1
    assert proxy.last_error is None


async def test_both_indexes_are_merged_with_the_farm_first(
    client: httpx.AsyncClient, upstream: FakeIndex, farm: FakeIndex
) -> None:
    ours = farm.add("foo", WHEEL, b"the farm's")
    upstream.add("foo", WHEEL, b"upstream's")
    upstream.add("foo", "foo-2.0.tar.gz", b"newer")
    farm.add("foo", "foo-1.0-cp313-cp313-linux_aarch64.whl", b"built")
    files = await get_page(client, "foo")
    assert len(files) == 3
    assert files[WHEEL]["hashes"] == ours["hashes"]
    assert (await get_file(client, "foo", files[WHEEL])).content == b"the farm's"
    assert (await get_file(client, "foo", files["foo-2.0.tar.gz"])).content == b"newer"


async def test_an_unavailable_farm_index_is_ignored(
    client: httpx.AsyncClient, proxy: IndexProxy, upstream: FakeIndex, farm: FakeIndex
) -> None:
    farm.faults[""] = 503
    upstream.add("foo", WHEEL, b"bytes")
    assert list(await get_page(client, "foo")) == [WHEEL]
    assert proxy.last_error is None


async def test_an_unavailable_upstream_gives_502_and_is_remembered_until_it_returns(
    client: httpx.AsyncClient, proxy: IndexProxy, upstream: FakeIndex
) -> None:
    upstream.add("foo", WHEEL, b"bytes")
    upstream.faults[""] = 503
    answer = await client.get("/simple/foo/")
    assert answer.status_code == 502
    assert "answered 503" in answer.text
    assert "answered 503" in str(proxy.last_error)
    upstream.faults.clear()
    file = (await get_page(client, "foo"))[WHEEL]
    assert proxy.last_error is None
    upstream.faults[""] = 500
    assert (await get_file(client, "foo", file)).status_code == 502
    assert "answered 500" in str(proxy.last_error)
    upstream.faults.clear()
    assert (await get_file(client, "foo", file)).status_code == 200
    assert proxy.last_error is None


async def test_content_with_a_wrong_hash_is_never_served(
    client: httpx.AsyncClient, proxy: IndexProxy, upstream: FakeIndex
) -> None:
    upstream.add("foo", WHEEL, b"bytes")
    upstream.files = dict.fromkeys(upstream.files, b"evil!")
    file = (await get_page(client, "foo"))[WHEEL]
    assert (await get_file(client, "foo", file)).status_code == 502
    assert proxy.sent_files == ()


async def test_metadata_is_listed_if_its_hash_is_known(
    client: httpx.AsyncClient, proxy: IndexProxy, upstream: FakeIndex
) -> None:
    metadata = b"Metadata-Version: 2.1\n"
    sha256 = hashlib.sha256(metadata).hexdigest()
    upstream.add("foo", WHEEL, b"bytes", **{"core-metadata": {"sha256": sha256}})
    upstream.add("foo", "foo-2.0-py3-none-any.whl", b"more", **{"core-metadata": True})
    path = next(iter(upstream.files))
    upstream.files[f"{path}.metadata"] = metadata
    files = await get_page(client, "foo")
    assert files[WHEEL]["core-metadata"] == {"sha256": sha256}
    assert "core-metadata" not in files["foo-2.0-py3-none-any.whl"]
    answer = await get_file(client, "foo", {"url": f"{files[WHEEL]['url']}.metadata"})
    assert answer.content == metadata
    assert proxy.sent_files == (f"{sha256} {WHEEL}.metadata",)


async def test_a_page_is_html_for_clients_that_request_html(
    client: httpx.AsyncClient, upstream: FakeIndex, proxy: IndexProxy, tmp_path: Path
) -> None:
    hostile = 'foo-1.0+"><script>-py3-none-any.whl'
    upstream.add("foo", hostile, b"bytes", **{"requires-python": ">=3.9", "yanked": True})
    answer = await client.get("/simple/foo/", headers={"Accept": "text/html"})
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<script>" not in answer.text
    assert 'data-requires-python="&gt;=3.9" data-yanked=""' in answer.text


async def test_pages_of_the_proxy_are_read_by_the_index_client(
    proxy: IndexProxy, upstream: FakeIndex, tmp_path: Path
) -> None:
    upstream.add("foo", WHEEL, b"bytes", **{"requires-python": ">=3.9", "yanked": "no"})
    async with proxy.serving(tmp_path / "s"), SimpleIndex("http://index/simple/") as reader:
        await reader._client.aclose()
        reader._client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=f"{tmp_path}/s"))
        read = await reader.project("foo")
    assert read is not None
    (file,) = read.files
    assert (file.kind, file.requires_python, file.yanked) == (FileKind.WHEEL, ">=3.9", "no")


async def test_invalid_file_names_are_not_listed(
    client: httpx.AsyncClient, upstream: FakeIndex
) -> None:
    entry = upstream.add("foo", WHEEL, b"bytes")
    upstream.add("foo", "../../evil.whl", b"x")
    files = await get_page(client, "foo")
    assert [file["hashes"] for file in files.values()] == [entry["hashes"]]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/simple/",
        "/simple/nobody-has-this/",
        f"/files/{'0' * 64}/{WHEEL}",
        "/files/../../etc/passwd",
        "/files/%2e%2e%2f%2e%2e/passwd",
        "/simple/%00/",
        "/simple/%ff%fe/",
        "/simple/a%2fb/",
        "/simple/-/",
    ],
)
async def test_files_that_no_page_listed_are_not_found(
    client: httpx.AsyncClient, proxy: IndexProxy, path: str
) -> None:
    answer = await client.get(path, follow_redirects=True)
    assert answer.status_code in {400, 404}
    assert proxy.last_error is None


async def test_a_build_that_requests_too_many_pages_is_stopped(
    client: httpx.AsyncClient, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.builder.index_proxy._MOST_PAGES", 3)
    upstream.add("foo", WHEEL, b"bytes")
    await get_page(client, "foo")
    statuses = [(await client.get(f"/simple/p{n}/")).status_code for n in range(5)]
    assert statuses == [404] * 5
    assert len(upstream.requests) == 3
    await get_page(client, "foo")


async def test_a_build_that_requests_too_many_files_is_stopped(
    client: httpx.AsyncClient, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.builder.index_proxy._MOST_FILES", 3)
    for project in ("one", "two", "three"):
        for number in (1, 2):
            upstream.add(project, f"{project}-{number}-py3-none-any.whl", b"bytes")
    statuses = [
        (await client.get(f"/simple/{project}/")).status_code
        for project in ("one", "two", "three", "one")
    ]
    assert statuses == [200, 200, 404, 200]


async def test_other_http_methods_are_rejected(
    client: httpx.AsyncClient, upstream: FakeIndex
) -> None:
    upstream.add("foo", WHEEL, b"bytes")
    assert (await client.post("/simple/foo/", content=b"x" * 100_000)).status_code == 405
    assert (await client.head("/simple/foo/")).status_code == 200


async def test_another_spelling_of_a_name_redirects_to_the_normalized_one(
    client: httpx.AsyncClient, upstream: FakeIndex
) -> None:
    upstream.add("foo-bar", "foo_bar-1.0.tar.gz", b"x")
    answer = await client.get("/simple/Foo.Bar", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/simple/foo-bar/")


async def test_garbage_on_the_socket_does_not_affect_other_clients(
    proxy: IndexProxy, upstream: FakeIndex, tmp_path: Path
) -> None:
    upstream.add("foo", WHEEL, b"bytes")
    path = tmp_path / "s"
    async with proxy.serving(path), client_of(path) as client:
        for garbage in (b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 100_000):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(garbage)
            await reader.read(1000)
            writer.close()
        assert list(await get_page(client, "foo")) == [WHEEL]


async def test_a_socket_can_have_a_path_longer_than_a_socket_address(
    proxy: IndexProxy, tmp_path: Path
) -> None:
    folder = tmp_path / ("deep" * 50)
    folder.mkdir()
    async with proxy.serving(folder / "index.sock"):
        assert (folder / "index.sock").is_socket()


# --- the cache ---


async def test_the_least_recently_used_file_is_evicted(upstream: FakeIndex, tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=2500, max_file_bytes=2000)
    async with SimpleIndex(upstream.simple) as index:
        paths: list[Path] = []
        for number in range(4):
            content = bytes([number]) * 1000
            entry = upstream.add("foo", f"foo-{number}.tar.gz", content)
            path = await cache.get(index, upstream.file_url(entry), entry["hashes"]["sha256"])
            os.utime(path, (number, number))
            if number == 2:
                os.utime(paths[1], (99, 99))
            paths.append(path)
    assert [path.exists() for path in paths] == [False, True, False, True]


@pytest.mark.parametrize("hashes", [{}, {"md5": hashlib.md5(b"a wheel").hexdigest()}])
async def test_a_file_without_a_sha256_is_proxied(
    client: httpx.AsyncClient, proxy: IndexProxy, upstream: FakeIndex, hashes: dict[str, str]
) -> None:
    upstream.add("foo", WHEEL, b"a wheel", hashes=hashes)
    file = (await get_page(client, "foo"))[WHEEL]
    assert file["hashes"] == hashes
    assert (await get_file(client, "foo", file)).content == b"a wheel"
    assert proxy.sent_files == (f"{hashlib.sha256(b'a wheel').hexdigest()} {WHEEL}",)
    links = (await client.get("/simple/foo/", headers={"Accept": "text/html"})).text
    assert ("#md5=" in links) == bool(hashes)


async def test_a_file_with_a_wrong_md5_is_not_served(
    client: httpx.AsyncClient, proxy: IndexProxy, upstream: FakeIndex
) -> None:
    upstream.add("foo", WHEEL, b"a wheel", hashes={"md5": "0" * 32})
    answer = await get_file(client, "foo", (await get_page(client, "foo"))[WHEEL])
    assert answer.status_code == 502
    assert "has md5" in str(proxy.last_error)


async def test_files_that_came_after_the_day_or_without_a_time_are_not_shown(
    upstream: FakeIndex, cache: FileCache, tmp_path: Path
) -> None:
    upstream.add("foo", "foo-1.0.tar.gz", b"1", **{"upload-time": "2021-08-01T23:59:59Z"})
    upstream.add("foo", "foo-2.0.tar.gz", b"2", **{"upload-time": "2021-08-02T00:00:00Z"})
    upstream.add("foo", "foo-3.0.tar.gz", b"3", **{"upload-time": None})
    async with SimpleIndex(upstream.simple) as theirs:
        proxy = IndexProxy([theirs], cache, day=date(2021, 8, 1))
        async with proxy.serving(tmp_path / "s"), client_of(tmp_path / "s") as client:
            assert list(await get_page(client, "foo")) == ["foo-1.0.tar.gz"]
            assert proxy.last_error is None


async def test_only_the_inputs_of_an_earlier_build_are_shown(
    upstream: FakeIndex, cache: FileCache, tmp_path: Path
) -> None:
    upstream.add("foo", "foo-1.0.tar.gz", b"1")
    upstream.add("foo", "foo-2.0.tar.gz", b"2")
    upstream.add("bar", "bar-1.0.tar.gz", b"3")
    only = [f"{hashlib.sha256(b'1').hexdigest()} foo-1.0.tar.gz"]
    async with SimpleIndex(upstream.simple) as theirs:
        proxy = IndexProxy([theirs], cache, only=only)
        async with proxy.serving(tmp_path / "s"), client_of(tmp_path / "s") as client:
            assert list(await get_page(client, "foo")) == ["foo-1.0.tar.gz"]
            assert (await client.get("/simple/bar/")).status_code == 404
            assert proxy.last_error is None
