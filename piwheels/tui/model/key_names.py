"""Key names for people, and the checks of an operator's own keys."""

from collections.abc import Mapping

from piwheels.tui.model.action_types import Action
from piwheels.tui.model.actions import action_named, all_actions

_KEY_LABELS = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "asterisk": "*",
    "plus": "+",
    "minus": "-",
    "full_stop": ".",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "space": "Space",
}

#: Tables, logs and text fields need these keys themselves.
RESERVED_KEYS = frozenset(
    {
        *("up", "down", "left", "right", "pageup", "pagedown", "home", "end", "tab", "shift+tab"),
        *("j", "k", "g", "G"),
    }
)


#: Old names of actions, which settings may still use.
_RENAMED_ACTIONS = {
    "copy_row": "copy",
    "fates": "commands",
    "rekey": "change_key",
    "leave": "quit",
    "servers": "show_builders",
    "problem": "next_alert",
    "turn": "reverse_sort",
    "quit_master": "stop_master",
    "skip_build": "cancel_build",
    "drain_rolling": "rolling_restart",
    "usual_priority": "reset_priority",
    "next": "next_match",
    "previous": "previous_match",
    "play": "toggle_playback",
    "seek_on": "seek_forward",
    "palette": "find",
    "first_error": "next_match",
}


def rename_actions(keys: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Keys by the current names of their actions, and one line about the old names, or ""."""
    old = [name for name in keys if name in _RENAMED_ACTIONS]
    renamed = {_RENAMED_ACTIONS.get(name, name): chosen for name, chosen in keys.items()}
    lines = [f"{name} is called {_RENAMED_ACTIONS[name]} now" for name in old]
    return renamed, f"[keys]: {', '.join(lines)}" if lines else ""


def key_labels(keys: str) -> list[str]:
    """Keys as they are printed on a keyboard; the first is the one to show."""
    return [_key_label(key.strip()) for key in keys.split(",") if key]


def key_label(keys: str) -> str:
    """The key to show of several; "" for none."""
    return next(iter(key_labels(keys)), "")


def _key_label(key: str) -> str:
    return _KEY_LABELS.get(key, key).replace("ctrl+", "^")


def conflicting_action(action: Action, key: str, keys: Mapping[str, str]) -> Action | None:
    """Another action that has this key on a screen of `action`; None when the key is free.

    `keys` are the operator's own keys by action name.
    """
    for other in all_actions():
        if other is action or not _share_screen(action, other):
            continue
        if key in keys.get(other.name, other.keys).split(","):
            return other
    return None


def _share_screen(one: Action, other: Action) -> bool:
    """Whether both are available on some screen; a screen's own action hides a global one."""
    if bool(one.screens) != bool(other.screens):
        return False
    return not one.screens or bool(set(one.screens) & set(other.screens))


def validate_keys(keys: Mapping[str, str]) -> str:
    """What is wrong with an operator's own keys, in one line; "" when nothing is."""
    unknown = sorted(set(keys) - {action.name for action in all_actions()})
    if unknown:
        return f"[keys]: unknown action {unknown[0]}; its key is ignored"
    for name, chosen in keys.items():
        for key in chosen.split(","):
            if key in RESERVED_KEYS:
                return f"{_key_label(key)} moves the cursor and cannot be the key of {name}"
            other = conflicting_action(action_named(name), key, keys)
            if other is not None:
                return f"{_key_label(key)} is the key of both {name} and {other.name}"
    return ""
