"""Old command and option names, which keep working for one release.

The command line is rewritten to the new names before click parses it, and one line on standard
error names them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_LEADING_OPTIONS_WITH_VALUE = frozenset({"--log-level"})


@dataclass(frozen=True, slots=True)
class Alias:
    """An old command, or an old option of one, and what replaces it."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    option: str = ""  # the alias applies only where this option is given
    new_option: str = ""  # "" removes the option
    dropped_option: str = ""  # an option with a value that the new form does not have

    @property
    def notice(self) -> str:
        """The line that names the new form."""
        old = " ".join(filter(None, ("piw", *self.old, self.option)))
        new = " ".join(filter(None, ("piw", *self.new, self.new_option)))
        return f"`{old}` is now `{new}`; the old form will be removed in the next release"


#: The first that matches applies; those with an option come before those without.
ALIASES = (
    Alias(("drain",), ("builder", "restart"), "--rolling", "--max-parallel"),
    Alias(("skip",), ("unskip",), "--lift", dropped_option="--reason"),
    Alias(("retry",), ("rebuild",), "--built"),
    Alias(("rebuild",), ("pages", "rebuild"), "--part", "--kind"),
    Alias(("add",), ("add",), "--all", "--all-releases"),
    Alias(("up",), ("up",), "--all", "--all-releases"),
    *(
        Alias((name,), ("builder", new))
        for name, new in (
            ("drain", "drain"),
            ("kill", "kill"),
            ("sleep", "sleep"),
            ("wake", "wake"),
            ("abandon", "cancel"),
        )
    ),
    Alias(("quit",), ("master", "stop")),
    Alias(("prioritise",), ("prioritize",)),
    Alias(("initdb",), ("db", "upgrade")),
    *(
        Alias(("deploy", name), ("config", name))
        for name in ("systemd", "nginx", "apache", "caddy")
    ),
    Alias(("deploy",), ("config",)),
    Alias(("key", "new"), ("key", "generate")),
    Alias(("key", "authorize"), ("key", "authorize"), "--operator", "--role=administer"),
    Alias(("key", "authorize"), ("key", "authorize"), "--watcher", "--role=watch"),
    Alias(("key", "allow"), ("key", "authorize")),
)
_BARE_CONFIG = Alias(("config",), ("config", "show"))
_BARE_REBUILD = Alias(("rebuild",), ("pages", "rebuild"))


def rewrite(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The command line with new names, and the line to print; "" if nothing is old."""
    start = _command_start(arguments)
    leading, rest = list(arguments[:start]), list(arguments[start:])
    alias = next((alias for alias in ALIASES if _applies(alias, rest)), None) or _bare(rest)
    if alias is None:
        return [*leading, *rest], ""
    following = rest[len(alias.old) :]
    if alias.dropped_option:
        following = _without_dropped_option(alias, following)
    if alias.option:
        following = _without_option(alias, following)
    return [*leading, *alias.new, *following], alias.notice


def _command_start(arguments: Sequence[str]) -> int:
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in _LEADING_OPTIONS_WITH_VALUE else 1
    return min(index, len(arguments))


def _applies(alias: Alias, words: Sequence[str]) -> bool:
    if tuple(words[: len(alias.old)]) != alias.old:
        return False
    return not alias.option or any(_is_option(word, alias.option) for word in _options(words))


def _bare(words: Sequence[str]) -> Alias | None:
    """Commands of before that became groups or changed their meaning, called without a word."""
    following = list(words[1:])
    if words[:1] == ["config"] and following[:1] not in (["--help"], ["-h"]):
        return _BARE_CONFIG if not following or following[0].startswith("-") else None
    if words[:1] == ["rebuild"] and set(following) <= {"--json"}:
        return _BARE_REBUILD
    return None


def _options(words: Sequence[str]) -> Sequence[str]:
    return words[: words.index("--")] if "--" in words else words


def _is_option(word: str, option: str) -> bool:
    return word == option or word.startswith(f"{option}=")


def _without_option(alias: Alias, words: Sequence[str]) -> list[str]:
    renamed = (
        word.replace(alias.option, alias.new_option, 1) if _is_option(word, alias.option) else word
        for word in words
    )
    return [word for word in renamed if word]


def _without_dropped_option(alias: Alias, words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    following = iter(words)
    for word in following:
        if word == alias.dropped_option:
            next(following, None)
        elif not _is_option(word, alias.dropped_option):
            kept.append(word)
    return kept
