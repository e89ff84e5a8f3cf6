"""A real browser, and real trees behind the web server that `piw config` configures."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    async_playwright,
    expect,
)

from piwheels.index_client.page import IndexFile
from tests.browser.factories import make_search_tree
from tests.browser.farm import farm_tree, tree_in
from tests.builder.conftest import tools
from tests.clients.servers import serving
from tests.requires import find_program
from tests.session_cache import session_cache
from tests.timeouts import WAIT_S

__all__ = ["tools"]

#: Nothing but what a test asks for is fetched.
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_WAIT_MS = WAIT_S * 1000
expect.set_options(timeout=_WAIT_MS)


@dataclass
class Visit:
    """An open page, and its errors."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def open(self, path: str = "") -> Page:
        """Go to a page of the site, and wait until it and all that it needs is there."""
        await self.page.goto(self.base + path)
        return self.page

    def watch(self) -> None:
        """Note errors and requests."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("request", self._on_request)

    def foreign_requests(self) -> list[str]:
        """Requests that went to another site."""
        return [url for url in self.requests if not url.startswith((self.base, "blob:"))]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _on_error(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)


@dataclass
class Visitors:
    """Opens pages of one web root, each time as a new visitor."""

    browser: Browser
    base: str

    @asynccontextmanager
    async def visit(self, **how: Any) -> AsyncIterator[Visit]:
        """A visit in a browser with no history; `how` is what playwright calls a context."""
        context: BrowserContext = await self.browser.new_context(**how)
        context.set_default_timeout(_WAIT_MS)
        try:
            visit = Visit(await context.new_page(), self.base)
            visit.watch()
            yield visit
        finally:
            await context.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a screen."""
    executable = find_program("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=list(_QUIET), timeout=_WAIT_MS
        )
        yield browser
        await browser.close()


def served(tree: Path) -> Iterator[str]:
    """The address of a tree behind nginx."""
    work = Path(tempfile.mkdtemp(prefix="piwheels-browser-"))
    work.chmod(0o755)
    find_program("nginx")
    with serving("nginx", tree, work) as address:
        yield address
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="session")
def many_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with a page to search on, and many projects to find."""
    return session_cache(tmp_path_factory, "many", make_search_tree)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def many(browser: Browser, many_tree: Path) -> AsyncIterator[Visitors]:
    """Visitors of the site with many projects."""
    for address in served(many_tree):
        yield Visitors(browser, address)


@pytest.fixture(scope="session")
def farmed_tree(
    tmp_path_factory: pytest.TempPathFactory, tools: list[tuple[IndexFile, bytes]]
) -> Path:
    """What a real farm wrote."""
    folder = session_cache(tmp_path_factory, "farmed", lambda folder: farm_tree(folder, tools))
    return tree_in(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def farmed(browser: Browser, farmed_tree: Path) -> AsyncIterator[Visitors]:
    """Visitors of the site of a real farm."""
    for address in served(farmed_tree):
        yield Visitors(browser, address)
