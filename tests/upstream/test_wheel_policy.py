"""Targets that a wheel of the upstream covers are not built, if the policy says so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from piwheels.db.upstream_wheels import WheelChanges
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.filenames import FileKind
from piwheels.index_client.page import IndexFile, ProjectPage
from piwheels.model import UpstreamWheelPolicy
from piwheels.upstream.sync import SyncOptions, set_wheel_policy
from piwheels.upstream.wheels import counting_wheels
from tests.benchmarks.upstream_wheels import table as savings_table
from tests.db.scenario import RULES
from tests.fake_index import FakeIndex
from tests.upstream.conftest import QUICK, QUICK_POLL, SyncHarness

MISSING = replace(QUICK_POLL, wheels=UpstreamWheelPolicy.MISSING)
BUILD = QUICK_POLL
PURE = "demo-1.0-py3-none-any.whl"
QUEUED = [("demo", "1.0")]


@pytest.fixture
def upstream_with_wheel(upstream: FakeIndex) -> dict[str, Any]:
    """A release with an sdist and a wheel for every target; returns the entry of the wheel."""
    upstream.add("demo", "demo-1.0.tar.gz", b"sdist")
    return upstream.add("demo", PURE, b"wheel")


async def test_nothing_is_built_that_upstream_has(
    farm: SyncHarness, upstream_with_wheel: dict[str, Any]
) -> None:
    assert await farm.add("demo") == [""]
    async with farm.running(BUILD):
        await farm.wait_for_checks()
    assert await farm.queue() == QUEUED
    assert "policy" not in await farm.events(), "it is the default"
    async with farm.running(MISSING):
        await farm.wait_until(farm.queue, [])
    assert "the policy for wheels of the upstream is 'missing' now" in await farm.events()
    async with farm.running(BUILD):
        await farm.wait_until(farm.queue, QUEUED)


@pytest.mark.parametrize("change", ["yanked", "removed"])
async def test_a_wheel_that_upstream_takes_back_is_built(
    farm: SyncHarness, upstream: FakeIndex, upstream_with_wheel: dict[str, Any], change: str
) -> None:
    assert await farm.add("demo") == [""]
    async with farm.running(MISSING):
        await farm.wait_until(farm.queue, [])
        if change == "yanked":
            upstream_with_wheel["yanked"] = "broken"
        else:
            upstream.projects["demo"].remove(upstream_with_wheel)
        await farm.wait_until(farm.queue, QUEUED)


async def test_a_quarantined_project_is_not_built_and_its_wheels_count_afterwards(
    farm: SyncHarness, upstream: FakeIndex, upstream_with_wheel: dict[str, Any]
) -> None:
    assert await farm.add("demo") == [""]
    async with farm.running(MISSING):
        await farm.wait_until(farm.queue, [])
        upstream.extras["demo"] = {"files": [], "project-status": {"status": "quarantined"}}
        await farm.wait_for_checks()
        assert await farm.queue() == []
        del upstream.extras["demo"]
        await farm.wait_for_checks()
        assert await farm.queue() == []


async def test_a_fault_of_the_upstream_does_not_reopen_a_target(
    farm: SyncHarness, upstream: FakeIndex, upstream_with_wheel: dict[str, Any]
) -> None:
    assert await farm.add("demo") == [""]
    async with farm.running(MISSING):
        await farm.wait_until(farm.queue, [])
        upstream.pages["demo"] = "text/html", b"<html>Please log in</html>"
        await farm.wait_for_checks()
        assert await farm.queue() == []


async def test_the_fill_of_a_new_farm_queues_nothing_that_upstream_has(
    farm: SyncHarness, upstream: FakeIndex, upstream_with_wheel: dict[str, Any]
) -> None:
    upstream.add("other", "other-1.0.tar.gz", b"sdist")
    upstream.add_event("demo", "create", 1)
    async with farm.running(replace(QUICK, follow_all=True, wheels=UpstreamWheelPolicy.MISSING)):
        await farm.wait_until(farm.queue, [("other", "1.0")])


async def set_policy(
    farm: SyncHarness, policy: UpstreamWheelPolicy | None, options: SyncOptions, name: str = "demo"
) -> WheelChanges:
    async with SimpleIndex(farm.upstream.simple) as index:
        return await set_wheel_policy(
            farm.db, index, name, policy, RULES, farm_policy=options.wheels
        )


async def test_a_project_has_a_policy_of_its_own(
    farm: SyncHarness, upstream: FakeIndex, upstream_with_wheel: dict[str, Any]
) -> None:
    upstream.add("other", "other-1.0.tar.gz", b"sdist")
    upstream.add("other", "other-1.0-py3-none-any.whl", b"wheel")
    other = [("other", "1.0")]
    assert await farm.add("demo", "other") == ["", ""]
    async with farm.running(BUILD):
        assert await farm.queue() == QUEUED + other
        changes = await set_policy(farm, UpstreamWheelPolicy.MISSING, BUILD)
        assert (changes.added, await farm.queue()) == (1, other)
        await farm.wait_for_checks()
        assert await farm.queue() == other, "a check of the page does not end it"
        upstream_with_wheel["yanked"] = "broken"
        await farm.wait_until(farm.queue, QUEUED + other)
        del upstream_with_wheel["yanked"]
        await farm.wait_until(farm.queue, other)
        await set_policy(farm, None, BUILD)
        assert await farm.queue() == QUEUED + other


async def test_a_project_is_built_on_a_farm_that_builds_what_is_missing(
    farm: SyncHarness, upstream_with_wheel: dict[str, Any]
) -> None:
    assert await farm.add("demo") == [""]
    async with farm.running(MISSING):
        await farm.wait_until(farm.queue, [])
        changes = await set_policy(farm, UpstreamWheelPolicy.BUILD, MISSING)
        assert (changes.removed, await farm.queue()) == (1, QUEUED)
        await farm.wait_for_checks()
        assert await farm.add("demo") == [""]
        assert await farm.queue() == QUEUED
        await set_policy(farm, None, MISSING)
        assert await farm.queue() == []


async def test_a_policy_that_needs_a_page_is_refused_without_it(
    farm: SyncHarness, upstream: FakeIndex, upstream_with_wheel: dict[str, Any]
) -> None:
    assert await farm.add("demo") == [""]
    upstream.faults["/simple/demo/"] = 503
    with pytest.raises(TransientError, match="503"):
        await set_policy(farm, UpstreamWheelPolicy.MISSING, BUILD)
    with pytest.raises(RejectedError, match="has no project nobody"):
        await set_policy(farm, UpstreamWheelPolicy.MISSING, BUILD, "nobody")
    with pytest.raises(RejectedError, match="nobody was removed from this farm"):
        await set_policy(farm, UpstreamWheelPolicy.BUILD, BUILD, "nobody")
    assert await farm.db.value("SELECT upstream_wheel_policy IS NULL FROM projects")
    assert await farm.queue() == QUEUED


def login_page(index: FakeIndex) -> None:
    index.pages["demo"] = "text/html", b"<html>Please log in</html>"


def empty_page(index: FakeIndex) -> None:
    index.extras["demo"] = {"files": []}


def older_page(index: FakeIndex) -> None:
    index.extras["demo"] = {"files": [], "meta": {"api-version": "1.1", "_last-serial": 41}}


@pytest.mark.parametrize("fault", [login_page, empty_page, older_page])
async def test_a_page_that_proves_nothing_takes_no_wheels_away(
    farm: SyncHarness,
    upstream: FakeIndex,
    upstream_with_wheel: dict[str, Any],
    fault: Callable[[FakeIndex], None],
) -> None:
    assert await farm.add("demo") == [""]
    async with farm.running(MISSING):
        await farm.wait_until(farm.queue, [])
        await farm.wait_until(farm.findings, {"demo": "current"})
    fault(upstream)
    with pytest.raises(RejectedError, match="nothing was changed, try again later"):
        await set_policy(farm, UpstreamWheelPolicy.MIRROR, MISSING)
    [problem] = await farm.add("demo")
    assert "nothing was changed" in problem
    assert await farm.queue() == []
    assert await farm.db.value("SELECT count(*) FROM upstream_wheels") == 1
    upstream.pages.clear()
    upstream.extras.clear()
    await set_policy(farm, UpstreamWheelPolicy.MIRROR, MISSING)
    assert await farm.db.value("SELECT count(*) FROM wheels_to_mirror") == 1


def test_which_wheels_count() -> None:
    names = {
        "demo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl": True,
        "demo-1.0-py3-none-any.whl": True,
        "demo-1.0-cp311-cp311-win_amd64.whl": False,
        "demo-1.0-cp311-cp311-macosx_11_0_arm64.whl": False,
    }
    files = [
        IndexFile(filename=name, url=f"https://upstream/{name}", kind=FileKind.WHEEL, version="1.0")
        for name in names
    ]
    page = ProjectPage(project="demo", display_name="demo", files=tuple(files))
    found = {wheel.filename for wheel in counting_wheels(page, UpstreamWheelPolicy.MISSING)}
    assert found == {name for name, counts in names.items() if counts}
    assert counting_wheels(page, UpstreamWheelPolicy.BUILD) == []


def test_the_table_of_savings_counts_releases_of_each_target() -> None:
    names = ("demo-1.0.tar.gz", "demo-1.0-cp311-abi3-manylinux_2_17_aarch64.whl")
    kinds = (FileKind.SDIST, FileKind.WHEEL)
    files = tuple(
        IndexFile(filename=name, url=f"https://upstream/{name}", kind=kind, version="1.0")
        for name, kind in zip(names, kinds, strict=True)
    )
    page = ProjectPage(project="demo", display_name="demo", files=files)
    rows = {row.split()[0]: row.split()[1:] for row in savings_table([page]).splitlines()[2:]}
    assert rows["cp311-bookworm-aarch64"] == ["1", "1", "(100%)", "0"]
    assert rows["cp313-trixie-aarch64"] == ["1", "1", "(100%)", "0"]
    assert rows["cp311-bookworm-armv7l"] == ["1", "0", "(0%)", "1"]
