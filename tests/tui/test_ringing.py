"""A new alert rings on a real terminal: what the console writes, and what tmux makes of it."""

import asyncio
import re
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from piwheels.alerts.tracker import AlertTracker
from piwheels.model import Alert, AlertRule, Severity
from piwheels.protocol.messages import AlertsChanged
from piwheels.tui.terminal.alert_signals import BELL, RESTORE_TITLE, SAVE_TITLE
from tests.requires import find_program, requires_program
from tests.simfarm.model import FarmModel
from tests.simfarm.server import SimFarm, control_address
from tests.tui.pty_session import PtySession
from tests.tui.source_probe import wait_until
from tests.tui.test_terminal_gone import PIW

pytestmark = pytest.mark.farm  # each starts `piw tui` on a terminal

_OSC = re.compile(rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


def alert(subject: str, **facts: object) -> Alert:
    known = {"since": datetime.now(UTC) - timedelta(hours=1), "text": "no signal"}
    return Alert(
        alert_id=f"lost:{subject}",
        rule=AlertRule.LOST,
        severity=Severity.CRITICAL,
        subject=subject,
        **(known | facts),  # type: ignore[arg-type]
    )


STANDING, NEW = alert("pi1"), alert("pi2")


def farm_with_an_alert(folder: Path) -> SimFarm:
    """A farm that does nothing by itself, with one alert."""
    model = FarmModel(builders=3, odd=False)
    model.alerts = AlertTracker((STANDING,))
    return SimFarm(control_address(folder), model, hz=0)


def title(text: str) -> bytes:
    return f"\x1b]2;piwheels: {text}\a".encode()


class Written:
    """What a console wrote to its terminal: the signals among it."""

    def __init__(self, terminal: PtySession) -> None:
        self._terminal = terminal

    @property
    def data(self) -> bytes:
        return b"".join(self._terminal.data)

    @property
    def bells(self) -> int:
        """The bells, without the bytes that end sequences."""
        return _OSC.sub(b"", self.data).count(BELL.encode())

    @property
    def notifications(self) -> list[bytes]:
        return [it for it in _OSC.findall(self.data) if it.startswith((b"\x1b]9;", b"\x1b]777;"))]


async def test_a_new_alert_rings_once_and_those_that_stood_before_do_not(tmp_path: Path) -> None:
    async with farm_with_an_alert(tmp_path) as farm:
        argv = [*PIW, "--connect", farm.address]
        terminal = PtySession(argv, environ={"XDG_CONFIG_HOME": str(tmp_path), "VTE_VERSION": ""})
        try:
            written = Written(terminal)
            await wait_until(lambda: title("1 alert, 1 critical") in written.data)
            assert SAVE_TITLE.encode() in written.data
            assert (written.bells, written.notifications) == (0, [])
            for _ in range(2):  # told again, it is the same alert
                farm.publish(AlertsChanged(alerts=(STANDING, NEW)))
            await wait_until(lambda: title("2 alerts, 2 critical") in written.data)
            assert written.bells == 1
            assert written.notifications == [b"\x1b]9;piwheels: lost: pi2: no signal\x07"]
            farm.publish(AlertsChanged(alerts=(STANDING, alert("pi2", cleared_at=NEW.since))))
            await wait_until(lambda: written.data.count(title("1 alert, 1 critical")) == 2)
            assert written.bells == 1, "an alert that clears does not ring"
            terminal.press("q")
            assert await asyncio.to_thread(terminal.end) == 0
            await wait_until(lambda: RESTORE_TITLE.encode() in written.data)
        finally:
            await asyncio.to_thread(terminal.__exit__, None, None, None)


@pytest.mark.parametrize(
    ("settings", "vte", "bells", "notification"),
    [
        ("bell = false\ntitle = false\n", "7200", 0, b"\x1b]777;notify;piwheels;lost: pi2"),
        ("bell = false\nnotification = false\ntitle = false\n", "", 0, b""),
        ("notification = false\ntitle = false\n", "", 1, b""),
    ],
)
async def test_each_signal_can_be_off(
    tmp_path: Path, settings: str, vte: str, bells: int, notification: bytes
) -> None:
    file = tmp_path / "piwheels" / "console.toml"
    file.parent.mkdir()
    file.write_text(f"[alerts]\n{settings}")
    async with farm_with_an_alert(tmp_path) as farm:
        argv = [*PIW, "--connect", farm.address]
        environ = {"XDG_CONFIG_HOME": str(tmp_path), "VTE_VERSION": vte}
        terminal = PtySession(argv, environ=environ)
        try:
            written = Written(terminal)
            await asyncio.to_thread(terminal.wait_for_text, "1 alert")
            farm.publish(AlertsChanged(alerts=(STANDING, NEW)))
            await asyncio.to_thread(terminal.wait_for_text, "2 alerts")
            assert written.bells == bells
            shown = b"".join(written.notifications)
            assert shown.startswith(notification)
            assert bool(shown) == bool(notification)
            assert b"\x1b]2;" not in written.data
        finally:
            await asyncio.to_thread(terminal.__exit__, None, None, None)


class Tmux:
    """A tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._command = (find_program("tmux"), "-S", str(folder / "tmux.sock"), "-f", "/dev/null")

    def run(self, *arguments: str) -> str:
        return subprocess.run(
            [*self._command, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    def flags_of(self, window: str) -> str:
        """Its bell flag, and the title of its pane."""
        return self.run("display-message", "-p", "-t", window, "#{window_bell_flag} #{pane_title}")


@requires_program("tmux")
async def test_tmux_marks_the_window_whose_console_has_a_new_alert(tmp_path: Path) -> None:
    tmux = Tmux(tmp_path)
    async with farm_with_an_alert(tmp_path) as farm:
        console = shlex.join([*PIW, "--connect", farm.address])
        command = f"XDG_CONFIG_HOME={shlex.quote(str(tmp_path))} exec {console}"
        tmux.run("new-session", "-d", "-s", "farm", "-x", "80", "-y", "24", "sleep 100000")
        try:
            tmux.run("set-option", "-g", "monitor-bell", "on")
            tmux.run("new-window", "-d", "-t", "farm:5", command)
            await wait_until(lambda: tmux.flags_of("farm:5") == "0 piwheels: 1 alert, 1 critical")
            farm.publish(AlertsChanged(alerts=(STANDING, NEW)))
            await wait_until(lambda: tmux.flags_of("farm:5") == "1 piwheels: 2 alerts, 2 critical")
        finally:
            tmux.run("kill-server")
