"""`piw up` in a terminal: its console, and what is printed after it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builder.conftest import tools, upstream
from tests.endtoend.conftest import add_release
from tests.fake_index import FakeIndex
from tests.tui.pty_session import PtySession

__all__ = ["tools", "upstream"]

pytestmark = pytest.mark.slow

Up = Callable[..., PtySession]


@pytest.fixture
def up(tmp_path: Path, upstream: FakeIndex) -> Up:
    def start(*arguments: str) -> PtySession:
        place = ("--dir", str(tmp_path / "farm"), "--port", "0", "--upstream", upstream.simple)
        argv = [sys.executable, "-m", "piwheels", "up", *place, *arguments]
        return PtySession(argv, width=100, height=30, environ={"XDG_CONFIG_HOME": str(tmp_path)})

    return start


def test_quitting_the_console_can_stop_the_farm(up: Up, upstream: FakeIndex) -> None:
    add_release(upstream, "alpha")
    with up("alpha") as terminal:
        terminal.wait_for_text("1 OVERVIEW", 300)
        terminal.press("2")
        terminal.wait_for_text("builder-1")
        terminal.press("3")
        terminal.wait_for_text("+ built", 300)
        terminal.press("q")
        terminal.wait_for_text("Stop the farm?")
        terminal.press("\r")
        assert terminal.end() == 0
        assert terminal.responds


def test_quitting_the_console_can_keep_the_farm_running(up: Up, upstream: FakeIndex) -> None:
    add_release(upstream, "alpha", "time.sleep(40)")
    with up("alpha") as terminal:
        terminal.wait_for_text("alpha 1.0", 300)
        terminal.press("q")
        terminal.wait_for_text("Stop the farm?")
        terminal.press("n\r")
        terminal.wait_for_text("press Ctrl-C to stop it")
        terminal.wait_for_text("alpha 1.0 for", 300)
        terminal.wait_for_text(": built in", 300)
        terminal.press("\x03")
        terminal.wait_for_text("run the same command again to resume")
        assert terminal.end() == 130


def test_the_console_closes_when_everything_is_built_and_the_table_is_printed(
    up: Up, upstream: FakeIndex
) -> None:
    add_release(upstream, "alpha", "time.sleep(20)")
    with up("alpha", "--exit-when-idle") as terminal:
        terminal.wait_for_text("1 OVERVIEW", 300)
        terminal.wait_for_text("wheel or reason", 300)
        assert terminal.end() == 0
        assert "alpha-1.0-py3-none-any.whl" in "\n".join(terminal.text())
        assert terminal.responds


def test_without_a_console_lines_are_printed(up: Up, upstream: FakeIndex) -> None:
    add_release(upstream, "alpha")
    with up("alpha", "--no-tui", "--exit-when-idle") as terminal:
        assert terminal.end(300) == 0
        terminal.wait_for_text("alpha-1.0-py3-none-any.whl")
        assert "1 Overview" not in "\n".join(terminal.text())
