"""Links in the terminal to the farm's web pages (OSC 8)."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.web_links import WebLinks, shows_links
from piwheels.tui.terminal.cell_diff import CellDiff
from tests.simfarm.model import FarmModel
from tests.simfarm.server import SimFarm, control_address
from tests.tui.pty_session import PtySession
from tests.tui.source_probe import wait_until
from tests.tui.test_terminal_gone import PIW

INDEX = "https://wheels.example.org/simple/"
SITE = "https://wheels.example.org/"
LINKS = WebLinks.of_index(INDEX)
_LINK = re.compile(rb"\x1b\]8;([^;\x1b]*);([^\x1b\x07]*)\x1b\\")


def test_pages_have_the_addresses_of_the_website() -> None:
    assert LINKS.release("NumPy") == f"{SITE}project/numpy/"
    assert LINKS.release("numpy", "2.3.5+local") == f"{SITE}project/numpy/#2.3.5%2Blocal"
    assert LINKS.failed_log(1234567) == f"{SITE}logs/0123/4567/1234567.html"


@pytest.mark.parametrize(
    "index",
    ["", "/simple/", "ftp://a/simple/", "http://a/b", "http://a\x07/simple/", "http://a;b/simple/"],
)
def test_without_a_site_that_is_an_address_nothing_is_a_link(index: str) -> None:
    links = WebLinks.of_index(index)
    assert (links.release("numpy", "1.0"), links.failed_log(7)) == ("", "")


@given(st.text(max_size=30), st.text(max_size=20))
def test_no_name_puts_anything_else_into_an_address(project: str, version: str) -> None:
    page = LINKS.release(project, version)
    assert not page or re.fullmatch(
        rf"{re.escape(SITE)}project/[a-z0-9-]+/(#[A-Za-z0-9.%_-]+)?", page
    )


def test_only_failed_builds_have_a_page_of_their_log() -> None:
    failed = ActionTarget(key="7", name="", build=7, has_failed=True, project="six", version="1.0")
    built = ActionTarget(key="7", name="", build=7, project="six", version="1.0")
    assert LINKS.of_cell(failed, "build").endswith("/7.html")
    assert LINKS.of_cell(built, "build") == ""
    assert LINKS.of_cell(built, "release") == f"{SITE}project/six/#1.0"
    assert LINKS.of_cell(built, "target") == LINKS.of_cell(None, "release") == ""


@pytest.mark.parametrize(
    ("term", "shown"),
    [("xterm-256color", True), ("linux", False), ("dumb", False), ("", False), ("vt220", False)],
)
def test_terminals_that_cannot_get_no_links(term: str, shown: bool) -> None:
    assert shows_links({"TERM": term}) is shown


def sent(diff: CellDiff, *segments: Segment) -> str:
    strip = Strip(segments)
    update = LayoutUpdate([[strip]], Region(0, 0, strip.cell_length, 1))
    diff.apply(update, ColorSystem.TRUECOLOR, (strip.cell_length, 1))
    return diff.diff_bytes()


def test_a_cell_has_its_link_which_is_closed_after_it() -> None:
    diff, link = CellDiff(), Style(link="https://a/")
    out = sent(diff, Segment("x "), Segment("six", link), Segment(" y"))
    assert "\x1b]8;;https://a/\x1b\\six\x1b]8;;\x1b\\ y" in out.replace("\x1b[m", "")
    assert sent(diff, Segment("x "), Segment("six", link), Segment(" y")) == ""
    out = sent(diff, Segment("x "), Segment("six", Style(link="https://b/")), Segment(" y"))
    assert out.count("https://b/") == 1, "the same text with another link is sent again"
    assert out.endswith("\x1b]8;;\x1b\\") or "\x1b]8;;\x1b\\" in out.split("six")[1]
    out = sent(diff, Segment("x "), Segment("six"), Segment(" y"))
    assert "six" in out, "the text without its link is sent again"
    assert "https://" not in out


def open_links(data: bytes) -> list[bytes]:
    """The addresses that were opened, of which each was closed before the next one."""
    opened = [match[2] for match in _LINK.finditer(data)]
    return [url for url in opened if url]


@pytest.mark.farm
@pytest.mark.parametrize(("term", "setting", "shown"), [
    ("xterm-256color", "true", True), ("xterm-256color", "false", False), ("linux", "true", False)
])  # fmt: skip
async def test_on_a_terminal(tmp_path: Path, term: str, setting: str, shown: bool) -> None:
    (tmp_path / "piwheels").mkdir()
    (tmp_path / "piwheels" / "console.toml").write_text(f"links = {setting}\n")
    async with SimFarm(control_address(tmp_path), FarmModel(builders=4), hz=0) as farm:
        environ = {"XDG_CONFIG_HOME": str(tmp_path), "TERM": term}
        argv = [*PIW, "--connect", farm.address]
        terminal = PtySession(argv, width=120, height=30, environ=environ)
        try:
            await wait_until(lambda: any("1 OVERVIEW" in line for line in terminal.text()))
            await wait_until(lambda: any("Ended last" in line for line in terminal.text()))
            assert not open_links(b"".join(terminal.data)), "rows of the overview move too often"
            terminal.press("3")
            await wait_until(lambda: any("3 BUILDS" in line for line in terminal.text()))
            await wait_until(lambda: any("row 1 of" in line for line in terminal.text()))
            data = b"".join(terminal.data)
        finally:
            terminal.__exit__(None, None, None)
    urls = open_links(data)
    assert bool(urls) is shown
    pages = rb"http://wheels\.example\.org/(project/[a-z0-9-]+/#[A-Za-z0-9.%]+|logs/[0-9/]+\.html)"
    assert all(re.fullmatch(pages, url) for url in urls)
    last = [match[2] for match in _LINK.finditer(data)][-1:]
    assert last in ([], [b""]), "the last link is closed"
