"""Proxies in front of a bucket: what they keep, and what they serve when the bucket is dead."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.clients.servers import copied_into_bucket, program, proxy
from tests.requires import requires_program
from tests.timeouts import WAIT_S

pytestmark = pytest.mark.slow

JSON = "application/vnd.pypi.simple.v1+json"
KEEPING = [
    pytest.param(name, marks=requires_program(program(name)))
    for name in ("bucket-nginx", "bucket-worker")
]


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder that a web server of any account reads."""
    with tempfile.TemporaryDirectory(prefix="piwheels-server-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("name", KEEPING)
def test_pages_and_wheels_are_served_while_the_bucket_is_dead(
    name: str, tree: Path, work: Path
) -> None:
    """Both variants of a page, from what the proxy kept."""
    with ExitStack() as stack:
        storage = ExitStack()
        bucket = storage.enter_context(copied_into_bucket(tree, work))
        address = stack.enter_context(proxy(name, bucket, work))
        client = stack.enter_context(httpx.Client(base_url=address, timeout=WAIT_S))
        before = {
            accept: client.get("simple/left/", headers={"Accept": accept})
            for accept in (JSON, "text/html")
        }
        wheel = str(before[JSON].url.join(before[JSON].json()["files"][0]["url"]))
        content = client.get(wheel).content
        _await_kept(client, wheel)
        storage.close()
        for accept, page in before.items():
            again = client.get("simple/left/", headers={"Accept": accept})
            assert (again.status_code, again.content) == (200, page.content)
            assert again.headers["content-type"] == page.headers["content-type"]
        assert client.get(wheel).content == content
        assert client.get("project/unseen/").status_code in {502, 503, 504}


def _await_kept(client: httpx.Client, wheel: str) -> None:
    """Wait until what was asked for is written to the cache, which follows the response."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        client.get(wheel)
        time.sleep(0.1)


def test_a_page_that_is_older_than_its_lifetime_is_served_while_the_bucket_is_dead(
    tree: Path, work: Path
) -> None:
    with ExitStack() as stack:
        storage = ExitStack()
        bucket = storage.enter_context(copied_into_bucket(tree, work))
        address = stack.enter_context(proxy("bucket-nginx", bucket, work))
        client = stack.enter_context(httpx.Client(base_url=address, timeout=WAIT_S))
        page = client.get("simple/left/", headers={"Accept": JSON})
        storage.close()
        for kept in (work / "cache").rglob("*"):
            if kept.is_file():
                _expire(kept)
        again = client.get("simple/left/", headers={"Accept": JSON})
        assert (again.status_code, again.content) == (200, page.content)


def _expire(kept: Path) -> None:
    """Let an object of nginx's cache be out of date: its second field is the time until then."""
    content = bytearray(kept.read_bytes())
    content[8:16] = int(time.time() - 3600).to_bytes(8, "little")
    kept.write_bytes(content)
