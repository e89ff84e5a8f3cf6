"""Accessibility rules for a page, checked in the browser.

Sources: WCAG 2.2, criteria 1.1.1 (names), 1.3.1 (headings, tables, landmarks), 1.4.3 (contrast),
1.4.10 (reflow), 2.4.2 (title), 2.5.8 (size of targets), 3.1.1 (language), 4.1.2 (controls).
"""

from pathlib import Path

from playwright.async_api import Page

_SCRIPT = Path(__file__).with_suffix(".js").read_text()
_CHECKS = _SCRIPT[_SCRIPT.index("({") :].strip()


async def structure(page: Page) -> list[str]:
    """What is wrong with a page's structure, names and size."""
    found: list[str] = await page.evaluate(f"{_CHECKS}.structure()")
    return found


async def contrast(page: Page) -> list[str]:
    """Texts with too little contrast."""
    found: list[str] = await page.evaluate(f"{_CHECKS}.contrast()")
    return found


async def check_tab_order(page: Page, most: int = 400) -> list[str]:
    """Press Tab through the page; returns the names of the focused elements in order.

    Raises:
        AssertionError: a focused element does not show its focus, or is outside the viewport.
    """
    names: list[str] = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        at = await page.evaluate(f"{_CHECKS}.focus()")
        if at is None:
            return names
        assert at["shown"], f"{at['name']!r} does not show that it has the focus"
        assert at["inside"], f"{at['name']!r} has the focus out of sight"
        names.append(at["name"])
    raise AssertionError(f"more than {most} stops")
