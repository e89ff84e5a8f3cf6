"""The row of keys at the foot of each screen: its own first, in the order in which they are kept.

What does not fit is left out from the end; the last two stay at every width. `?` lists all keys.
"""

from typing import NamedTuple

from piwheels.tui.model.navigation import ScreenName


class KeyHint(NamedTuple):
    """An action, and what it is called here; "" is its usual label."""

    action: str
    label: str = ""


_LOOK = ("filter", "sort", "columns")
_END = ("export", "add_project")
#: On every screen of a recording or a past moment, before its own.
_RECORDING = ("toggle_playback", "step", "seek_back", "seek_forward")
#: At the end of every row.
_LAST = ("help", "quit")

_HINTS: dict[ScreenName, tuple[str | KeyHint, ...]] = {
    ScreenName.OVERVIEW: (
        *("open", "find", "window", "next_alert", "acknowledge", "pause", "resume", "mute"),
        *("log", "add_project"),
    ),
    ScreenName.BUILDERS: (
        *("open", "log", "mark", "sort", "sleep", "drain", "kill", "details", "next_pane"),
        *("filter", "wake", "window", "cancel_build", "columns", "next_alert"),
    ),
    ScreenName.BUILDER: (
        *("open", "back", "log", "sleep", "drain", "kill"),
        *(KeyHint("next_page", "Next"), "window", "wake", "cancel_build", "explain"),
        *("acknowledge", "mute", "previous_page"),
    ),
    ScreenName.BUILDS: (
        *("open", "explain", "mark", "retry", *_LOOK, "details", "cancel_build", "skip_project"),
        *("next_pane", "raise_priority", *_END),
    ),
    ScreenName.QUEUES: (
        *(KeyHint("open", "Next jobs"), *_LOOK, "acknowledge", "mute", "next_alert", *_END),
    ),
    ScreenName.QUEUE: (
        *("open", "explain", "raise_priority", "retry", "skip_project", *_LOOK),
        *("previous_page", "next_page", "back"),
    ),
    ScreenName.FAILURES: (
        *(KeyHint("open", "Releases"), "log", KeyHint("retry_group", "Retry group")),
        *(KeyHint("skip_group", "Skip"), "add_packages", "export", *_LOOK, "explain"),
    ),
    ScreenName.ALERTS: (
        *(KeyHint("open", "Go to it"), KeyHint("acknowledge", "Acknowledge")),
        *(KeyHint("mute", "Mute until"), KeyHint("next_alert", "Next"), "log", *_LOOK, "export"),
    ),
    ScreenName.DOWNLOADS: ("explain", "mark", *_LOOK, "copy", *_END),
    ScreenName.EVENTS: ("open", *_LOOK, "copy", "export"),
    ScreenName.COMMANDS: ("open", *_LOOK, "copy", "export", "back"),
    ScreenName.HOST: (*_LOOK, "acknowledge", "mute", "copy", "export", "back"),
    ScreenName.LOG: (
        *("search", "next_match", "deciding_line", "go_to_line", "follow", "fold", "wrap"),
        *("retry", "save", "previous_match", "previous_page", "next_page", "back"),
    ),
    ScreenName.BUILD: (
        *("log", "explain", "retry", KeyHint("skip_project", "Skip"), "same_cause"),
        *("cancel_build", "previous_page", "next_page", "back"),
    ),
    ScreenName.EXPLAIN: (
        *("log", "retry", KeyHint("skip_project", "Skip"), KeyHint("unskip_project", "Unskip")),
        *("raise_priority", "previous_page", "next_page", "back"),
    ),
}


def key_hints(screen_name: ScreenName, *, recording: bool) -> tuple[KeyHint, ...]:
    """The hints of a screen, in the order in which they are kept."""
    first = _RECORDING if recording else ()
    hints = (*first, *_HINTS.get(screen_name, ("open", "back")), *_LAST)
    return tuple(it if isinstance(it, KeyHint) else KeyHint(it) for it in hints)
