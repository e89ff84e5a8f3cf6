"""`piw up` in a terminal: the console over the farm, and what comes after it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builder.conftest import tools, upstream
from tests.endtoend.conftest import offer
from tests.fakeindex import FakeIndex
from tests.tui.sitting import Sitting

__all__ = ["tools", "upstream"]

pytestmark = pytest.mark.slow

Up = Callable[..., Sitting]


@pytest.fixture
def up(tmp_path: Path, upstream: FakeIndex) -> Up:
    def start(*arguments: str) -> Sitting:
        place = ("--dir", str(tmp_path / "farm"), "--port", "0", "--upstream", upstream.simple)
        argv = [sys.executable, "-m", "piwheels", "up", *place, *arguments]
        return Sitting(argv, width=100, height=30, environ={"XDG_CONFIG_HOME": str(tmp_path)})

    return start


def test_the_console_opens_and_leaving_it_can_stop_the_farm(up: Up, upstream: FakeIndex) -> None:
    offer(upstream, "alpha")
    with up("alpha") as terminal:
        terminal.until_shown("1 Builders", 300)
        terminal.until_shown("builder-1")
        terminal.press("3")
        terminal.until_shown("✓ built", 300)
        terminal.press("q")
        terminal.until_shown("Stop the farm?")
        terminal.press("\r")
        assert terminal.end() == 0
        assert terminal.echoes


def test_leaving_the_console_can_leave_the_farm_running(up: Up, upstream: FakeIndex) -> None:
    offer(upstream, "alpha", "time.sleep(20)")
    with up("alpha") as terminal:
        terminal.until_shown("alpha 1.0", 300)
        terminal.press("q")
        terminal.until_shown("Stop the farm?")
        terminal.press("n\r")
        terminal.until_shown("Ctrl-C stops it")
        terminal.until_shown("alpha 1.0 for", 300)
        terminal.until_shown(": built in", 300)
        terminal.press("\x03")
        terminal.until_shown("the same command goes on.")
        assert terminal.end() == 130


def test_the_console_closes_when_all_is_built_and_the_table_follows(
    up: Up, upstream: FakeIndex
) -> None:
    offer(upstream, "alpha", "time.sleep(20)")
    with up("alpha", "--exit-when-idle") as terminal:
        terminal.until_shown("1 Builders", 300)
        terminal.until_shown("wheel or reason", 300)
        assert terminal.end() == 0
        assert "alpha-1.0-py3-none-any.whl" in "\n".join(terminal.text())
        assert terminal.echoes


def test_lines_are_printed_where_no_console_is_wanted(up: Up, upstream: FakeIndex) -> None:
    offer(upstream, "alpha")
    with up("alpha", "--no-tui", "--exit-when-idle") as terminal:
        assert terminal.end(300) == 0
        terminal.until_shown("alpha-1.0-py3-none-any.whl")
        assert "1 Builders" not in "\n".join(terminal.text())
