"""A visitor picks a platform on a project's page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from tests.browser import assertions
from tests.browser.conftest import Visitors, served
from tests.browser.platform_pages import BOOKWORM, BULLSEYE, TRIXIE, write_platform_pages
from tests.requires import requires_program
from tests.session_cache import session_cache

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    requires_program("chromium"),
    requires_program("nginx"),
]
WORDS = "Raspberry Pi OS 13 (trixie), 64-bit, Python 3.13"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def visitors(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Visitors]:
    tree: Path = session_cache(tmp_path_factory, "platforms", write_platform_pages)
    for address in served(tree):
        yield Visitors(browser, address)


def columns(page: Page) -> Locator:
    """The visible headings of the first matrix. Scripts hide some once the page is there."""
    return page.locator(".matrix").first.locator("thead th:visible")


async def test_the_address_picks_a_platform(visitors: Visitors) -> None:
    async with visitors.visit(viewport={"width": 360, "height": 740}) as visit:
        page = await visit.open(f"project/demo/?platform={TRIXIE}")
        await expect(columns(page)).to_have_text(
            ["Release", "Raspberry Pi OS 13 (trixie), 64-bit", "Python 3.13"]
        )
        await expect(page.get_by_label("Your platform")).to_have_value(TRIXIE)
        choice = page.locator(".choice:visible")
        await expect(choice).to_have_count(1)
        await expect(choice).to_contain_text("The newest release, 45.0, has no wheel here: failed")
        await expect(choice.locator(".command").first).to_contain_text("demo==44.0")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        assert await assertions.structure(page) == []
        await page.get_by_role("link", name="2", exact=True).click()
        await page.wait_for_url(f"**/releases-2.html?platform={TRIXIE}")
        await expect(columns(page)).to_have_count(3)
        assert visit.complaints == []


async def test_a_platform_picked_on_the_home_page_is_kept_by_links(visitors: Visitors) -> None:
    async with visitors.visit() as visit:
        page = await visit.open("")
        await page.get_by_label("Your platform").select_option(TRIXIE)
        await page.get_by_role("navigation", name="Site").get_by_role("link", name="FAQ").click()
        await page.wait_for_url(f"**/faq.html?platform={TRIXIE}")
        await page.go_back()
        await page.wait_for_url(f"**/?platform={TRIXIE}")
        await page.get_by_role("combobox", name="Find a project").fill("demo")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/project/demo/?platform={TRIXIE}")
        await expect(page.get_by_label("Your platform")).to_have_value(TRIXIE)
        assert await page.evaluate("document.cookie + Object.keys({...localStorage})") == ""
        await visit.open("")
        await page.get_by_role("link", name=f"find projects for {WORDS}").click()
        await page.wait_for_url(f"**/packages.html?platform={TRIXIE}")
        assert visit.complaints == []


async def test_a_choice_is_kept_in_the_address_alone(visitors: Visitors) -> None:
    async with visitors.visit() as visit:
        page = await visit.open("project/demo/")
        await expect(columns(page)).to_have_count(7)
        await page.get_by_label("Your platform").select_option(BOOKWORM)
        await page.wait_for_url(f"**/project/demo/?platform={BOOKWORM}")
        await expect(columns(page)).to_have_count(3)
        await page.reload()
        await expect(columns(page)).to_have_count(3)
        await page.get_by_label("Your platform").select_option("")
        await page.wait_for_url("**/project/demo/")
        await expect(columns(page)).to_have_count(7)
        assert await page.context.cookies() == []
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_a_platform_without_a_python_picks_all_of_it(visitors: Visitors) -> None:
    async with visitors.visit() as visit:
        page = await visit.open("project/demo/?platform=trixie-aarch64")
        await expect(columns(page)).to_have_count(3)
        await visit.open("project/demo/?platform=beos-m68k")
        await expect(columns(page)).to_have_count(7)


async def test_a_failed_cell_leads_to_its_log(visitors: Visitors) -> None:
    async with visitors.visit() as visit:
        page = await visit.open("project/demo/")
        link = page.locator(".matrix a.failed").first
        await expect(link).to_have_text("failed, log of build 5")
        assert await link.get_attribute("href") == "../../logs/0000/0005/5.html"


async def test_the_whole_matrix_is_shown_without_javascript(visitors: Visitors) -> None:
    async with visitors.visit(java_script_enabled=False) as visit:
        page = await visit.open(f"project/demo/?platform={TRIXIE}")
        await expect(columns(page)).to_have_count(7)
        await expect(page.get_by_label("Your platform")).to_be_hidden()
        await page.get_by_text(f"{WORDS}: version 44.0").click()
        await expect(page.locator(".command:visible").get_by_text("demo==44.0")).to_have_count(2)
        await expect(page.locator(".choice")).to_have_count(3)
        assert BULLSEYE in await page.content()


async def test_an_unknown_project_is_named(visitors: Visitors) -> None:
    async with visitors.visit() as visit:
        page = await visit.open("project/left-pad/")
        await expect(
            page.get_by_text("Then nobody has asked this farm for left-pad yet")
        ).to_be_visible()


async def test_pages_with_platforms_fit_a_phone(visitors: Visitors) -> None:
    async with visitors.visit(viewport=ViewportSize(width=360, height=740)) as visit:
        for path in ("", "project/demo/", "faq.html"):
            page = await visit.open(path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                assert await assertions.structure(page) == [], (path, scheme)
                assert await assertions.contrast(page) == [], (path, scheme)
