"""The checks find what they are there to find."""

import pytest

from tests.browser import assertions
from tests.browser.conftest import Visitors
from tests.requires import requires_program

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    requires_program("chromium"),
    requires_program("nginx"),
]

_FAULTS = {
    "no language": ("document.documentElement.lang = ''", "the page has no language"),
    "two headings": ("main.innerHTML += '<h1>again</h1>'", "the page has 2 h1"),
    "a skipped level": ("main.innerHTML += '<h4>deep</h4>'", "a heading skips a level"),
    "an id twice": ("main.innerHTML += '<p id=main>'", "an id is there twice"),
    "a bare picture": ("main.innerHTML += '<img src=x>'", "a picture has no name"),
    "a bare field": ("main.innerHTML += '<input>'", "a field has no label"),
    "a bare button": ("main.innerHTML += '<button></button>'", "a control has no name"),
    "a bare table": ("main.innerHTML += '<table><td>1</table>'", "a table has no heads"),
    "a style": ("main.innerHTML += '<p style=\"top:0\">'", "style or script stands in the page"),
    "a handler": ("main.innerHTML += '<p onclick=\"x\">'", "a handler stands in the page"),
    "a wide word": ("main.innerHTML += '<pre>' + 'x'.repeat(999)", "px too wide"),
    "a small target": (
        (
            "main.innerHTML += '<details><summary>.</summary></details>'; "
            "document.querySelector('summary').style.setProperty('width', '9px')"
        ),
        "a target is",
    ),
}


@pytest.mark.parametrize("fault", _FAULTS)
async def test_a_structural_error_is_found(many: Visitors, fault: str) -> None:
    deed, complaint = _FAULTS[fault]
    async with many.visit(viewport={"width": 360, "height": 640}) as visit:
        page = await visit.open()
        assert await assertions.structure(page) == []
        await page.evaluate(f"(() => {{ const main = document.querySelector('main'); {deed} }})()")
        assert any(complaint in found for found in await assertions.structure(page))


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_low_contrast_is_found(many: Visitors, scheme: str) -> None:
    async with many.visit(color_scheme=scheme) as visit:
        page = await visit.open()
        assert await assertions.contrast(page) == []
        await page.evaluate("document.querySelector('h1').style.setProperty('color', '#777b')")
        await page.evaluate("document.querySelector('label').style.setProperty('color', '#777777')")
        pale = await assertions.contrast(page)
        assert pale[0].startswith("not to be reckoned")
        assert len(pale) == 2


async def test_an_invisible_focus_is_found(many: Visitors) -> None:
    async with many.visit() as visit:
        page = await visit.open()
        names = await assertions.check_tab_order(page)
        assert names[:3] == ["Skip to content", "piwheels", "Projects"]
        await page.evaluate("document.querySelector('.brand').style.setProperty('outline', 'none')")
        with pytest.raises(AssertionError, match="'piwheels' does not show"):
            await assertions.check_tab_order(page)
