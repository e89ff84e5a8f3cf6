"""Clients of a farm with the policy `missing` install from it and from the upstream."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piwheels.db import index_queries, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.index.index_publisher import write_pages
from piwheels.index_client.client import SimpleIndex
from piwheels.model import BuildRequest, UpstreamWheelPolicy, WheelFile
from piwheels.upstream.sync import add_projects, set_wheel_policy
from piwheels.webroot import Webroot
from piwheels.wheel.tags import compatibility_of
from tests.clients.conftest import install_wheel, make_wheel
from tests.clients.servers import serving
from tests.clients.test_install import install
from tests.db.scenario import RULES, TARGETS, complete_as_built
from tests.fake_index import FakeIndex, fake_index

_SOURCE = b"this cannot be built"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[FakeIndex]:
    """An upstream with a wheel of the newer of two releases."""
    with fake_index() as index:
        for version in ("1.0", "2.0"):
            index.add("demo", f"demo-{version}.tar.gz", _SOURCE + version.encode())
        wheel = make_wheel(tmp_path, "demo", "2.0")
        index.add("demo", wheel.name, wheel.read_bytes())
        yield index


@pytest.fixture
async def root(database: Database, upstream: FakeIndex, tmp_path: Path) -> Path:
    """The web root of a farm that built what is missing: everything that was queued."""
    webroot = Webroot(tmp_path / "root")
    await target_queries.add_target(database, TARGETS[1], RULES)
    await target_queries.recompute_jobs(database)
    missing = UpstreamWheelPolicy.MISSING
    async with SimpleIndex(upstream.simple) as index:
        await add_projects(
            database, index, [BuildRequest(requirement="demo", release_count=0)], RULES
        )
        await set_wheel_policy(
            database, index, "demo", missing, RULES, farm_policy=UpstreamWheelPolicy.BUILD
        )
    while job := await job_queue.claim(database, "builder", [TARGETS[1].name]):
        entry = install_wheel(webroot, make_wheel(tmp_path, job.project, job.version))
        file = WheelFile(
            filename=entry.filename,
            sha256=entry.sha256,
            size_bytes=entry.size_bytes,
            metadata_sha256=entry.metadata_sha256,
            compatibility=compatibility_of(entry.filename),
            requires_python="",
        )
        assert await complete_as_built(database, job, "builder", file)
    pages = await index_queries.index_pages(database, ["demo"])
    assert not write_pages(webroot.root, list(pages.items()))
    assert [file.version for file in pages["demo"].files] == ["1.0"]
    return webroot.root


@pytest.mark.parametrize("client", ["pip-newest", "uv"])
def test_what_was_not_built_is_installed_from_upstream_and_the_rest_from_the_farm(
    client: str, root: Path, upstream: FakeIndex, environments: dict[str, Path], tmp_path: Path
) -> None:
    # uv prefers extra indexes, and else takes a project from the first index alone.
    options = ["--index-strategy", "unsafe-best-match"] if client == "uv" else []
    with serving("own", root, tmp_path) as address:
        options += ["--extra-index-url", f"{address}simple/"]
        for requirement, version in (("demo", "2.0"), ("demo==1.0", "1.0")):
            folder = tmp_path / version
            done = install(client, environments, upstream.simple, folder, requirement, *options)
            assert done.returncode == 0, done.stdout + done.stderr
            assert (folder / "demo.py").read_text() == f"version = '{version}'\n"
    fetched = {path.rpartition("/")[2] for path, _ in upstream.requests if "/files/" in path}
    assert fetched == {"demo-2.0-py3-none-any.whl"}
    assert "demo-1.0-py3-none-any.whl" in (tmp_path / "own.log").read_text()
