"""Clients of a farm with the policy `missing` or `mirror` install what the upstream has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piwheels.db import index_queries, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.index.index_publisher import write_pages
from piwheels.index_client.client import SimpleIndex
from piwheels.master.upstream_mirror import MirrorLimits, UpstreamMirror
from piwheels.model import BuildRequest, UpstreamWheelPolicy, WheelFile
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.upstream.sync import add_projects, set_wheel_policy
from piwheels.webroot import Webroot
from piwheels.wheel.tags import compatibility_of
from tests.clients.conftest import install_wheel, make_wheel
from tests.clients.servers import serving
from tests.clients.test_install import install
from tests.db.scenario import RULES, TARGETS, complete_as_built
from tests.fake_index import FakeIndex, fake_index
from tests.wheel.factories import make_wheel as make_sound_wheel

_SOURCE = b"this cannot be built"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[FakeIndex]:
    """An upstream with a wheel of the newer of two releases."""
    with fake_index() as index:
        for version in ("1.0", "2.0"):
            index.add("demo", f"demo-{version}.tar.gz", _SOURCE + version.encode())
        wheel = make_sound_wheel(tmp_path, version="2.0", files={"demo.py": b"version = '2.0'\n"})
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


async def ignore(text: str) -> None:
    """Record no event."""


@pytest.fixture
async def mirrored(database: Database, upstream: FakeIndex, tmp_path: Path) -> Path:
    """The web root of a farm with the policy `mirror`, which built nothing."""
    webroot = Webroot(tmp_path / "mirrored")
    webroot.root.mkdir()
    await target_queries.add_target(database, TARGETS[1], RULES)
    await target_queries.recompute_jobs(database)
    mirror = UpstreamWheelPolicy.MIRROR
    async with SimpleIndex(upstream.simple) as index:
        await add_projects(database, index, [BuildRequest(requirement="demo")], RULES)
        await set_wheel_policy(database, index, "demo", mirror, RULES, farm_policy=mirror)
        await UpstreamMirror(
            db=database,
            index=index,
            rules=RULES,
            publisher=WheelPublisher(database, webroot),
            folder=tmp_path / "spool",
            limits=MirrorLimits(max_wheel_bytes=1 << 20, min_free_bytes=0),
            record=ignore,
        ).mirror_due()
    pages = await index_queries.index_pages(database, ["demo"])
    assert not write_pages(webroot.root, list(pages.items()))
    return webroot.root


@pytest.mark.parametrize("client", ["pip-newest", "uv"])
def test_a_mirrored_wheel_is_installed_by_the_upstreams_hash(
    client: str, mirrored: Path, upstream: FakeIndex, environments: dict[str, Path], tmp_path: Path
) -> None:
    (wheel,) = (entry for entry in upstream.projects["demo"] if entry["filename"].endswith("whl"))
    locked = tmp_path / "requirements.txt"
    locked.write_text(f"demo==2.0 --hash=sha256:{wheel['hashes']['sha256']}\n")
    with serving("own", mirrored, tmp_path) as address:
        options = ["--require-hashes", "--no-deps", "-r", str(locked)]
        done = install(client, environments, f"{address}simple/", tmp_path / "t", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "t" / "demo.py").read_text() == "version = '2.0'\n"
