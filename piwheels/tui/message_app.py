"""An app whose messages have a row of their own on each screen; nothing pops up over rows."""

import time
from typing import Any, Literal

from textual import events

from piwheels.tui.model.app_message import NO_MESSAGE, AppMessage
from piwheels.tui.screens.base import FarmScreen
from piwheels.tui.screens.message_row import MESSAGE_S
from piwheels.tui.terminal.diff_driver import DiffApp

_Severity = Literal["information", "warning", "error"]


class MessageApp(DiffApp[None]):
    """Shows the last message for a while, on whatever screen."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._message = NO_MESSAGE
        self._message_until = 0.0

    @property
    def message(self) -> AppMessage:
        """What the row of messages says."""
        return self._message if time.monotonic() < self._message_until else NO_MESSAGE

    def notify(
        self,
        message: str,
        *,
        severity: _Severity = "information",
        timeout: float | None = None,
        **_: object,
    ) -> None:
        """Show a message; Textual would let it pop up over rows."""
        style = "" if severity == "information" else severity
        self._message = AppMessage(message, style)
        self._message_until = time.monotonic() + (timeout or MESSAGE_S)
        self.refresh_messages()

    def dismiss_message(self) -> bool:
        """Show what is below the message; False when there is none."""
        if self.message == NO_MESSAGE:
            return False
        self._message_until = 0.0
        self.refresh_messages()
        return True

    async def on_event(self, event: events.Event) -> None:
        """A message is gone with the next key; `dismiss_warning` is for Esc."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._dismiss_by_key(event.key)
        await super().on_event(event)

    def _dismiss_by_key(self, key: str) -> None:
        if key != "escape" or not self.message.style:
            self.dismiss_message()

    def dismiss_warning(self) -> bool:
        """Dismiss what complains: the operator may mean that, and not to leave the screen."""
        return bool(self.message.style) and self.dismiss_message()

    def refresh_messages(self) -> None:
        """Show what the row of messages says now, and once more when that has had its time."""
        if not self.is_running:
            return
        for screen in self.screen_stack:
            if isinstance(screen, FarmScreen) and screen.has_widgets:
                screen.refresh_bars()
        self.set_timer(MESSAGE_S + 0.1, self._refresh_shown)

    def _refresh_shown(self) -> None:
        if isinstance(screen := self.screen, FarmScreen):
            screen.refresh_bars()
