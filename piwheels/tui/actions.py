"""Everything that the console can do, in one list: it drives keys, palette, help and README.

No I/O and no textual here. An action has a name (which is also what settings bind keys to),
its keys, a word for the key bar, a sentence for help and palette, what it needs, and what it
loses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """Under which heading the help shows an action."""

    WAY = "Find your way"
    ROWS = "Rows"
    FARM = "The farm"
    BUILDERS = "Builders"
    PROJECTS = "Projects"
    LOG = "The log"
    REPLAY = "A recording"


class Needs(StrEnum):
    """What has to be there for an action to be possible."""

    NOTHING = ""
    ROWS = "a table"
    BUILDER = "a builder"
    IN_HAND = "a builder with a build in hand"
    BUILD = "a build"
    PROJECT = "a project"
    RECORDING = "a recording"


class Asks(StrEnum):
    """When an action asks before it is done; acting on several rows always asks."""

    NEVER = "never"
    WORK = "when work is lost"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that an operator can do."""

    name: str
    keys: str  # as textual writes them, several with commas between
    label: str  # for the key bar: a word or two
    help: str  # what happens, in one line
    group: Group
    needs: Needs = Needs.NOTHING
    screens: tuple[str, ...] = ()  # where it is there; () is everywhere
    changes: bool = False  # the farm; dead in read-only mode
    asks: Asks = Asks.NEVER
    loses: str = ""  # what is lost, in one line
    word: str = ""  # has to be typed: always for the master, for builders when all are meant
    rank: int = 9  # the key bar drops the highest first
    over_dialogs: bool = False  # its key also works while a dialog is open


_WORK = "The build in hand is dropped; its job goes back into the queue, and starts again later."

ACTIONS: tuple[Action, ...] = (
    # --- find your way ---
    Action("builders", "1", "Builders", "Who builds what, and how they are.", Group.WAY),
    Action("queues", "2", "Queues", "What waits for each target, and for how long.", Group.WAY),
    Action("builds", "3", "Builds", "The builds that ended last.", Group.WAY),
    Action("downloads", "4", "Downloads", "What is downloaded, now and today.", Group.WAY),
    Action("host", "5", "Host", "How the master's own machine is.", Group.WAY),
    Action("log", "6", "Log", "The log of the build of this row.", Group.WAY, rank=4),
    Action("events", "7", "Events", "Who did what, and what the farm did itself.", Group.WAY),
    Action(
        "explain",
        "8,e",
        "Explain",
        "Why the wheel of this row is there or not, and what is next.",
        Group.WAY,
        rank=5,
    ),
    Action("help", "question_mark", "Keys", "The keys of this screen.", Group.WAY, rank=0),
    Action("palette", "colon,ctrl+p", "Commands", "Find an action by its name.", Group.WAY, rank=1),
    Action("back", "escape", "Back", "Back to where you came from.", Group.WAY, rank=7),
    Action(
        "fates",
        "c",
        "Sent commands",
        "The commands that you gave, and what became of them.",
        Group.WAY,
    ),
    Action("theme", "T", "Theme", "Other colours; kept for the next time.", Group.WAY),
    Action("rekey", "k", "Change a key", "Give an action another key; kept, too.", Group.WAY),
    Action(
        "suspend",
        "ctrl+z",
        "To the shell",
        "Back to the shell for a while; fg comes back here.",
        Group.WAY,
    ),
    Action(
        "redraw",
        "ctrl+l",
        "Redraw",
        "Draw the whole screen again, after other output has overwritten it.",
        Group.WAY,
        over_dialogs=True,
    ),
    Action("leave", "q", "Leave", "Leave the console; the farm goes on.", Group.WAY, rank=2),
    # --- rows ---
    Action(
        "open",
        "enter",
        "Open",
        "What is behind this row: a builder's or a build's log, a queue's builds.",
        Group.ROWS,
        Needs.ROWS,
        screens=("builders", "queues", "builds", "events", "fates"),
        rank=3,
    ),
    Action(
        "servers",
        "b",
        "Its builders",
        "The builders that serve the target of this row.",
        Group.ROWS,
        Needs.ROWS,
        screens=("queues",),
        rank=4,
    ),
    Action(
        "filter",
        "slash",
        "Filter",
        "Show only rows that hold all of these words.",
        Group.ROWS,
        Needs.ROWS,
        rank=2,
    ),
    Action(
        "failed",
        "f",
        "Failed",
        "Only builds that gave no wheel, or all again.",
        Group.ROWS,
        screens=("builds",),
        rank=4,
    ),
    Action(
        "slow",
        "o",
        "Slow",
        "Only builds of over ten minutes or longer than expected, or all again.",
        Group.ROWS,
        screens=("builds",),
        rank=5,
    ),
    Action("problem", "n", "Problem", "To the next row with a problem.", Group.ROWS, Needs.ROWS),
    Action(
        "mark",
        "space",
        "Mark",
        "Mark this row, or take its mark off; actions are done to all that is marked.",
        Group.ROWS,
        Needs.ROWS,
        screens=("builders", "builds", "downloads"),
        rank=6,
    ),
    Action(
        "mark_all",
        "asterisk",
        "Mark all",
        "Mark all rows that the filter matches; with all marked, take the marks off.",
        Group.ROWS,
        Needs.ROWS,
        screens=("builders", "builds", "downloads"),
    ),
    Action("sort", "s", "Sort", "Sort by the next column.", Group.ROWS, Needs.ROWS),
    Action("turn", "S", "Turn round", "Sort the other way round.", Group.ROWS, Needs.ROWS),
    # --- the farm ---
    Action(
        "pause",
        "p",
        "Pause",
        "Hand out no more jobs; builds in hand go on.",
        Group.FARM,
        changes=True,
    ),
    Action("resume", "r", "Resume", "Hand out jobs again.", Group.FARM, changes=True),
    Action(
        "quit_master",
        "Q",
        "Quit master",
        "End the master.",
        Group.FARM,
        changes=True,
        asks=Asks.ALWAYS,
        loses="No job is handed out and no page written until a master runs again; "
        "builds in hand go on.",
        word="quit",
    ),
    # --- builders ---
    Action(
        "sleep",
        "z",
        "Sleep",
        "Take no more jobs until woken, after the build in hand.",
        Group.BUILDERS,
        Needs.BUILDER,
        changes=True,
        rank=6,
    ),
    Action(
        "sleep_now",
        "Z",
        "Sleep now",
        "Take no more jobs until woken, and drop the build in hand.",
        Group.BUILDERS,
        Needs.BUILDER,
        changes=True,
        asks=Asks.WORK,
        loses=_WORK,
    ),
    Action(
        "wake",
        "w",
        "Wake",
        "Take jobs again, from sleep or quarantine.",
        Group.BUILDERS,
        Needs.BUILDER,
        changes=True,
        rank=7,
    ),
    Action(
        "skip_build",
        "x",
        "Skip build",
        "Drop the build in hand and take another job.",
        Group.BUILDERS,
        Needs.IN_HAND,
        changes=True,
        asks=Asks.ALWAYS,
        loses=_WORK,
        rank=7,
    ),
    Action(
        "drain",
        "d",
        "Drain",
        "End the builder's process after the build in hand.",
        Group.BUILDERS,
        Needs.BUILDER,
        changes=True,
        rank=6,
    ),
    Action(
        "drain_rolling",
        "D",
        "Drain in turn",
        "Drain so many at a time: the next when one has come back or left for good.",
        Group.BUILDERS,
        Needs.BUILDER,
        changes=True,
        asks=Asks.ALWAYS,
    ),
    Action(
        "kill",
        "K",
        "Kill",
        "End the builder's process now.",
        Group.BUILDERS,
        Needs.BUILDER,
        changes=True,
        asks=Asks.ALWAYS,
        loses="The builder ends, and the build in hand with it; its job goes back into the queue.",
        word="kill",
        rank=7,
    ),
    # --- projects ---
    Action(
        "retry",
        "y",
        "Retry",
        "Try again what failed for good.",
        Group.PROJECTS,
        Needs.PROJECT,
        changes=True,
        rank=8,
    ),
    Action(
        "skip_project",
        "i",
        "Skip project",
        "Build the project no more, for a reason; its wheels stay.",
        Group.PROJECTS,
        Needs.PROJECT,
        changes=True,
        asks=Asks.ALWAYS,
    ),
    Action(
        "unskip_project",
        "u",
        "Unskip",
        "Build the project again.",
        Group.PROJECTS,
        Needs.PROJECT,
        changes=True,
    ),
    Action(
        "raise_priority",
        "plus",
        "Sooner",
        "Let the release's jobs be due earlier, by so many hours.",
        Group.PROJECTS,
        Needs.PROJECT,
        changes=True,
        asks=Asks.ALWAYS,
    ),
    Action(
        "usual_priority",
        "minus",
        "As queued",
        "Let the release's jobs be due as they were queued.",
        Group.PROJECTS,
        Needs.PROJECT,
        changes=True,
    ),
    # --- the log ---
    Action("search", "slash", "Search", "Find words in the log.", Group.LOG, screens=("log",)),
    Action("next", "n", "Next", "To the next line that matches.", Group.LOG, screens=("log",)),
    Action("previous", "N", "Previous", "To the one before.", Group.LOG, screens=("log",)),
    Action(
        "first_error", "E", "Error", "To the first line that tells an error.", Group.LOG,
        screens=("log",), rank=4,
    ),
    Action("follow", "f", "Follow", "To the end, and stay there.", Group.LOG, screens=("log",),
           rank=4),
    Action("wrap", "w", "Wrap", "Break long lines, or cut them off.", Group.LOG, screens=("log",),
           rank=5),
    Action("save", "s", "Save", "Write the log into a file.", Group.LOG, screens=("log",), rank=5),
    # --- a recording ---
    Action("play", "0", "Hold", "Hold the recording, or let it go on.", Group.REPLAY,
           Needs.RECORDING, rank=3),
    Action("step", "full_stop", "Step", "One change further.", Group.REPLAY, Needs.RECORDING,
           rank=4),
    Action("seek_back", "left_square_bracket", "Back 1 min", "A minute back.", Group.REPLAY,
           Needs.RECORDING),
    Action("seek_on", "right_square_bracket", "On 1 min", "A minute on.", Group.REPLAY,
           Needs.RECORDING),
    Action("slower", "less_than_sign", "Slower", "At half the speed.", Group.REPLAY,
           Needs.RECORDING),
    Action("faster", "greater_than_sign", "Faster", "At twice the speed.", Group.REPLAY,
           Needs.RECORDING),
)  # fmt: skip

BY_NAME = {action.name: action for action in ACTIONS}

#: On which screens there can be what an action needs.
NEEDS_AT: dict[Needs, tuple[str, ...]] = {
    Needs.ROWS: ("builders", "queues", "builds", "downloads", "host", "events", "fates"),
    Needs.BUILDER: ("builders", "log"),
    Needs.IN_HAND: ("builders", "builds", "log"),
    Needs.BUILD: ("builders", "builds", "log", "explain"),
    Needs.PROJECT: ("builders", "builds", "downloads", "log", "explain"),
}

#: The screens of the numbers, in their order.
PLACES = ("builders", "queues", "builds", "downloads", "host", "log", "events", "explain")


@dataclass(frozen=True, slots=True)
class Subject:
    """A row as actions see it: what it is of, and what would be lost with it."""

    key: str  # the row's identity
    name: str  # for the operator: "pi-1", "numpy 2.1 for cp313-trixie-aarch64"
    builder: str = ""
    build: int | None = None
    in_hand: bool = False  # the build is being built
    project: str = ""
    version: str = ""
    target: str = ""
    stake: str = ""  # the work that is under way, in one line

    def satisfies(self, needs: Needs) -> bool:
        """Whether an action that needs this can be done to it."""
        match needs:
            case Needs.BUILDER:
                return bool(self.builder)
            case Needs.IN_HAND:
                return bool(self.builder) and self.in_hand
            case Needs.BUILD:
                return self.build is not None
            case Needs.PROJECT:
                return bool(self.project)
            case _:
                return True


def shown_on(place: str) -> Iterator[Action]:
    """The actions of a screen: its own before those of everywhere, one for each key."""
    taken: set[str] = set()
    for action in sorted(ACTIONS, key=lambda action: not action.screens):
        keys = set(action.keys.split(","))
        if (action.screens and place not in action.screens) or keys <= taken:
            continue
        taken |= keys
        yield action


_KEY_TEXTS = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "asterisk": "*",
    "plus": "+",
    "minus": "-",
    "full_stop": ".",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
}


def key_texts(keys: str) -> list[str]:
    """Keys as they stand on a keyboard, the first of them the one to be shown."""
    return [_key_text(key.strip()) for key in keys.split(",")]


def _key_text(key: str) -> str:
    return _KEY_TEXTS.get(key, key).replace("ctrl+", "^")


#: What tables, logs and lines of text need for themselves, whatever else it is bound to.
FIXED_KEYS = frozenset(
    {"up", "down", "left", "right", "pageup", "pagedown", "home", "end", "tab", "shift+tab"}
)


def clash(name: str, key: str, keys: Mapping[str, str]) -> Action | None:
    """The action that has a key already where the action of this name is; None when it is free.

    `keys` are the operator's own keys by the actions' names.
    """
    action = BY_NAME[name]
    for other in ACTIONS:
        if other is action or not _meet(action, other):
            continue
        if key in keys.get(other.name, other.keys).split(","):
            return other
    return None


def _meet(one: Action, other: Action) -> bool:
    """Whether both are on some screen; a screen's own action hides one that is everywhere."""
    if bool(one.screens) != bool(other.screens):
        return False
    return not one.screens or bool(set(one.screens) & set(other.screens))


def wrong_keys(keys: Mapping[str, str]) -> str:
    """What is wrong with an operator's own keys, in one line; "" for nothing."""
    unknown = sorted(set(keys) - set(BY_NAME))
    if unknown:
        return f"there is no action {unknown[0]}; its key does nothing"
    for name, chosen in keys.items():
        for key in chosen.split(","):
            if key in FIXED_KEYS:
                return f"{_key_text(key)} moves about, it cannot be the key of {name}"
            other = clash(name, key, keys)
            if other is not None:
                return f"{_key_text(key)} is the key of both {name} and {other.name}"
    return ""
