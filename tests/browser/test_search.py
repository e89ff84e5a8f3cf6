"""The search as somebody uses it: with keys, a pointer, a screen reader, and a bad connection."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect
from playwright.async_api import TimeoutError as PageTimeout

from tests.browser.conftest import Visit, Visitors
from tests.requires import requires_program
from tests.timeouts import WAIT_S

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    requires_program("chromium"),
    requires_program("nginx"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def visit(many: Visitors) -> AsyncIterator[Visit]:
    async with many.visit() as visit:
        await visit.open()
        yield visit
        assert visit.complaints == []
        assert visit.foreign_requests() == []


async def type_in(page: Page, text: str) -> None:
    """Type into the search, key by key."""
    await page.get_by_role("combobox", name="Find a project").press_sequentially(text)


async def results(page: Page) -> list[str]:
    return await page.get_by_role("option").all_inner_texts()


async def test_results_appear_while_typing(visit: Visit) -> None:
    await type_in(visit.page, "nump")
    await expect(visit.page.get_by_role("option").first).to_have_text("numpy")
    await type_in(visit.page, "y")
    await expect(visit.page.get_by_role("option")).to_have_text(["numpy"])
    await expect(visit.page.get_by_role("status")).to_have_text("One project.")


async def test_a_word_within_a_name_finds_the_project(visit: Visit) -> None:
    await type_in(visit.page, "dateu")
    await expect(visit.page.get_by_role("option")).to_have_text(["python-dateutil"])


@pytest.mark.parametrize("typed", ["Python_DateUtil", "python.dateutil", " python dateutil"])
async def test_any_spelling_of_a_name_finds_the_project(visit: Visit, typed: str) -> None:
    await type_in(visit.page, typed)
    await expect(visit.page.get_by_role("option")).to_have_text(["python-dateutil"])


async def test_a_pasted_name_finds_the_project(visit: Visit) -> None:
    await visit.page.get_by_role("combobox", name="Find a project").fill("opencv-python")
    await expect(visit.page.get_by_role("option")).to_have_text(["opencv-python"])


async def test_no_results_are_reported(visit: Visit) -> None:
    await type_in(visit.page, "zqx")
    await expect(visit.page.get_by_role("status")).to_have_text("No matching projects.")
    assert await results(visit.page) == []


async def test_a_word_of_a_description_alone_finds_projects(visit: Visit) -> None:
    await type_in(visit.page, "bindings")
    await expect(visit.page.get_by_role("status")).to_have_text(
        "No name matches. One project by description or spelling."
    )
    await expect(visit.page.get_by_role("option")).to_have_text(["opencv-python"])


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("nunpy", "numpy"), ("numppy", "numpy"), ("umpy", "numpy"), ("pandsa", "pandas"),
        ("dajngo", "django"), ("jdango", "django"), ("Reqeusts", "requests"),
        ("opencv_pyton", "opencv-python"), ("python dateutli", "python-dateutil"),
    ],
)  # fmt: skip
async def test_a_typing_error_is_corrected(visit: Visit, typed: str, name: str) -> None:
    box = visit.page.get_by_role("combobox", name="Find a project")
    await type_in(visit.page, typed)
    await expect(visit.page.get_by_role("status")).to_contain_text("These names are similar")
    await expect(visit.page.get_by_role("option").first).to_have_text(name)
    assert len(await results(visit.page)) <= 8
    await box.press("Enter")  # opens nothing that was not selected
    await expect(visit.page.get_by_role("option", selected=True)).to_have_text(name)
    await box.press("Enter")
    await visit.page.wait_for_url(f"**/project/{name}/")


async def test_the_form_opens_a_project_without_javascript(many: Visitors) -> None:
    async with many.visit(java_script_enabled=False) as visit:
        await visit.open()
        await visit.page.get_by_role("combobox", name="Find a project").fill("Python_DateUtil")
        await visit.page.get_by_role("button", name="Open").click()
        await visit.page.wait_for_url("**/project/python-dateutil/")
        await expect(visit.page.get_by_role("heading")).to_have_text("python-dateutil")


@pytest.mark.parametrize("typed", ["<script>alert(1)</script>", "../../etc", "a" * 200, "é"])
async def test_any_text_can_be_typed(visit: Visit, typed: str) -> None:
    await visit.page.get_by_role("combobox", name="Find a project").fill(typed)
    await expect(visit.page.get_by_role("status")).not_to_be_empty()
    assert await results(visit.page) == []


# --- keyboard and screen readers ---


async def test_keys_select_and_open_results(visit: Visit) -> None:
    box = visit.page.get_by_role("combobox", name="Find a project")
    await type_in(visit.page, "python-")
    await expect(visit.page.get_by_role("status")).to_contain_text("most downloaded")
    await expect(box).to_have_attribute("aria-expanded", "true")
    await box.press("ArrowDown")
    first = visit.page.get_by_role("option", selected=True)
    await expect(first).to_have_text("python-dateutil")
    await expect(box).to_have_attribute("aria-activedescendant", "search-option-0")
    await expect(box).to_be_focused()
    await box.press("ArrowUp")
    await expect(box).to_have_attribute("aria-activedescendant", "search-option-19")
    await box.press("ArrowDown")
    await box.press("Enter")
    await visit.page.wait_for_url("**/project/python-dateutil/")


async def test_escape_closes_and_then_clears(visit: Visit) -> None:
    box = visit.page.get_by_role("combobox", name="Find a project")
    await type_in(visit.page, "num")
    await expect(visit.page.get_by_role("listbox")).to_be_visible()
    await box.press("Escape")
    await expect(visit.page.get_by_role("listbox")).to_be_hidden()
    await expect(box).to_have_value("num")
    await box.press("ArrowDown")
    await expect(visit.page.get_by_role("listbox")).to_be_visible()
    await box.press("Escape")
    await box.press("Escape")
    await expect(box).to_have_value("")
    await expect(box).to_have_attribute("aria-expanded", "false")


async def test_enter_immediately_after_a_name_opens_the_project(visit: Visit) -> None:
    """Nobody who knows the name waits for the list."""
    await visit.page.get_by_role("combobox", name="Find a project").fill("scipy")
    await visit.page.keyboard.press("Enter")
    await visit.page.wait_for_url("**/project/scipy/")


async def test_a_click_opens_a_project(visit: Visit) -> None:
    await type_in(visit.page, "panda")
    await visit.page.get_by_role("option").first.click()
    await visit.page.wait_for_url("**/project/pandas/")


async def test_the_whole_list_is_announced_by_name(visit: Visit) -> None:
    await type_in(visit.page, "numpy")
    await expect(visit.page.get_by_role("status")).to_have_text("One project.")
    tree = await visit.page.get_by_role("search").aria_snapshot()
    assert 'combobox "Find a project" [expanded]' in tree
    assert 'listbox "Projects found"' in tree
    assert 'option "numpy"' in tree


# --- a bad connection ---


def held_responses() -> tuple[asyncio.Event, Callable[[Route], Awaitable[None]]]:
    """An event, and a handler of requests that waits for it."""
    release = asyncio.Event()

    async def hold(route: Route) -> None:
        await release.wait()
        await route.continue_()

    return release, hold


async def test_a_late_response_is_ignored(many: Visitors) -> None:
    async with many.visit() as visit:
        release, hold = held_responses()
        await visit.open()
        await type_in(visit.page, "p")
        await expect(visit.page.get_by_role("status")).not_to_be_empty()
        await visit.page.route(re.compile(r"/search/pa?\w*\.json"), hold)
        async with visit.page.expect_event("requestfailed") as cancelled:
            await type_in(visit.page, "an")
            await visit.page.get_by_role("combobox", name="Find a project").fill("numpy")
        assert "ERR_ABORTED" in ((await cancelled.value).failure or "")
        await expect(visit.page.get_by_role("option")).to_have_text(["numpy"])
        release.set()
        await expect(visit.page.get_by_role("status")).to_have_text("One project.")
        assert await results(visit.page) == ["numpy"]


async def test_late_results_do_not_open_a_list_that_was_closed(many: Visitors) -> None:
    async with many.visit() as visit:
        release, hold = held_responses()
        await visit.open()
        listbox = visit.page.get_by_role("listbox")
        await type_in(visit.page, "p")
        await expect(listbox).to_be_visible()
        shard = re.compile(r"/search/pa?\w*\.json")
        await visit.page.route(shard, hold)
        async with visit.page.expect_request(shard):
            await type_in(visit.page, "andas")
        await visit.page.keyboard.press("Escape")
        await expect(listbox).to_be_hidden()
        release.set()
        # Its status is that of all results, which are there although the list is closed.
        await expect(visit.page.get_by_role("status")).to_have_text(re.compile("project"))
        await expect(listbox).to_be_hidden()
        await visit.page.keyboard.press("ArrowDown")
        await expect(listbox).to_be_visible()
        await expect(visit.page.get_by_role("option").first).to_have_text("pandas")


async def test_a_failed_search_is_reported_and_retried(many: Visitors) -> None:
    async with many.visit() as visit:
        await visit.open()
        await visit.page.context.set_offline(True)
        await type_in(visit.page, "numpy")
        status = visit.page.get_by_role("status")
        await expect(status).to_contain_text("Search is unreachable")
        await visit.page.context.set_offline(False)
        async with asyncio.timeout(WAIT_S):
            # The network may be a moment late.
            while not visit.page.url.endswith("/project/numpy/"):
                await visit.page.keyboard.press("Enter")
                with contextlib.suppress(PageTimeout):
                    await visit.page.wait_for_url("**/project/numpy/", timeout=2_000)


async def test_missing_shards_are_reported(many: Visitors) -> None:
    async with many.visit() as visit:
        await visit.open()
        await visit.page.route("**/search/n.json", lambda route: route.fulfill(status=404))
        await type_in(visit.page, "numpy")
        await expect(visit.page.get_by_role("status")).to_contain_text("failed (404)")


async def test_without_javascript_the_list_is_linked(many: Visitors) -> None:
    async with many.visit(java_script_enabled=False) as visit:
        await visit.open()
        await expect(visit.page.get_by_role("combobox", name="Find a project")).to_be_visible()
        link = visit.page.get_by_role("link", name="Projects are also listed")
        await expect(link).to_have_attribute("href", "packages.html")
        await expect(visit.page.get_by_role("button", name="Copy")).to_be_hidden()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("computer vision", "opencv-python"),
        ("vision comp", "opencv-python"),
        ("Num_Py", "numpy"),
        ("pan das", "pandas"),
    ],
)
async def test_words_of_summaries_and_other_spellings_find_projects(
    visit: Visit, text: str, name: str
) -> None:
    await type_in(visit.page, text)
    await expect(visit.page.get_by_role("option", name=name, exact=True)).to_be_visible()
    await expect(visit.page.get_by_role("status")).to_contain_text("description or spelling")
    await visit.page.keyboard.press("Enter")
    await visit.page.wait_for_url(f"**/project/{name}/")


async def test_a_word_that_objects_of_javascript_have_finds_nothing(visit: Visit) -> None:
    """There are words that start with its first letters, so their file is looked at."""
    await type_in(visit.page, "constructor")
    await expect(visit.page.get_by_role("status")).to_have_text("No matching projects.")
    assert await results(visit.page) == []
