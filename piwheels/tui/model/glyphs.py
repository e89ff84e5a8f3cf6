"""Glyphs and styles of states and results; a glyph and a word accompany every color.

Every glyph is one cell wide, in WGL4 and in the fonts of Linux's console, and has an ASCII form
that is unique in its column. A style is the name of a theme's color: success, warning, error,
accent, muted, or "" for plain text.
"""

from piwheels.model import Alert, AlertState
from piwheels.protocol.messages import BuilderState
from piwheels.tui.model.command_status import CommandState

_GLYPHS: dict[str, tuple[str, str]] = {
    # states of a builder
    "lost": ("×", "X"),
    "quarantined": ("Ø", "Q"),
    "overdue": ("▲", "!"),
    "silent": ("?", "?"),
    "draining": ("▼", "v"),
    "to sleep": ("↓", ","),
    "asleep": ("z", "z"),
    "paused": ("≡", "="),
    "finishing": ("-", "-"),
    "uploading": ("↑", "^"),
    "building": ("●", "*"),
    "idle": ("·", "."),
    "ended": ("■", "o"),
    "unknown": ("·", "."),
    # results
    "good": ("+", "+"),
    "bad": ("×", "x"),
    "warning": ("▲", "!"),
    "retry": ("r", "r"),
    "pending": ("…", ":"),
    "farm": ("·", "."),
    "operator": ("→", ">"),
}
_BARS = (" ▁▂▃▄▅▆▇█", " .:-=+*%#")

#: Alerts first, then states about to change, then normal ones.
STATE_ORDER: dict[str, int] = {
    BuilderState.LOST: 0,
    BuilderState.QUARANTINED: 1,
    BuilderState.OVERDUE: 2,
    BuilderState.SILENT: 4,
    BuilderState.DRAINING: 5,
    BuilderState.TO_SLEEP: 6,
    BuilderState.UPLOADING: 7,
    BuilderState.BUILDING: 8,
    BuilderState.FINISHING: 9,
    BuilderState.PAUSED: 10,
    BuilderState.ASLEEP: 11,
    BuilderState.IDLE: 12,
    BuilderState.ENDED: 13,
}
#: The position of builders whose machine has an alert: after overdue.
MACHINE_ALERT_ORDER = 3
#: The states of every build. They share one position in the default order: a table whose rows move
#: with each build cannot be read.
WORKING_STATES = frozenset({BuilderState.UPLOADING, BuilderState.BUILDING, BuilderState.FINISHING})
#: The states that are alerts.
ALERT_STATES = frozenset(
    {BuilderState.LOST, BuilderState.QUARANTINED, BuilderState.OVERDUE, BuilderState.SILENT}
)

#: The alerts that have a glyph of their own.
_OWN_GLYPHS = frozenset({"lost", "quarantined", "overdue", "silent"})

STATE_STYLE: dict[str, str] = {
    BuilderState.LOST: "error",
    BuilderState.QUARANTINED: "error",
    BuilderState.OVERDUE: "warning",
    BuilderState.SILENT: "warning",
    BuilderState.DRAINING: "accent",
    BuilderState.TO_SLEEP: "accent",
    BuilderState.UPLOADING: "success",
    BuilderState.BUILDING: "success",
    BuilderState.FINISHING: "",
    BuilderState.PAUSED: "accent",
    BuilderState.ASLEEP: "muted",
    BuilderState.IDLE: "muted",
    BuilderState.ENDED: "muted",
}

COMMAND_STYLE: dict[CommandState, tuple[str, str]] = {
    CommandState.SENT: ("pending", ""),
    CommandState.ACCEPTED: ("pending", "accent"),
    CommandState.APPLIED: ("good", "success"),
    CommandState.REJECTED: ("bad", "error"),
    CommandState.TIMED_OUT: ("warning", "warning"),
    CommandState.UNKNOWN: ("warning", "warning"),
    CommandState.NOT_SENT: ("bad", "error"),
}


def glyph(name: str, *, ascii_only: bool = False) -> str:
    """The glyph of this name, or the one for "unknown"."""
    return _GLYPHS.get(name, _GLYPHS["unknown"])[ascii_only]


def alert_style(alert: Alert) -> str:
    """The style of an alert's rule."""
    if alert.state is not AlertState.ACTIVE:
        return "muted"
    return "error" if alert.is_critical else "warning"


def alert_glyph(alert: Alert, *, ascii_only: bool = False) -> str:
    """The glyph of an alert's rule."""
    match alert.state:
        case AlertState.ACTIVE if alert.rule in _OWN_GLYPHS:
            name = str(alert.rule)
        case AlertState.ACTIVE:
            name = "lost" if alert.is_critical else "warning"
        case AlertState.CLEARED:
            name = "good"
        case _:
            name = "unknown"
    return glyph(name, ascii_only=ascii_only)


def sparkline(values: tuple[float, ...], width: int, top: float, *, ascii_only: bool) -> str:
    """The last values as bars, `top` or more as a full one; at most `width` cells."""
    bars = _BARS[ascii_only]
    steps = len(bars) - 1
    scale = steps / top if top > 0 else 0.0
    return "".join(bars[min(steps, max(0, round(value * scale)))] for value in values[-width:])
