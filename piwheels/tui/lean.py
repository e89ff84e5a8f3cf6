"""An app that sends a terminal only the cells that changed, and no more than it takes.

Textual queues frames for a terminal that is slow to take them, and a key's echo waits behind
them all. Here a frame ends with the question where the cursor is; until the terminal has
answered, updates only say what is wanted, and the next frame is made of all of them.
"""

import asyncio
import inspect
import logging
import termios
import threading
import time
import tty
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.color import ColorSystem
from rich.console import RenderableType
from rich.control import Control
from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.screen import Screen

if TYPE_CHECKING:
    from piwheels.tui.celldiff import CellDiff

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

#: Asks where the cursor is. Every terminal knows it, and Textual's parser knows the answer.
_ASK = "\x1b[6n"
#: A terminal that has answered before is waited for so long; then the next frame goes out.
_ANSWER_S = 5.0
#: One that has never answered gets frames as fast as the output's buffers take them.
_FIRST_ANSWER_S = 1.0
_POLL_S = 0.02
#: A terminal shows a frame of more bytes than this at once, if it can.
_SYNC_BYTES = 512
_SYNC_START, _SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
#: After a key or a click frames are not held back for so long.
_BRISK_S = 1.0
_ASKED_FOR = (
    events.Key,
    events.Paste,
    events.MouseDown,
    events.MouseScrollDown,
    events.MouseScrollUp,
)
#: What is used of Textual's app that it does not promise to keep.
_PRIVATE = ("_batch_count", "_closed", "_driver", "_exit", "_running", "_sync_available")


class LeanDriver(LinuxDriver):
    """Textual's driver, which also tells when the terminal has taken a frame."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waits = False
        self._answered = threading.Event()
        self._answers = False
        self._mute = False
        self._sent_at = 0.0

    @property
    def ready(self) -> bool:
        """Whether the terminal has taken what was sent, as far as can be told."""
        if not self._waits:
            return True
        waited_s = time.monotonic() - self._sent_at
        if self._answers:
            return waited_s > _ANSWER_S
        self._mute = self._mute or waited_s > _FIRST_ANSWER_S
        return self._mute and self._drained()

    def _drained(self) -> bool:
        queue = getattr(self._writer_thread, "_queue", None)
        return queue is None or bool(queue.empty())

    def send_frame(self, data: str) -> None:
        """Write a frame, and ask to be told when it has arrived."""
        self._waits = True
        self._sent_at = time.monotonic()
        self._answered.clear()
        self.write(data + _ASK)

    def process_message(self, message: Message) -> None:
        """In the input's thread: an answer is for us, all else for the app."""
        if isinstance(message, events.CursorPosition):
            self._answers, self._waits = True, False
            self._answered.set()
            if isinstance(self._app, LeanApp):
                self._loop.call_soon_threadsafe(self._app.send_owed)
            return
        super().process_message(message)

    def start_application_mode(self) -> None:
        """Also after a suspension, when others have used the terminal."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._waits = False
        self._keep_columns()
        if isinstance(self._app, LeanApp):
            self._loop.call_soon(self._app.repaint)

    def _keep_columns(self) -> None:
        """Have a line feed move the cursor down and nothing else, until Textual restores it all."""
        with suppress(termios.error):
            modes = termios.tcgetattr(self.fileno)
            modes[tty.OFLAG] &= ~termios.ONLCR
            termios.tcsetattr(self.fileno, termios.TCSANOW, modes)

    def stop_application_mode(self) -> None:
        """An answer that comes later would be typed into the operator's shell."""
        if self._waits and self._answers:
            self._answered.wait(_FIRST_ANSWER_S)
        super().stop_application_mode()


class LeanApp(App[_Result]):
    """A Textual app whose frames hold only what changed.

    Where Textual is another than this was written for, it draws as it always does, and the
    log says so.
    """

    #: At least so long between two frames that no key asked for.
    frame_s: ClassVar[float] = 0.0

    def __init__(self, **options: Any) -> None:
        options.setdefault("driver_class", LeanDriver)
        super().__init__(**options)
        self._cells = _cell_diff(self)
        self._timer_handle: asyncio.TimerHandle | None = None
        self._frame_at = 0.0
        self._brisk_until = 0.0
        if self._cells is None:
            _log.warning("this Textual draws otherwise than 8.2: whole lines are sent")

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if (
            self._cells is None
            or not isinstance(self._driver, LeanDriver)
            or not self._cells.takes(renderable)
            or self._batch_count
        ):
            super()._display(screen, renderable)
            return
        try:
            system = self.console._color_system or ColorSystem.TRUECOLOR  # noqa: SLF001 as Textual
            self._cells.take(renderable, system, self.size)
        except (AttributeError, TypeError, ValueError) as error:
            self._draw_as_ever(error)
        else:
            self.send_owed()
        finally:
            self.post_display_hook()

    def _draw_as_ever(self, error: Exception) -> None:
        _log.warning("cells cannot be compared, whole lines are sent: %r", error)
        self._cells = None
        self.refresh()

    def send_owed(self) -> None:
        """Send what the terminal does not show yet, if it is ready for it; else soon."""
        driver = self._driver
        if self._cells is None or not isinstance(driver, LeanDriver) or not self._can_write():
            return
        if not self._cells.owed:
            return
        wait_s = self._wait_s(driver)
        if wait_s > 0:
            self._later(wait_s)
            return
        frame = self._cells.emit()
        if not frame:
            return
        self._frame_at = time.monotonic()
        if self.cursor_position != (0, 0):
            frame += Control.move_to(*self.cursor_position).segment.text
        if self._sync_available and len(frame) > _SYNC_BYTES:
            frame = f"{_SYNC_START}{frame}{_SYNC_END}"
        driver.send_frame(frame)

    def _can_write(self) -> bool:
        return self._running and not self._closed and not self._exit

    def _wait_s(self, driver: LeanDriver) -> float:
        if not driver.ready:
            return _POLL_S
        now = time.monotonic()
        return 0.0 if now < self._brisk_until else self._frame_at + self.frame_s - now

    def _later(self, wait_s: float) -> None:
        if self._timer_handle is not None:
            if self._timer_handle.when() <= asyncio.get_running_loop().time() + wait_s:
                return
            self._timer_handle.cancel()
        self._timer_handle = asyncio.get_running_loop().call_later(wait_s, self._now)

    def _now(self) -> None:
        self._timer_handle = None
        self.send_owed()

    def repaint(self) -> None:
        """Draw everything again: others may have written to the terminal."""
        if self._cells is not None:
            self._cells.forget()
            self.send_owed()
        else:
            self.refresh()

    async def on_event(self, event: events.Event) -> None:
        """A key's echo is not held back; a resized terminal shows nobody knows what."""
        if isinstance(event, _ASKED_FOR):
            self._brisk_until = time.monotonic() + _BRISK_S
        elif isinstance(event, events.Resize) and self._cells is not None:
            self._cells.forget()
        await super().on_event(event)


def _cell_diff(app: LeanApp[Any]) -> "CellDiff | None":
    """A cell diff, if the parts of Textual that it leans on are there and look as they did."""
    try:
        from piwheels.tui.celldiff import CellDiff  # noqa: PLC0415 it may not be possible

        display = inspect.signature(App._display)  # noqa: SLF001 that it is there is the question
    except (ImportError, AttributeError):
        return None
    if list(display.parameters) != ["self", "screen", "renderable"]:
        return None
    return CellDiff() if all(hasattr(app, name) for name in _PRIVATE) else None
