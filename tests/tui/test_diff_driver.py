"""Output to a real terminal: frames do not queue, and a terminal is redrawn after other programs wrote to it."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.timeouts import WAIT_S
from tests.tui.pty_terminal import PtyTerminal

pytestmark = pytest.mark.farm  # each starts a program on a terminal

_WIDTH, _HEIGHT = 110, 40
#: A frame in which every cell is another, with what leads to each.
_FRAME_BYTES = 12_000


def started_app(
    kind: str = "lean",
    *,
    every_s: float = 0.0,
    bytes_per_s: int = 0,
    answers: bool = True,
    environment: dict[str, str] | None = None,
) -> PtyTerminal:
    command = [sys.executable, "-m", "tests.tui.high_rate_source", kind, str(every_s)]
    return PtyTerminal(
        command,
        width=_WIDTH,
        height=_HEIGHT,
        bytes_per_s=bytes_per_s,
        answers=answers,
        environment=environment,
    )


def wait_until_started(terminal: PtyTerminal) -> None:
    terminal.wait_for(lambda lines: any("no key yet" in line for line in lines))


def bytes_until_echo(terminal: PtyTerminal, key: str) -> int:
    before = terminal.received
    terminal.press(key)
    terminal.wait_for(lambda lines: any(f"key {key}" in line for line in lines))
    return terminal.received - before


def is_redrawn(lines: list[str]) -> bool:
    return "no key yet" in lines[-1] and not any("scribbles" in line for line in lines)


def is_suspended(terminal: PtyTerminal) -> bool:
    """Whether the program has nothing to do, rather than that others have the processor."""
    threads = Path(f"/proc/{terminal.process.pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] == "S" for stat in threads)


def displayed(terminal: PtyTerminal) -> list[str]:
    """The screen, once nothing comes any more."""
    text = terminal.text()
    quiet = 0
    while quiet < 5:
        time.sleep(0.05)
        now = terminal.text()
        quiet = quiet + 1 if now == text and is_suspended(terminal) else 0
        text = now
    return text


@pytest.mark.parametrize("answers", [True, False])
def test_frames_do_not_queue_for_a_slow_terminal(answers: bool) -> None:
    with started_app(every_s=0.05, bytes_per_s=100_000, answers=answers) as terminal:
        wait_until_started(terminal)
        waited = sorted(bytes_until_echo(terminal, key) for key in "abcdefg")
    # The frame under way, and the one with the echo; a terminal that cannot tell what it has
    # taken also has what its pty buffers.
    assert waited[3] < (2 if answers else 5) * _FRAME_BYTES


@pytest.mark.slow
def test_stock_frames_queue() -> None:
    """Without the driver that the test above is about, frames do queue."""
    with started_app("stock", every_s=0.05, bytes_per_s=25_000) as terminal:
        wait_until_started(terminal)
        assert bytes_until_echo(terminal, "a") > 5 * _FRAME_BYTES


def test_nothing_is_sent_while_nothing_changes() -> None:
    with started_app() as terminal:
        wait_until_started(terminal)
        # A busy machine may be long in drawing; but what draws without need never has done.
        deadline = time.monotonic() + WAIT_S
        while True:
            before = terminal.received
            time.sleep(1)
            if terminal.received == before:
                break
            assert time.monotonic() < deadline


def test_everything_is_redrawn_after_a_suspension() -> None:
    with started_app() as terminal:
        wait_until_started(terminal)
        shown = displayed(terminal)
        os.kill(terminal.process.pid, signal.SIGTSTP)
        status = Path(f"/proc/{terminal.process.pid}/stat")
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)
        terminal.scribble("$ ls\r\nscribbles " * 30)
        assert terminal.text() != shown
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.wait_for(lambda lines: lines == shown)


def test_a_resized_terminal_is_redrawn() -> None:
    with started_app() as terminal:
        wait_until_started(terminal)
        terminal.scribble("scribbles " * 30)
        terminal.resize(70, 30)
        terminal.wait_for(is_redrawn)
        terminal.scribble("scribbles " * 30)
        terminal.resize(_WIDTH, _HEIGHT)
        terminal.wait_for(is_redrawn)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("broken", "comparing cells failed"), ("unknown", "unexpected Textual version")],
)
def test_with_another_textual_version_its_own_drawing_is_used_and_logged(
    kind: str, message: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with started_app(kind, environment={"FLOOD_LOG": str(log)}) as terminal:
        wait_until_started(terminal)
        bytes_until_echo(terminal, "a")
        assert "Column 7" in "".join(terminal.text())
        terminal.press("q")
        assert terminal.process.wait(WAIT_S) == 0
    assert message in log.read_text()
    assert len(log.read_text().splitlines()) == 1


def test_quitting_restores_the_terminal() -> None:
    with started_app() as terminal:
        wait_until_started(terminal)
        terminal.press("q")
        assert terminal.process.wait(WAIT_S) == 0
        deadline = time.monotonic() + WAIT_S
        while b"\x1b[?1049l" not in b"".join(terminal.data) and time.monotonic() < deadline:
            time.sleep(0.01)
        last = b"".join(terminal.data)
    assert b"\x1b[?1049l" in last
    # No question is open whose answer would be typed into the shell.
    assert b"\x1b[6n" not in last.rpartition(b"\x1b[?1049l")[2]
