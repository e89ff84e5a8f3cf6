"""Draws the pictures of the site in docs/: `python -m tests.site_pictures` (needs Chromium)."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from piwheels.model import DownloadTotals
from piwheels.webroot import Webroot
from piwheels.website import assets, site_pages
from piwheels.website.page_data import HomeData
from piwheels.website.page_files import write_pages
from tests.requires import find_program
from tests.website.factories import (
    NOW,
    SITE,
    a_home,
    an_ended_build,
    download_totals,
    farm_totals,
)

DOCS = Path(__file__).parents[1] / "docs"
SIDE = 1200  # pixels; README.md shows half of that
_PLATFORMS = ("bookworm-armv7l", "bookworm-aarch64", "trixie-armv7l", "trixie-aarch64")
_PYTHONS = {"trixie": "cp313", "bookworm": "cp311"}
_BUILDS = (
    ("numpy", "2.3.5", 1260.0),
    ("pandas", "2.3.3", 2940.0),
    ("markupsafe", "3.0.3", 9.0),
    ("lxml", "6.0.2", 412.0),
)


def home_data() -> HomeData:
    """A farm of four platforms that has been at work for a while."""
    targets = tuple(f"{_PYTHONS[it.partition('-')[0]]}-{it}" for it in _PLATFORMS)
    return a_home(
        farm=farm_totals(projects=412, releases=2950, files=3120, files_bytes=2_410_000_000),
        downloads=_downloads(),
        targets=targets,
        recent=tuple(
            an_ended_build(
                build_id=9000 - at,
                project=project,
                version=version,
                target=targets[at % len(targets)],
                duration_s=duration_s,
                ended_at=NOW - timedelta(minutes=7 * at),
            )
            for at, (project, version, duration_s) in enumerate(_BUILDS)
        ),
    )


def _downloads() -> DownloadTotals:
    return download_totals(downloads=186_240, last_30_days=21_530, today=640, saved_s=9.1e6)


async def draw(folder: Path) -> None:
    """Draw the home page in both schemes, as site-light.png and site-dark.png."""
    with tempfile.TemporaryDirectory(prefix="piwheels-pictures-") as name:
        root = Path(name)
        assets.write(Webroot(root))
        write_pages(Webroot(root), root, site_pages.home_pages(SITE, home_data()))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=find_program("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            await _draw_schemes(browser, (root / "index.html").as_uri(), folder)
            await browser.close()


async def _draw_schemes(browser: Browser, address: str, folder: Path) -> None:
    page = await browser.new_page(viewport={"width": SIDE, "height": SIDE})
    await page.goto(address)
    await page.emulate_media(color_scheme="light")
    await page.screenshot(path=folder / "site-light.png")
    await page.emulate_media(color_scheme="dark")
    await page.screenshot(path=folder / "site-dark.png")


if __name__ == "__main__":
    asyncio.run(draw(DOCS))
