"""How soon the search shows the results of a key."""

import pytest
from playwright.async_api import Page

from tests.browser.conftest import Visitors, browser, many, many_tree
from tests.requires import requires_program

__all__ = ["browser", "many", "many_tree"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    requires_program("chromium"),
    requires_program("nginx"),
]

#: Tells for each key how long it was until its results were on the screen.
_STOPWATCH = """() => {
  const list = document.querySelector("#search-list");
  const status = document.querySelector(".search-status");
  window.delays_ms = [];
  let pressed = null;
  document.addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  const seen = () => requestAnimationFrame(() => setTimeout(() => {
    if (pressed === null || !status.textContent) return;
    window.delays_ms.push(performance.now() - pressed);
    pressed = null;
  }));
  new MutationObserver(seen).observe(status, { childList: true, characterData: true });
  new MutationObserver(seen).observe(list, { childList: true });
}"""


async def test_a_result_appears_within_100_ms_of_a_key(many: Visitors) -> None:
    """Never read before, and read before; each key's best of some rounds, for a busy machine."""
    fresh: list[list[float]] = []
    again: list[list[float]] = []
    while len(fresh) < 10 and max(_slowest_key(fresh), _slowest_key(again)) >= 100:
        async with many.visit() as visit:
            await visit.open()
            await visit.page.evaluate(_STOPWATCH)
            for rounds in (fresh, again):
                await type_and_wait(visit.page, "python-dateutil")
                rounds.append(await visit.page.evaluate("window.delays_ms.splice(0)"))
                await visit.page.get_by_role("combobox").fill("")
    print(f"slowest key: {_slowest_key(fresh):.0f} ms at first, {_slowest_key(again):.0f} ms again")
    assert _slowest_key(fresh) < 100
    assert _slowest_key(again) < 100


def _slowest_key(rounds: list[list[float]]) -> float:
    """Of each key's best time in these rounds (ms), the worst; endless before there is one."""
    return max((min(times) for times in zip(*rounds, strict=False)), default=float("inf"))


async def type_and_wait(page: Page, text: str) -> None:
    """Type each key when the one before it has its results."""
    for at, key in enumerate(text):
        await page.get_by_role("combobox").press_sequentially(key)
        await page.wait_for_function("count => window.delays_ms.length > count", arg=at)
