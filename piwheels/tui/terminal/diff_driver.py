"""A driver and an app that send only changed cells, with flow control.

Textual queues frames for a slow terminal, and the echo of a key waits behind all of them. Here a
frame ends with a request for the cursor position; until the terminal has replied, updates only
change the wanted screen, and the next frame has them all.
"""

import asyncio
import inspect
import logging
import termios
import threading
import time
import tty
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from rich.color import ColorSystem
from rich.console import RenderableType
from rich.control import Control
from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.screen import Screen

from piwheels.tui.terminal.cell_diff import CellDiff

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

#: Requests the cursor position. All terminals support it, and Textual parses the reply.
_CURSOR_POSITION_REQUEST = "\x1b[6n"
#: How long to wait for a terminal that has replied before; then the next frame is sent.
_REPLY_TIMEOUT_S = 5.0
#: A terminal that has never replied gets frames as fast as the output buffers take them.
_FIRST_REPLY_TIMEOUT_S = 1.0
_POLL_S = 0.02
#: Frames of more bytes are sent as synchronized updates, where supported.
_SYNC_MIN_BYTES = 512
_SYNC_START, _SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
#: After a key or a click, frames are not delayed for this long.
_INTERACTIVE_S = 1.0
_INPUT_EVENTS = (
    events.Key,
    events.Paste,
    events.MouseDown,
    events.MouseScrollDown,
    events.MouseScrollUp,
)
#: Private parts of Textual's app that are used here.
_DISPLAY_PARAMETERS = ["self", "screen", "renderable"]
_REQUIRED_PRIVATE_ATTRIBUTES = (
    "_batch_count",
    "_closed",
    "_driver",
    "_exit",
    "_running",
    "_sync_available",
)


class FlowControlledDriver(LinuxDriver):
    """Textual's driver, which also knows whether the terminal has processed a frame."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._awaiting_reply = False
        self._reply_received = threading.Event()
        self._has_replied = False
        self._never_replies = False
        self._sent_at = 0.0

    @property
    def ready(self) -> bool:
        """Whether the terminal has processed what was sent, as far as known."""
        if not self._awaiting_reply:
            return True
        waited_s = time.monotonic() - self._sent_at
        if self._has_replied:
            return waited_s > _REPLY_TIMEOUT_S
        self._never_replies = self._never_replies or waited_s > _FIRST_REPLY_TIMEOUT_S
        return self._never_replies and self._is_drained()

    def _is_drained(self) -> bool:
        queue = getattr(self._writer_thread, "_queue", None)
        return queue is None or bool(queue.empty())

    def send_frame(self, data: str) -> None:
        """Write a frame, and request a reply when it is processed."""
        self._awaiting_reply = True
        self._sent_at = time.monotonic()
        self._reply_received.clear()
        self.write(data + _CURSOR_POSITION_REQUEST)

    def process_message(self, message: Message) -> None:
        """Handle replies here, in the input thread; everything else is for the app."""
        if isinstance(message, events.CursorPosition):
            self._has_replied, self._awaiting_reply = True, False
            self._reply_received.set()
            if isinstance(self._app, DiffApp):
                self._loop.call_soon_threadsafe(self._app.flush)
            return
        super().process_message(message)

    def start_application_mode(self) -> None:
        """Start, also after a suspension, when others have used the terminal."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._awaiting_reply = False
        self._disable_newline_translation()
        if isinstance(self._app, DiffApp):
            self._loop.call_soon(self._app.repaint)

    def _disable_newline_translation(self) -> None:
        """Let a line feed only move the cursor down, until Textual restores the modes."""
        with suppress(termios.error):
            modes = termios.tcgetattr(self.fileno)
            modes[tty.OFLAG] &= ~termios.ONLCR
            termios.tcsetattr(self.fileno, termios.TCSANOW, modes)

    def stop_application_mode(self) -> None:
        """Stop; wait for a pending reply, which else would go to the operator's shell."""
        if self._awaiting_reply and self._has_replied:
            self._reply_received.wait(_FIRST_REPLY_TIMEOUT_S)
        super().stop_application_mode()


class DiffApp(App[_Result]):
    """A Textual app whose frames have only what changed.

    With an unexpected version of Textual, Textual's own drawing is used, and the log says so.
    """

    #: The least time between two frames that no key caused.
    min_frame_s: ClassVar[float] = 0.0

    def __init__(self, **options: Any) -> None:
        options.setdefault("driver_class", FlowControlledDriver)
        super().__init__(**options)
        self._diff = _make_cell_diff(self)
        self._timer_handle: asyncio.TimerHandle | None = None
        self._frame_at = 0.0
        self._input_at = time.monotonic() - _INTERACTIVE_S
        if self._diff is None:
            _log.warning("unexpected Textual version (not 8.2): whole lines are sent")

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if (
            self._diff is None
            or not isinstance(self._driver, FlowControlledDriver)
            or not self._diff.supports(renderable)
            or self._batch_count
        ):
            super()._display(screen, renderable)
            return
        try:
            system = self.console._color_system or ColorSystem.TRUECOLOR  # noqa: SLF001 as Textual
            self._diff.apply(renderable, system, self.size)
        except (AttributeError, TypeError, ValueError) as error:
            self._disable_diff(error)
        else:
            self.flush()
        finally:
            self.post_display_hook()

    @property
    def idle_s(self) -> float:
        """For how long no key was pressed and no button of the mouse."""
        return time.monotonic() - self._input_at

    def _disable_diff(self, error: Exception) -> None:
        _log.warning("comparing cells failed, whole lines are sent: %r", error)
        self._diff = None
        self.refresh()

    def flush(self) -> None:
        """Send what the terminal does not show yet, now or when it is ready."""
        driver = self._driver
        if (
            self._diff is None
            or not isinstance(driver, FlowControlledDriver)
            or not self._can_write()
        ):
            return
        if not self._diff.has_pending:
            return
        wait_s = self._wait_s(driver)
        if wait_s > 0:
            self._flush_later(wait_s)
            return
        frame = self._diff.diff_bytes()
        if not frame:
            return
        self._frame_at = time.monotonic()
        if self.cursor_position != (0, 0):
            frame += Control.move_to(*self.cursor_position).segment.text
        if self._sync_available and len(frame) > _SYNC_MIN_BYTES:
            frame = f"{_SYNC_START}{frame}{_SYNC_END}"
        driver.send_frame(frame)

    def _can_write(self) -> bool:
        return self._running and not self._closed and not self._exit

    def _wait_s(self, driver: FlowControlledDriver) -> float:
        if not driver.ready:
            return _POLL_S
        now = time.monotonic()
        is_interactive = now < self._input_at + _INTERACTIVE_S
        return 0.0 if is_interactive else self._frame_at + self.min_frame_s - now

    def _flush_later(self, wait_s: float) -> None:
        if self._timer_handle is not None:
            if self._timer_handle.when() <= asyncio.get_running_loop().time() + wait_s:
                return
            self._timer_handle.cancel()
        self._timer_handle = asyncio.get_running_loop().call_later(wait_s, self._flush_now)

    def _flush_now(self) -> None:
        self._timer_handle = None
        self.flush()

    def repaint(self) -> None:
        """Redraw everything: others may have written to the terminal."""
        if self._diff is not None:
            self._diff.invalidate()
            self.flush()
        else:
            self.refresh()

    async def on_event(self, event: events.Event) -> None:
        """Do not delay the echo of a key; after a resize, redraw everything."""
        if isinstance(event, _INPUT_EVENTS):
            self._input_at = time.monotonic()
        elif isinstance(event, events.Resize) and self._diff is not None:
            self._diff.invalidate()
        await super().on_event(event)


def _make_cell_diff(app: DiffApp[Any]) -> CellDiff | None:
    """A cell diff, if the private parts of Textual that it relies on are as expected."""
    display = getattr(App, "_display", None)
    if display is None or list(inspect.signature(display).parameters) != _DISPLAY_PARAMETERS:
        return None
    expected = all(hasattr(app, name) for name in _REQUIRED_PRIVATE_ATTRIBUTES)
    return CellDiff() if expected else None
