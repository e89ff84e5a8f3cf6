"""What is copied to the clipboard: by key and by mouse, on a real terminal, made safe."""

import asyncio
import base64
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.copying import copyable_cells, copyable_installs, copyable_rows, pip_line
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.table_model import Cell, Column, Row
from tests.simfarm.model import FarmModel
from tests.simfarm.server import SimFarm, control_address
from tests.tui.app_harness import run_console
from tests.tui.pty_session import PtySession
from tests.tui.sample_farm import snapshot
from tests.tui.source_probe import wait_until
from tests.tui.static_source import StaticSource
from tests.tui.test_terminal_gone import PIW

URL = "http://wheels.example.org/simple/"
COLUMNS = (Column("name", "Name", 8), Column("why", "Why", 8), Column("empty", "Empty", 8))
_CLIPBOARD = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")


def release(project: str, version: str = "") -> ActionTarget:
    return ActionTarget(key="1", name=project, project=project, version=version)


def installs(project: str, version: str = "") -> dict[str, str]:
    return {it.label: it.text for it in copyable_installs(URL, release(project, version))}


def test_a_release_has_the_line_that_installs_it() -> None:
    assert installs("NumPy", "2.3.5") == {
        "pip line": f"pip install --index-url {URL} numpy==2.3.5",
        "index address": URL,
    }
    assert installs("numpy")["pip line"].endswith(" numpy")
    assert not list(copyable_installs("", release("numpy")))


@pytest.mark.parametrize(
    "project", ["", "--help", "a b", "a;reboot", "a\nb", "x\x1b]52;c;eA==\x07"]
)
def test_a_name_that_is_none_is_not_copied_into_a_shell(project: str) -> None:
    assert installs(project)["pip line"] == f"pip install --index-url {URL} NAME"


@given(st.text())
def test_a_shell_reads_one_address_in_the_pip_line(url: str) -> None:
    assert shlex.split(pip_line(url)) == ["pip", "install", "--index-url", url, "NAME"]


@given(st.text(max_size=20), st.text(max_size=20))
def test_rows_and_cells_have_nothing_that_a_terminal_interprets(name: str, why: str) -> None:
    row = Row("1", (Cell(name), Cell(why), Cell("")))
    found = [*copyable_rows([row]), *copyable_cells(COLUMNS, (0, 1, 2), row)]
    assert all(char == "\t" or char.isprintable() for it in found for char in it.text)
    assert "Empty" not in {it.label for it in found}


@pytest.mark.farm
async def test_marked_rows_are_copied_in_the_order_of_the_table() -> None:
    async with run_console(StaticSource(snapshot()), first_screen=ScreenName.BUILDS) as stage:
        await stage.wait_for_text("pillow")
        for key in ("4707", "4708"):
            stage.table.table.move_cursor(key)
            await stage.press("space")
        await stage.press("c", "c")
        await stage.wait_for_text("Copied 2 rows")
        lines = stage.console.clipboard.splitlines()
        assert [line.split("\t")[1] for line in lines] == ["markupsafe 1.4.2", "pillow 1.4.2"]
        assert all(line.isprintable() for line in "".join(lines).split("\t"))


@pytest.mark.farm
class TestOnATerminal:
    """`piw tui` on a pty, with the simulated farm."""

    async def test_row_cell_line_and_pip_line(self, tmp_path: Path) -> None:
        async with SimFarm(
            control_address(tmp_path), FarmModel(builders=2, odd=False), hz=0
        ) as farm:
            terminal = PtySession([*PIW, "--connect", farm.address], width=120, height=30)
            try:
                await self.copy_by_key(terminal)
                await self.copy_by_mouse(terminal)
                await self.copy_a_line_of_a_log(terminal)
            finally:
                terminal.__exit__(None, None, None)

    async def copy_by_key(self, terminal: PtySession) -> None:
        await shows(terminal, "1 OVERVIEW")
        terminal.press("2")
        await shows(terminal, "2 BUILDERS")
        terminal.press("c")
        await shows(terminal, "─ Copy ─")
        terminal.press("c")
        await wait_until(lambda: "\tpi001\t" in copied(terminal))
        await shows(terminal, "Copied the row: ")
        await sheet_is_gone(terminal)
        terminal.press("c")
        await shows(terminal, "─ Copy ─")
        terminal.press("\x1b[F\r")  # the last: the address
        await wait_until(lambda: copied(terminal) == URL)
        await shows(terminal, f"Copied index address: {URL}")
        await sheet_is_gone(terminal)

    async def copy_by_mouse(self, terminal: PtySession) -> None:
        line = next(n for n, text in enumerate(terminal.text(), 1) if " pi002 " in text)
        column = terminal.text()[line - 1].index("pi002") + 2
        click(terminal, column, line, button=2)
        await shows(terminal, "─ Copy ─")
        terminal.press("\r")
        await shows(terminal, "Copied Name: pi002")
        await wait_until(lambda: copied(terminal) == "pi002")

    async def copy_a_line_of_a_log(self, terminal: PtySession) -> None:
        terminal.press("3")
        await shows(terminal, "3 BUILDS")
        terminal.press("Gl")
        await shows(terminal, "+time")
        await shows(terminal, "all read")
        terminal.press(":")
        await wait_until(lambda: ":" in [line.strip() for line in terminal.text()])
        terminal.press("7\r")
        await shows(terminal, "line 7 of")
        shown = next(line for line in terminal.text() if line.startswith(">"))
        terminal.press("cc")
        await wait_until(lambda: copied(terminal)[:20] in shown and copied(terminal) != "pi002")
        await shows(terminal, "Copied line 7: ")


async def sheet_is_gone(terminal: PtySession) -> None:
    """A key pressed before would be one of the sheet's."""
    await wait_until(lambda: not any("─ Copy ─" in line for line in terminal.text()))


def click(terminal: PtySession, x: int, y: int, *, button: int = 0) -> None:
    """Press a button (0: left, 2: right) of the mouse at a cell, and release it (SGR, 1006)."""
    terminal.press(f"\x1b[<{button};{x};{y}M\x1b[<{button};{x};{y}m")


def copied(terminal: PtySession) -> str:
    """What the terminal's clipboard has."""
    found = _CLIPBOARD.findall(b"".join(terminal.data))
    return base64.b64decode(found[-1], validate=True).decode() if found else ""


async def shows(terminal: PtySession, words: str) -> None:
    await asyncio.to_thread(terminal.wait_for_text, words)
