"""Wheels of the upstream are published here as they are (policy `mirror`)."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from piwheels.db import index_queries, job_queue, mirrored_wheels, status_queries
from piwheels.index.simple_pages import render_project
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page_parser import parse_page
from piwheels.master.upstream_mirror import MirrorLimits, UpstreamMirror
from piwheels.model import IndexEntry, UpstreamWheelPolicy
from piwheels.release_status import StatusContext, release_statuses
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.upstream.sync import set_wheel_policy
from piwheels.webroot import Webroot
from tests.db.scenario import RULES
from tests.fake_index import FakeIndex
from tests.timeouts import WAIT_S
from tests.upstream.conftest import QUICK_POLL, SyncHarness
from tests.wheel.factories import make_wheel

MIRROR = replace(QUICK_POLL, wheels=UpstreamWheelPolicy.MIRROR)
PURE = "demo-1.0-py3-none-any.whl"
NATIVE = "demo-1.0-cp311-abi3-manylinux_2_17_aarch64.whl"
ATTESTATIONS = "https://upstream.example/integrity/demo/1.0/provenance"
LIMITS = MirrorLimits(
    max_wheel_bytes=1 << 20, min_free_bytes=0, min_interval_s=0.02, first_delay_s=0.01
)


@dataclass
class MirrorHarness:
    """A farm that mirrors, and its web root."""

    farm: SyncHarness
    upstream: FakeIndex
    webroot: Webroot
    folder: Path

    async def mirror(self, limits: MirrorLimits = LIMITS) -> None:
        """Look once at everything that is due."""
        async with SimpleIndex(self.upstream.simple) as index:
            await self._service(index, limits).mirror_due()

    def _service(self, index: SimpleIndex, limits: MirrorLimits) -> UpstreamMirror:
        db = self.farm.db

        async def record(text: str) -> None:
            await db.execute("INSERT INTO events (who, text) VALUES ('m', %(t)s)", {"t": text})

        return UpstreamMirror(
            db=db,
            index=index,
            rules=RULES,
            publisher=WheelPublisher(db, self.webroot),
            folder=self.folder,
            limits=limits,
            record=record,
        )

    async def listed(self) -> list[IndexEntry]:
        """What the index page here lists."""
        pages = await index_queries.index_pages(self.farm.db, ["demo"])
        return list(pages["demo"].files) if "demo" in pages else []

    async def names(self) -> list[str]:
        return [file.filename for file in await self.listed()]

    async def explained(self) -> str:
        """What `piw explain` says of the release for the target."""
        facts = await status_queries.project_status(self.farm.db, "demo", ["1.0"])
        assert facts is not None
        found = release_statuses(
            facts, facts.releases[0], StatusContext(served_targets=frozenset())
        )
        return " ".join(status.as_text for status in found.targets.values())

    async def due_now(self) -> None:
        """What waits for another attempt is due."""
        await self.farm.db.execute("UPDATE wheels_to_mirror SET next_check_at = now()")

    @asynccontextmanager
    async def checked(self) -> AsyncIterator[None]:
        """Change the page of the upstream; it has been checked afterwards."""
        yield
        async with self.farm.running(MIRROR):
            await self.farm.wait_for_checks()


def make_harness(farm: SyncHarness, upstream: FakeIndex, folder: Path) -> MirrorHarness:
    (folder / "root").mkdir()
    return MirrorHarness(farm, upstream, Webroot(folder / "root"), folder / "spool")


@pytest.fixture
async def mirror(farm: SyncHarness, upstream: FakeIndex, tmp_path: Path) -> MirrorHarness:
    """A farm that follows a release with an sdist and a wheel, and has not mirrored it yet."""
    upstream.add("demo", "demo-1.0.tar.gz", b"sdist")
    add_wheel(upstream, tmp_path, provenance=ATTESTATIONS)
    harness = make_harness(farm, upstream, tmp_path)
    assert await farm.add("demo") == [""]
    async with harness.checked():
        pass
    return harness


def add_wheel(
    upstream: FakeIndex, folder: Path, tags: str = "py3-none-any", **extra: Any
) -> dict[str, Any]:
    """Add a wheel of demo 1.0 to the upstream; returns its entry."""
    path = make_wheel(folder, tags=tags)
    times = {"upload-time": "2026-02-03T04:05:06.000000Z"}
    return upstream.add("demo", path.name, path.read_bytes(), **times, **extra)


def entry_of(upstream: FakeIndex, filename: str = PURE) -> dict[str, Any]:
    return next(entry for entry in upstream.projects["demo"] if entry["filename"] == filename)


async def test_the_upstream_wheel_is_published_with_its_name_and_hash(
    mirror: MirrorHarness, upstream: FakeIndex
) -> None:
    assert await mirror.farm.queue() == []
    assert (
        "it is to be mirrored here; that is the policy mirror, set for the farm"
        in await mirror.explained()
    )
    await mirror.mirror()
    (file,) = await mirror.listed()
    entry = entry_of(upstream)
    assert (file.filename, file.sha256) == (PURE, entry["hashes"]["sha256"])
    content = mirror.webroot.wheel_path(file.sha256, PURE).read_bytes()
    assert hashlib.sha256(content).hexdigest() == file.sha256
    assert f"{file.released_at:%Y-%m-%d}" == "2026-02-03", "when it was uploaded to the upstream"
    assert "mirrored from the upstream index, is published" in await mirror.explained()
    assert not list(mirror.folder.iterdir()), "nothing is left in the spool"
    assert not await mirror.farm.db.value("SELECT has_provenance FROM files"), (
        "no statement of ours"
    )


async def test_attestations_of_the_upstream_are_linked_for_mirrored_wheels_alone(
    mirror: MirrorHarness,
) -> None:
    await mirror.mirror()
    page = (await index_queries.index_pages(mirror.farm.db, ["demo"]))["demo"]
    rendered = render_project(page)
    assert f'data-provenance="{ATTESTATIONS}"'.encode() in rendered.html
    for kind, content in (("text/html", rendered.html), ("application/json", rendered.json)):
        parsed = parse_page("demo", "https://farm/", content, {"Content-Type": kind})
        assert [file.attestations_url for file in parsed.files] == [ATTESTATIONS]
    await mirror.farm.db.execute("UPDATE files SET attestations_url = ''")
    page = (await index_queries.index_pages(mirror.farm.db, ["demo"]))["demo"]
    rendered = render_project(page)
    assert b"provenance" not in rendered.html + rendered.json


async def test_a_wheel_that_is_listed_while_the_service_waits_is_mirrored_at_once(
    mirror: MirrorHarness, upstream: FakeIndex, tmp_path: Path
) -> None:
    hour = replace(LIMITS, min_interval_s=3600.0, max_interval_s=3600.0)

    async def mirrored(*names: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while set(await mirror.names()) != set(names):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)

    async with SimpleIndex(upstream.simple) as index:
        running = asyncio.create_task(mirror._service(index, hour).run())
        await mirrored(PURE)
        async with mirror.checked():
            add_wheel(upstream, tmp_path, "cp311-abi3-manylinux_2_17_aarch64")
        await mirrored(PURE, NATIVE)
        running.cancel()
        await asyncio.wait({running})


async def test_the_service_waits_until_the_next_wheel_is_due(mirror: MirrorHarness) -> None:
    db = mirror.farm.db
    assert (await mirrored_wheels.next_due_s(db) or 0.0) <= 0.0
    await db.execute("UPDATE wheels_to_mirror SET next_check_at = now() + interval '1 minute'")
    assert 50.0 < (await mirrored_wheels.next_due_s(db) or 0.0) <= 60.0
    await db.execute("UPDATE wheels_to_mirror SET refused = true")
    assert await mirrored_wheels.next_due_s(db) is None


@pytest.mark.parametrize("change", ["yanked", "removed", "replaced"])
async def test_a_mirrored_wheel_follows_the_upstream(
    mirror: MirrorHarness, upstream: FakeIndex, tmp_path: Path, change: str
) -> None:
    await mirror.mirror()
    entry = entry_of(upstream)
    original = dict(entry)
    await mirror.farm.db.execute("TRUNCATE page_queue, page_invalidations")
    async with mirror.checked():
        match change:
            case "yanked":
                entry["yanked"] = "it is broken"
            case "removed":
                upstream.projects["demo"].remove(entry)
            case "replaced":
                entry["hashes"] = {"sha256": "0" * 64}
    assert await mirror.farm.db.value(
        "SELECT true FROM page_invalidations WHERE page_kind = 'simple' AND page_key = 'demo'"
    ), "installers see it"
    yanked = [file.yanked for file in await mirror.listed()]
    assert yanked == (["it is broken"] if change == "yanked" else [])
    is_built = change != "replaced"  # the upstream has a wheel, which installers take from there
    assert await mirror.farm.queue() == ([("demo", "1.0")] if is_built else [])
    await mirror.mirror()
    if change == "replaced":
        assert "its name stands for another file here" in await mirror.explained()
    assert await mirror.farm.db.value("SELECT count(*) FROM files") == 1, "nothing is deleted"
    async with mirror.checked():
        upstream.projects["demo"][-1:] = [original] if change != "removed" else [entry]
        upstream.projects["demo"].insert(0, upstream.add("demo", "demo-1.0.tar.gz", b"sdist"))
    assert await mirror.names() == [PURE]
    assert [file.yanked for file in await mirror.listed()] == [None]
    assert await mirror.farm.queue() == []


async def test_a_quarantined_project_keeps_its_mirrored_wheels(
    mirror: MirrorHarness, upstream: FakeIndex
) -> None:
    await mirror.mirror()
    async with mirror.checked():
        upstream.extras["demo"] = {"files": [], "project-status": {"status": "quarantined"}}
    assert await mirror.farm.listed() == set()
    async with mirror.checked():
        del upstream.extras["demo"]
    assert await mirror.farm.listed() == {"1.0"}


async def test_a_wheel_of_ours_keeps_its_name(mirror: MirrorHarness) -> None:
    await mirror.farm.db.execute(
        "INSERT INTO reserved_filenames VALUES (%(name)s, 'other')", {"name": PURE}
    )
    await mirror.mirror()
    assert await mirror.listed() == []
    told = await mirror.explained()
    assert "is not mirrored here: its name stands for another file here, which stays" in told
    assert not [path for path, _ in mirror.upstream.requests if path.startswith("/files/")]


async def test_a_hostile_wheel_is_refused_with_its_reason(
    mirror: MirrorHarness, upstream: FakeIndex
) -> None:
    bad = b"PK\x05\x06" + b"\0" * 18
    upstream.projects["demo"].remove(entry_of(upstream))
    async with mirror.checked():
        upstream.add("demo", PURE, bad)
    await mirror.mirror()
    assert await mirror.listed() == []
    assert "because it is not mirrored here: demo-1.0" in await mirror.explained()
    assert await mirror.farm.queue() == [], "as with the policy missing"
    assert not list(mirror.folder.iterdir())
    await mirror.due_now()
    assert await mirrored_wheels.due_wheels(mirror.farm.db, 10) == [], "it is not tried again"


@pytest.mark.parametrize(
    ("fault", "told"),
    [("gone", "no longer on the index"), ("bytes", "has sha256"), ("busy", "answered 503")],
)
async def test_a_fault_of_the_upstream_is_told_and_tried_again(
    mirror: MirrorHarness, upstream: FakeIndex, fault: str, told: str
) -> None:
    path = f"/{upstream.file_url(entry_of(upstream)).removeprefix(upstream.url)}"
    content = upstream.files[path]
    if fault == "bytes":
        upstream.files[path] = content[:-1] + b"!"
    else:
        upstream.faults[path] = 404 if fault == "gone" else 503
    await mirror.mirror()
    assert told in await mirror.explained()
    assert "could not be yet" in await mirror.explained()
    upstream.faults.clear()
    upstream.files[path] = content
    await mirror.due_now()
    await mirror.mirror()
    assert await mirror.names() == [PURE]


async def test_a_download_goes_on_where_it_stopped(
    mirror: MirrorHarness, upstream: FakeIndex
) -> None:
    entry = entry_of(upstream)
    folder = mirror.folder / entry["hashes"]["sha256"]
    folder.mkdir(parents=True)
    path = f"/{upstream.file_url(entry).removeprefix(upstream.url)}"
    (folder / f"{PURE}.part").write_bytes(upstream.files[path][:100])
    await mirror.mirror()
    assert await mirror.names() == [PURE]
    asked = [headers.get("Range") for requested, headers in upstream.requests if requested == path]
    assert asked == ["bytes=100-"]


async def test_too_large_a_wheel_waits_for_another_limit(mirror: MirrorHarness) -> None:
    await mirror.mirror(replace(LIMITS, max_wheel_bytes=100))
    told = await mirror.explained()
    assert "it is larger than 100 Bytes (upstream.mirror_max_wheel_mb)" in told
    await mirror.due_now()
    await mirror.mirror()
    assert await mirror.names() == [PURE]


async def test_nothing_is_mirrored_while_the_disk_is_short(mirror: MirrorHarness) -> None:
    await mirror.mirror(replace(LIMITS, min_free_bytes=1 << 62))
    assert await mirror.listed() == []
    assert "no wheels are mirrored: the web root's disk has" in await mirror.farm.events()
    await mirror.mirror()
    assert await mirror.names() == [PURE]


async def test_nothing_is_mirrored_while_the_spools_disk_is_short(
    mirror: MirrorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(mirror.webroot.root)

    def of_two_disks(path: Path) -> object:
        return usage._replace(free=1 << 30 if path == mirror.webroot.root else 1 << 10)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", of_two_disks)
        await mirror.mirror(replace(LIMITS, min_free_bytes=1 << 20))
    assert await mirror.listed() == []
    assert "no wheels are mirrored: the spool's disk has" in await mirror.farm.events()


async def test_a_partial_download_of_what_is_not_wanted_any_more_is_removed(
    mirror: MirrorHarness, upstream: FakeIndex
) -> None:
    partial = mirror.folder / entry_of(upstream)["hashes"]["sha256"]
    partial.mkdir(parents=True)
    (partial / f"{PURE}.part").write_bytes(b"begun")
    await mirror.farm.db.execute("UPDATE releases SET skip_reason = 'not here'")
    await mirror.due_now()
    await mirror.mirror()
    assert not partial.exists()


async def test_only_the_best_wheel_of_each_target_is_mirrored(
    mirror: MirrorHarness, upstream: FakeIndex, tmp_path: Path
) -> None:
    async with mirror.checked():
        for tags in (
            "cp311-cp311-manylinux_2_17_aarch64",
            "cp312-cp312-manylinux_2_17_aarch64",
            "cp311-cp311-manylinux_2_39_aarch64",
        ):
            add_wheel(upstream, tmp_path, tags)
    await mirror.mirror()
    assert await mirror.names() == ["demo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"]


async def test_what_was_mirrored_stays_when_the_policy_changes(mirror: MirrorHarness) -> None:
    await mirror.mirror()
    async with mirror.farm.running(QUICK_POLL):
        await mirror.farm.wait_for_checks()
    assert await mirror.names() == [PURE]
    assert await mirror.farm.queue() == [], "it covers the target"
    await mirror.farm.db.execute("DELETE FROM files")
    await job_queue.recompute_release_jobs(mirror.farm.db, "demo", "1.0")
    assert await mirror.farm.queue() == [("demo", "1.0")]
    await mirror.mirror()
    assert await mirror.listed() == [], "the policy is build now"


async def test_a_project_has_the_policy_of_its_own(
    farm: SyncHarness, upstream: FakeIndex, tmp_path: Path
) -> None:
    upstream.add("demo", "demo-1.0.tar.gz", b"sdist")
    add_wheel(upstream, tmp_path)
    harness = make_harness(farm, upstream, tmp_path)
    assert await farm.add("demo") == [""]
    async with SimpleIndex(upstream.simple) as index:
        for policy, expected in (
            (UpstreamWheelPolicy.MISSING, []),
            (UpstreamWheelPolicy.MIRROR, [PURE]),
            (None, [PURE]),
        ):
            await set_wheel_policy(
                farm.db, index, "demo", policy, RULES, farm_policy=UpstreamWheelPolicy.BUILD
            )
            await harness.mirror()
            assert await harness.names() == expected
