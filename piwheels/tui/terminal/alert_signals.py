"""A new alert rings: the terminal's bell, a desktop notification, and a count in the title.

Each alert rings once, and those that stood when the console connected do not. Nothing but these
sequences is written, and their texts have no control characters.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from piwheels.formatting import format_count, pluralize
from piwheels.model import Alert, AlertState
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.settings import RingSettings

BELL = "\a"
#: xterm's stack of titles (CSI 22 t, 23 t); a terminal without one gets an empty title.
SAVE_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b]2;\a\x1b[23;2t"
_MAX_CHARS = 150
#: Terminals that show OSC 777, and not OSC 9; by $TERM, and those of VTE by $VTE_VERSION.
_TERMS_WITH_777 = ("rxvt", "foot")
#: These do not know OSC at all.
_TERMS_WITHOUT_OSC = ("linux", "vt")

#: An alert, while it is active.
_Key = tuple[str, datetime]


class AlertSignals:
    """Remembers which alerts have rung; `write` sends text to the terminal."""

    def __init__(
        self,
        settings: RingSettings,
        write: Callable[[str], None],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._write = write
        self._environ = os.environ if environ is None else environ
        self._known: set[_Key] | None = None  # None: not connected yet
        self._title = ""

    @property
    def changes_title(self) -> bool:
        """Whether the title has to be restored."""
        return bool(self._title)

    def forget(self) -> None:
        """The next alerts are of another farm: those that stand do not ring."""
        self._known = None

    def update(self, alerts: Sequence[Alert]) -> None:
        """Show the alerts of now."""
        active = [alert for alert in alerts if alert.state is AlertState.ACTIVE]
        standing = {_key(alert) for alert in alerts if alert.cleared_at is None}
        known = standing if self._known is None else self._known
        new = [alert for alert in active if _key(alert) not in known]
        self._known = standing
        if new and self._settings.bell:
            self._write(BELL)
        if new and self._settings.notification and self._has_osc:
            self._write(self._notification(new))
        if self._settings.title and self._has_osc:
            self._show_title(active)

    @property
    def _has_osc(self) -> bool:
        return not self._environ.get("TERM", "").startswith(_TERMS_WITHOUT_OSC)

    def _notification(self, new: Sequence[Alert]) -> str:
        first = _clean(f"{new[0].rule}: {new[0].subject}: {new[0].text}")
        text = f"{len(new)} new alerts, {first}" if len(new) > 1 else first
        by_term = self._environ.get("TERM", "").startswith(_TERMS_WITH_777)
        if by_term or self._environ.get("VTE_VERSION"):
            return f"\x1b]777;notify;piwheels;{text}\a"
        return f"\x1b]9;piwheels: {text}\a"

    def _show_title(self, active: Sequence[Alert]) -> None:
        critical = sum(alert.is_critical for alert in active)
        counts = [pluralize(len(active), "alert")] if active else ["no alerts"]
        if critical:
            counts.append(f"{format_count(critical)} critical")
        title = f"piwheels: {', '.join(counts)}"
        if title != self._title:
            self._write(f"{'' if self._title else SAVE_TITLE}\x1b]2;{title}\a")
            self._title = title


def _key(alert: Alert) -> _Key:
    return alert.alert_id, alert.since


def _clean(text: str) -> str:
    return terminal_safe(text)[:_MAX_CHARS].replace(";", ",")
