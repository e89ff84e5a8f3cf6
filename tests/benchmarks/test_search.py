"""The search over 700,000 projects on a phone, against one file with all their names."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import CDPSession, Page, expect

from piwheels.webroot import Webroot
from piwheels.website import search_files
from tests.browser.conftest import Visitors, browser, served
from tests.browser.factories import make_search_tree, project_names
from tests.requires import requires_program

__all__ = ["browser"]

pytestmark = [pytest.mark.slow, requires_program("chromium"), requires_program("nginx")]
in_the_browser = pytest.mark.asyncio(loop_scope="session")

PROJECTS = 700_000
#: A slow mobile connection, and a processor a quarter as fast as this one.
_PHONE = {"latency": 150, "downloadThroughput": 1_600_000 / 8, "uploadThroughput": 750_000 / 8}
_SLOWDOWN = 4

#: What a page does with one file of all names: [[name, last 30 days, all time], ...].
_ONE_FILE = """async (typed) => {
  const began = performance.now();
  const all = await (await fetch("packages.json")).json();
  const found = all.filter(([name]) => name.startsWith(typed)).sort((a, b) => b[1] - a[1]);
  return { seconds: (performance.now() - began) / 1000, first: found[0][0] };
}"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("all")
    projects = dict(project_names(PROJECTS))
    began = time.monotonic()
    make_search_tree(root, PROJECTS)
    print(f"\nshards of {len(projects):,} projects written in {time.monotonic() - began:.1f} s: ")
    files = list((root / "search").glob("*.json"))
    print(f"{len(files):,} files, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB")
    whole = json.dumps([[name, n, 9 * n] for name, n in projects.items()], separators=(",", ":"))
    Webroot(root).write_page(root / "packages.json", whole.encode())
    return root


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def phone(browser: Any, tree: Path) -> AsyncIterator[Visitors]:
    for address in served(tree):
        yield Visitors(browser, address)


class Meter:
    """What JSON came over the wire since it was made, in bytes, by the end of each address.

    The page's own pictures may come late; they are no part of a search.
    """

    def __init__(self, session: CDPSession) -> None:
        self._urls: dict[str, str] = {}
        self.bytes: dict[str, int] = {}
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._finished)

    def _answered(self, event: dict[str, Any]) -> None:
        self._urls[event["requestId"]] = event["response"]["url"].rpartition("/")[2]

    def _finished(self, event: dict[str, Any]) -> None:
        name = self._urls.get(event["requestId"], "")
        if name.endswith(".json"):
            self.bytes[name] = int(event["encodedDataLength"])


async def slowed(page: Page) -> Meter:
    """Give a page the connection and the processor of a phone."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", {"offline": False, **_PHONE})
    await session.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWDOWN})
    return Meter(session)


@in_the_browser
async def test_the_first_result_costs_a_thousandth_of_one_file(phone: Visitors) -> None:
    async with phone.visit() as visit:
        await visit.open()
        meter = await slowed(visit.page)
        began = time.monotonic()
        await visit.page.get_by_role("combobox").press_sequentially("n")
        await expect(visit.page.get_by_role("option").first).to_have_text("numpy")
        seconds = time.monotonic() - began
        await expect(visit.page.get_by_role("status")).not_to_be_empty()  # n.json is here, too
        ours = dict(meter.bytes)
    async with phone.visit() as visit:
        await visit.open()
        meter = await slowed(visit.page)
        peer = await visit.page.evaluate(_ONE_FILE, "n")
        assert peer["first"] == "numpy"
        theirs = meter.bytes["packages.json"]
    total = sum(ours.values())
    print(
        f"\nto the first result: {total:,} bytes ({ours}) against {theirs:,}: {theirs / total:.0f}x"
    )
    print(f"on a phone: {seconds:.2f} s against {peer['seconds']:.1f} s")
    assert total * 1000 < theirs
    assert seconds * 10 < peer["seconds"]


@in_the_browser
async def test_no_key_loads_more_than_a_few_kilobytes(phone: Visitors) -> None:
    async with phone.visit() as visit:
        await visit.open()
        meter = await slowed(visit.page)
        box = visit.page.get_by_role("combobox")
        for name in ("opencv-python", "django", "python-dateutil", "requests"):
            await box.fill("")
            await box.press_sequentially(name)
            await expect(visit.page.get_by_role("option").first).to_have_text(name)
    print(f"\n{len(meter.bytes)} shards for four names, {sum(meter.bytes.values()):,} bytes in all")
    assert max(meter.bytes.values()) < 6000
    assert sum(meter.bytes.values()) < 40_000


def test_a_new_project_changes_few_shards(tree: Path) -> None:
    projects = dict(project_names(PROJECTS))
    began = time.monotonic()
    assert search_files.write_search_files(Webroot(tree), projects.items()) == 0
    unchanged_s = time.monotonic() - began
    changed = search_files.write_search_files(
        Webroot(tree), [*projects.items(), ("brand-new-thing", 0)]
    )
    print(f"\nnothing new: {unchanged_s:.1f} s; a new project of three words: {changed} shards")
    assert 0 < changed <= 12
