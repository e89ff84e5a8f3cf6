"""The site of a real farm, browsed: every page, narrow and wide, light and dark, by keys alone."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import ViewportSize, expect

from tests.browser import assertions
from tests.browser.conftest import Visit, Visitors
from tests.browser.farm import HOSTILE, HUGE, YANKED
from tests.requires import requires_program
from tests.website.codes import codes_in

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    requires_program("chromium"),
    requires_program("nginx"),
]

PAGES = (
    "", "packages.html", "project/alpha/", "project/broken/", f"project/{HUGE}/", "stats.html",
    "faq.html", "json.html", "projects/a.html",
)  # fmt: skip
MAIN_PAGES = ("", "project/alpha/", "stats.html")
NARROW = ViewportSize(width=320, height=640)
WIDE = ViewportSize(width=1280, height=900)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
#: All that a first visit to the home page may cost.
HOME_BYTES = 60_000
_UNFOLD = "document.querySelectorAll('details').forEach(fold => { fold.open = true; })"


@asynccontextmanager
async def visiting(visitors: Visitors, path: str, **how: Any) -> AsyncIterator[Visit]:
    """A page that is open; it ends without a complaint, and without a word to another site."""
    async with visitors.visit(**how) as visit:
        await visit.open(path)
        yield visit
        assert visit.complaints == []
        assert visit.foreign_requests() == []


# --- every page ---


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_accessible(farmed: Visitors, path: str) -> None:
    async with visiting(farmed, path) as visit:
        await visit.page.evaluate(_UNFOLD)
        for scheme, size in product(SCHEMES, (NARROW, WIDE)):
            await visit.page.emulate_media(color_scheme=scheme)
            await visit.page.set_viewport_size(size)
            assert await assertions.structure(visit.page) == [], (scheme, size)
            assert await assertions.contrast(visit.page) == [], (scheme, size)


@pytest.mark.parametrize("path", [path for path in PAGES if path != "json.html"])
async def test_no_page_shows_codes_of_the_program(farmed: Visitors, path: str) -> None:
    async with visiting(farmed, path) as visit:
        await visit.page.evaluate(_UNFOLD)
        assert codes_in(await visit.page.inner_text("body")) == []


@pytest.mark.parametrize("path", MAIN_PAGES)
async def test_everything_is_reachable_by_keyboard(farmed: Visitors, path: str) -> None:
    async with visiting(farmed, path) as visit:
        names = await assertions.check_tab_order(visit.page)
        assert names[0] == "Skip to content"
        links = await visit.page.get_by_role("link").count()
        assert len(names) >= links


async def test_the_first_key_skips_to_the_content(farmed: Visitors) -> None:
    async with visiting(farmed, "") as visit:
        await visit.page.keyboard.press("Tab")
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize("path", MAIN_PAGES)
async def test_pages_load_without_layout_shifts(farmed: Visitors, path: str) -> None:
    async with visiting(farmed, path, viewport={"width": 360, "height": 740}) as visit:
        shift = await visit.page.evaluate(
            "new Promise(done => { let sum = 0;"
            " new PerformanceObserver(list => list.getEntries().forEach(e => { sum += e.value; }))"
            ".observe({ type: 'layout-shift', buffered: true });"
            " requestAnimationFrame(() => requestAnimationFrame(() => done(sum))); })"
        )
        assert shift == 0


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_page_supports_light_and_dark_mode(farmed: Visitors, scheme: str) -> None:
    async with visiting(farmed, "", color_scheme=scheme) as visit:
        ground = await visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(246, 248, 246)", "dark": "rgb(18, 22, 21)"}[scheme]


async def test_pages_have_the_same_content_without_javascript(farmed: Visitors) -> None:
    async with visiting(farmed, "project/alpha/", java_script_enabled=False) as visit:
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text("alpha")
        await expect(
            visit.page.get_by_role("link", name="alpha-2.0-py3-none-any.whl")
        ).to_be_visible()
        await expect(visit.page.get_by_role("button", name="Copy")).to_have_count(0)
        await visit.open("")
        await visit.page.get_by_role("link", name="Projects are also listed").click()
        await visit.page.get_by_role("link", name="n", exact=True).click()
        await visit.page.get_by_role("link", name="native").click()
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text("native")


# --- the pages, one by one ---


async def test_the_home_page_loads_less_than_60_kb(farmed: Visitors) -> None:
    async with farmed.visit() as visit:
        session = await visit.page.context.new_cdp_session(visit.page)
        await session.send("Network.enable")
        sizes: list[int] = []
        session.on(
            "Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"])
        )
        await visit.page.goto(visit.base, wait_until="networkidle")
        await visit.page.get_by_role("combobox", name="Find a project").press_sequentially("a")
        await expect(visit.page.get_by_role("option").first).to_be_visible()
        favicon = await visit.page.request.get(f"{visit.base}favicon.ico")
        total = sum(map(int, sizes)) + len(await favicon.body())
    print(f"home and a first search: {total:,} bytes in {len(sizes)} files, favicon included")
    assert len(sizes) >= 5
    assert total < HOME_BYTES


async def test_the_home_page_shows_commands_and_builds(farmed: Visitors) -> None:
    async with visiting(farmed, "", permissions=["clipboard-read", "clipboard-write"]) as visit:
        await visit.page.get_by_role("button", name="Copy").first.click()
        await expect(visit.page.get_by_role("button", name="Copied")).to_be_visible()
        copied = await visit.page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("pip install ")
        table = visit.page.get_by_role("table", name="Newest first")
        await expect(table.get_by_role("row").filter(has_text="broken")).to_contain_text("failed")


async def test_a_project_is_found_and_its_log_is_read(farmed: Visitors) -> None:
    async with visiting(farmed, "packages.html") as visit:
        await visit.page.get_by_role("combobox", name="Find a project").press_sequentially("alph")
        await visit.page.keyboard.press("ArrowDown")
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url("**/project/alpha/")
        grid = visit.page.get_by_role("region", name="Releases by platform")
        await expect(grid.locator(".state.built").first).to_have_text("wheel")
        await grid.get_by_role("link", name="log").first.click()
        await visit.page.wait_for_url("**/logs/**")
        log = await visit.page.inner_text("body")
        assert "--- piwheels: alpha" in log
        assert "Successfully built alpha" in log


@pytest.mark.parametrize("scripted", [True, False])
async def test_a_failure_leads_to_the_line_that_tells_why_and_back(
    farmed: Visitors, scripted: bool
) -> None:
    narrow = ViewportSize(width=360, height=640)
    async with visiting(
        farmed, "project/broken/", viewport=narrow, java_script_enabled=scripted
    ) as visit:
        link = visit.page.get_by_role("link", name="See it in the log")
        await link.first.click()
        await visit.page.wait_for_url("**/logs/**.html#L*")
        deciding = visit.page.locator("li.deciding")
        await expect(deciding).to_be_in_viewport()
        await expect(deciding).to_contain_text("error: <script>alert(1)</script>")
        number = await deciding.get_by_role("link").inner_text()
        await visit.page.wait_for_url(f"**#L{number}")
        if scripted:
            for scheme, size in product(SCHEMES, (NARROW, WIDE)):
                await visit.page.emulate_media(color_scheme=scheme)
                await visit.page.set_viewport_size(size)
                assert await assertions.structure(visit.page) == [], (scheme, size)
                assert await assertions.contrast(visit.page) == [], (scheme, size)
        await visit.page.get_by_role("link", name="Whole log as text").click()
        await expect(visit.page.get_by_role("link", name="Whole log as text")).to_have_count(0)
        shown = visit.page.locator("body")
        await expect(shown).to_contain_text("error: <script>alert(1)</script>")
        await visit.page.go_back()
        await visit.page.get_by_role("link", name="Back to broken").first.click()
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text("broken")


async def test_the_files_of_a_project_match_its_index_page(
    farmed: Visitors, farmed_tree: Path
) -> None:
    index = json.loads((farmed_tree / "simple" / "alpha" / "index.v1_json").read_text())
    async with visiting(farmed, "project/alpha/") as visit:
        await visit.page.evaluate(_UNFOLD)
        for file in index["files"]:
            link = visit.page.get_by_role("link", name=file["filename"], exact=True)
            response = await visit.page.request.get(await link.evaluate("a => a.href"))
            assert response.ok
            await expect(
                visit.page.get_by_text(file["hashes"]["sha256"], exact=True)
            ).to_be_visible()
        assert len(index["files"]) == 2


async def test_charts_have_tables_and_json(farmed: Visitors) -> None:
    async with visiting(farmed, "stats.html") as visit:
        figure = visit.page.get_by_role("figure").filter(has_text="Build success rate")
        await expect(figure.get_by_role("img", name="Build success rate")).to_be_visible()
        await figure.get_by_text("Table").click()
        await expect(figure.get_by_role("table").get_by_role("row")).to_have_count(2)
        link = figure.get_by_role("link", name="Data as JSON")
        response = await visit.page.request.get(await link.evaluate("a => a.href"))
        assert (await response.json())["unit"] == "percent"


@pytest.mark.parametrize("path", ["nothing", "project/nothing/", "deep/below/nothing.html"])
async def test_the_404_page_is_styled(farmed: Visitors, path: str) -> None:
    async with farmed.visit() as visit:
        response = await visit.page.goto(visit.base + path)
        assert response is not None
        assert response.status == 404
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Page not found")
        assert await assertions.structure(visit.page) == []
        assert await assertions.contrast(visit.page) == []
        # The answer itself is all that the browser complains of.
        assert all("404" in complaint for complaint in visit.complaints)
        await visit.page.get_by_role("link", name="Find a project").click()
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Projects")


async def test_the_target_of_a_link_is_opened(farmed: Visitors) -> None:
    async with visiting(farmed, "project/alpha/") as visit:
        files = visit.page.locator("details[id='1.0']")
        await expect(files).not_to_have_attribute("open", "")
        await visit.page.locator(".targets a[href='#1.0']").first.click()
        await expect(files).to_have_attribute("open", "")
        await visit.open("project/alpha/?#1.0")
        await expect(files).to_have_attribute("open", "")


# --- hostile text ---


async def test_hostile_text_is_shown_as_text(farmed: Visitors) -> None:
    async with visiting(farmed, "project/broken/") as visit:
        dialogs: list[str] = []
        visit.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        shown = await visit.page.inner_text("main")
        script, _, rest = HOSTILE.strip().partition(" \u202e")
        assert script in shown
        assert rest in shown
        assert "\u202e" not in await visit.page.content()
        assert await visit.page.locator("main script").count() == 0
        await visit.open("project/alpha/")
        await visit.page.evaluate(_UNFOLD)
        assert YANKED in await visit.page.inner_text("main")
        assert await visit.page.locator("img").count() == 0
        assert dialogs == []


async def test_a_long_name_is_found_and_shown(farmed: Visitors) -> None:
    async with visiting(farmed, "packages.html", viewport=NARROW) as visit:
        await visit.page.get_by_role("combobox", name="Find a project").press_sequentially("xxx")
        await visit.page.get_by_role("option").first.click()
        await visit.page.wait_for_url(f"**/project/{HUGE}/")
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text(HUGE)


async def test_injected_scripts_do_not_run(farmed: Visitors) -> None:
    """The policy is the second wall: escaping is the first."""
    async with farmed.visit() as visit:

        async def inject(route: Any) -> None:
            response = await route.fetch()
            body = (await response.text()).replace(
                "</main>",
                "<script>document.title = 'owned'</script><p style='position: fixed'>"
                "<img src='https://elsewhere.invalid/x.png' onerror=\"document.title = 'owned'\">"
                "</main>",
            )
            await route.fulfill(response=response, body=body)

        await visit.page.route("**/stats.html", inject)
        page = await visit.open("stats.html")
        assert await page.title() != "owned"
        assert (
            await page.evaluate(
                "getComputedStyle(document.querySelector('main > p[style]')).position"
            )
            == "static"
        )
        blocked = [text for text in visit.complaints if "Content Security Policy" in text]
        assert len(blocked) >= 4, visit.complaints
