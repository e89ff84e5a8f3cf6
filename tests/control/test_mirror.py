"""A master that is killed while it fetches a wheel of the upstream goes on with it."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from piwheels.model import BuildRequest
from piwheels.protocol import messages as m
from tests.control.conftest import Master, prepare_master
from tests.fake_index import FakeIndex, fake_index
from tests.timeouts import WAIT_S
from tests.wheel.factories import make_wheel

_STALL_BYTES = 300_000
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[FakeIndex]:
    """An upstream whose wheel is larger than what it sends before it stands still."""
    data = random.Random(1).randbytes(400_000)
    wheel = make_wheel(tmp_path, files={"demo/data": data}).read_bytes()
    with fake_index() as index:
        index.add("demo", "demo-1.0.tar.gz", b"sdist")
        entry = index.add("demo", WHEEL, wheel)
        index.stalls[f"/{index.file_url(entry).removeprefix(index.url)}"] = _STALL_BYTES
        yield index


@pytest.fixture
async def mirroring(tmp_path: Path, dsn: str, upstream: FakeIndex) -> AsyncIterator[Master]:
    master = await prepare_master(tmp_path, dsn, upstream)
    master.settings["upstream.wheels"] = "mirror"
    master.settings["upstream.mirror_min_free_disk_mb"] = 0
    yield master
    master.stop()
    await master.db.close()


@pytest.mark.slow
async def test_a_killed_master_goes_on_with_a_download(
    mirroring: Master, upstream: FakeIndex
) -> None:
    await mirroring.start()
    await mirroring.ask(m.Add(requests=(BuildRequest(requirement="demo"),)), m.AddReply)
    async with asyncio.timeout(WAIT_S):
        while not (partial := find_partial(mirroring)):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    mirroring.stop(signal.SIGKILL)
    there = partial.stat().st_size
    upstream.resume.set()
    await mirroring.start()
    await mirroring.wait_for_query("SELECT count(*) = 1 FROM files WHERE mirrored_from IS NOT NULL")
    asked = [headers.get("Range") for path, headers in upstream.requests if path.endswith(WHEEL)]
    assert asked == [None, f"bytes={there}-"]
    (entry,) = (item for item in upstream.projects["demo"] if item["filename"] == WHEEL)
    sha256 = entry["hashes"]["sha256"]
    await mirroring.wait_for_file(mirroring.folder / "www" / "simple" / "demo" / "index.html")
    assert sha256 in (mirroring.folder / "www/simple/demo/index.html").read_text()


def find_partial(master: Master) -> Path | None:
    """The incomplete file, once it has some bytes."""
    found = (master.folder / "spool" / "mirror").glob("*/*.part")
    return next((path for path in found if path.stat().st_size >= 1), None)
