"""The console on a real terminal: how it starts and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from tests.timeouts import WAIT_S
from tests.tui.pty_session import PtySession

pytestmark = pytest.mark.farm  # each starts `piw tui` on a terminal

#: Through the screens, and what is to be read there then.
_TOUR = (
    ("", "Builders 5"),
    ("4", "Empty in"),
    ("3", "Outcome"),
    ("7", "Count"),
    ("5", "Regr"),
    ("\x0b", "Esc: close"),
    ("host", "machine"),
    ("\r", "web root disk"),
    ("8", "Who"),
    ("l", "No build is selected"),
    ("8", "Who"),
    ("e", "No release is selected"),
    ("?", "Keys of the Explain screen"),
    ("q", "No release is selected"),
    ("2", "pi005"),
    ("K", "Cancel"),
)
PIW = (sys.executable, "-m", "piwheels", "tui")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulated farm, in a process of its own."""
    socket = tmp_path_factory.mktemp("farm") / "s"
    farm = subprocess.Popen(
        [sys.executable, "-m", "tests.simfarm", "--builders", "5", "--socket", str(socket)],
        stdout=subprocess.DEVNULL,
    )
    yield f"ipc://{socket}"
    farm.terminate()
    farm.wait()


def start_console(address: str, tmp_path: Path, *options: str, **environ: str) -> PtySession:
    argv = [*PIW, "--connect", address, *options]
    return PtySession(argv, environ={"XDG_CONFIG_HOME": str(tmp_path), **environ})


def test_the_console_shows_the_farm_and_restores_the_terminal(address: str, tmp_path: Path) -> None:
    with start_console(address, tmp_path) as terminal:
        terminal.wait_for_text("Builders 5")
        assert not terminal.responds
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.responds


@pytest.mark.parametrize("ignored", ["HUP", ""], ids=["SIGHUP ignored", "SIGHUP as usual"])
def test_the_console_ends_with_its_terminal(address: str, tmp_path: Path, ignored: str) -> None:
    command = " ".join([*PIW, "--connect", address])
    script = f"trap '' {ignored}; exec {command}" if ignored else f"exec {command}"
    with PtySession(["sh", "-c", script]) as terminal:
        terminal.wait_for_text("Builders 5")
        terminal.hang_up()
        assert terminal.end() in {129, -signal.SIGHUP}


def test_a_terminated_console_restores_the_terminal(address: str, tmp_path: Path) -> None:
    with start_console(address, tmp_path) as terminal:
        terminal.wait_for_text("Builders 5")
        terminal.process.terminate()
        assert terminal.end() == 0
        assert terminal.responds


def test_a_console_without_a_master_waits_and_shows_it(tmp_path: Path) -> None:
    with start_console(f"ipc://{tmp_path}/nobody", tmp_path) as terminal:
        terminal.wait_for_text("Waiting for a master")
        terminal.press("q")
        assert terminal.end() == 0


def test_invalid_settings_are_reported_and_renamed(address: str, tmp_path: Path) -> None:
    file = tmp_path / "piwheels" / "console.toml"
    file.parent.mkdir()
    file.write_text("theme = [")
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    with PtySession([*PIW, "--connect", address], width=115, environ=environ) as terminal:
        terminal.wait_for_text("is not valid")
        terminal.wait_for_text("Builders 5")
    assert not file.exists()
    assert file.with_name("console.toml.broken").read_text() == "theme = ["


def test_keys_for_unknown_actions_are_reported(address: str, tmp_path: Path) -> None:
    file = tmp_path / "piwheels" / "console.toml"
    file.parent.mkdir()
    file.write_text('[keys]\nfly = "f1"\n')
    with start_console(address, tmp_path) as terminal:
        terminal.wait_for_text("unknown action")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--connect", "frob://x"), "is not an address of a master"),
        (("--connect", "ssh://"), "is not ssh://user@host"),
        (("--connect", "tcp://localhost:1"), "piw key generate console"),
    ],
)
def test_an_invalid_address_is_one_line_and_no_screen(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    toml = tmp_path / "piwheels.toml"
    toml.write_text('[builder]\nkey_dir = "keys"\n')
    with PtySession([*PIW, *options, "--config", str(toml)], width=200) as terminal:
        assert terminal.end() in {1, 2}
        terminal.wait_for_text(message)
        assert b"\x1b[?1049h" not in b"".join(terminal.data)


def test_without_a_terminal_alternatives_are_named(address: str) -> None:
    done = subprocess.run(
        [*PIW, "--connect", address], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert b"--snapshot" in done.stderr
    assert b"piw status" in done.stderr


def test_a_dumb_terminal_is_rejected(address: str, tmp_path: Path) -> None:
    with start_console(address, tmp_path, TERM="dumb") as terminal:
        assert terminal.end() == 2
        terminal.wait_for_text("TERM is dumb")
        assert b"\x1b[?1049h" not in b"".join(terminal.data)


def test_a_console_without_a_shell_cannot_be_suspended(address: str, tmp_path: Path) -> None:
    with start_console(address, tmp_path) as terminal:
        terminal.wait_for_text("Builders 5")
        terminal.press("\x1a")
        terminal.wait_for_text("Cannot suspend")


def frames_of(terminal: PtySession) -> list[list[str]]:
    """The screen after each frame; a frame ends with a request for the cursor's position."""
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    shown = []
    for frame in b"".join(terminal.data).split(b"\x1b[6n")[:-1]:
        stream.feed(frame)
        shown.append(list(screen.display))
    return shown


@pytest.mark.parametrize("has_master", [True, False])
def test_each_frame_is_complete_from_the_first_on(
    address: str, tmp_path: Path, has_master: bool
) -> None:
    with start_console(address if has_master else f"ipc://{tmp_path}/none", tmp_path) as terminal:
        terminal.wait_for_text("Builders 5" if has_master else "Last attempt:")
        terminal.wait_for(lambda _: bool(frames_of(terminal)))
        frames = frames_of(terminal)
    for lines in frames:
        screen = "\n".join(lines)
        is_waiting = "waiting for a master" in lines[0]
        assert "OVERVIEW" in lines[1], screen
        assert any("q Quit" in line for line in lines[-2:]), screen
        assert is_waiting == ("Waiting for a master at" in screen), screen
        assert is_waiting != ("Builders 5" in screen and "pi0" in screen), screen


@pytest.mark.parametrize("over", ["", "K"])
def test_ctrl_l_redraws_what_other_programs_overwrote(
    address: str, tmp_path: Path, over: str
) -> None:
    with start_console(address, tmp_path) as terminal:
        terminal.wait_for_text("Builders 5")
        if over:
            terminal.press("2")
            terminal.wait_for_text("Temp")
            terminal.press(over)
            terminal.wait_for_text("Cancel")
        terminal.scribble("Broadcast message from root@pi " * 20)
        terminal.wait_for_text("Broadcast message")
        terminal.press("\x0c")
        terminal.wait_for(lambda lines: not any("Broadcast" in line for line in lines))
        terminal.wait_for_text("Cancel" if over else "Builders 5")


def test_ctrl_c_shows_how_to_quit(address: str, tmp_path: Path) -> None:
    with start_console(address, tmp_path) as terminal:
        terminal.wait_for_text("Builders 5")
        terminal.press("\x03")
        terminal.wait_for_text("q: Quit the")


@pytest.mark.parametrize(
    ("environ", "ascii_only"),
    [
        ({"LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "C"}, True),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, True),
        ({"LANG": "C.UTF-8", "TERM": "tmux-256color"}, False),
    ],
)
def test_ascii_is_used_where_glyphs_are_missing(environ: dict[str, str], ascii_only: bool) -> None:
    requested = "from piwheels.tui.run import is_ascii_terminal; print(is_ascii_terminal())"
    clean = {name: it for name, it in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    message = subprocess.check_output(
        [sys.executable, "-c", requested], env={**clean, "TERM": "xterm", **environ}, text=True
    )
    assert message.strip() == str(ascii_only)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "options"),
    [
        ({"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ()),
        ({}, ("--ascii",)),
    ],
    ids=["locale", "option"],
)
def test_without_unicode_only_ascii_is_sent(
    address: str, tmp_path: Path, environ: dict[str, str], options: tuple[str, ...]
) -> None:
    with start_console(address, tmp_path, *options, **environ) as terminal:
        for keys, words in _TOUR:
            terminal.press(keys)
            terminal.wait_for_text(words)
        text = b"".join(terminal.data).decode(errors="replace")
        assert {char for char in text if not char.isascii()} == set()


@pytest.mark.slow
def test_no_color_sends_no_colors(address: str, tmp_path: Path) -> None:
    with start_console(address, tmp_path, NO_COLOR="1") as terminal:
        terminal.wait_for_text("Builders 5")
        terminal.press("2")
        terminal.wait_for_text("Taken")
        terminal.press("K")
        terminal.wait_for_text("Cancel")
        colors = {
            (char.fg, char.bg)
            for line in terminal._screen.buffer.values()
            for char in line.values()
        }
        assert colors == {("default", "default")}


def test_a_snapshot_is_drawn_without_a_terminal(address: str, tmp_path: Path) -> None:
    picture = tmp_path / "farm.svg"
    subprocess.run(
        [*PIW, "--connect", address, "--snapshot", str(picture)],
        stdin=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "COLUMNS": "100", "LINES": "30"},
        timeout=WAIT_S,
    )
    assert picture.read_text().startswith("<svg")
    assert "Longest" in picture.read_text()


def test_an_unwritable_snapshot_is_reported_in_one_line(address: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*PIW, "--connect", address, "--snapshot", str(tmp_path / "no" / "a.svg")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
