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

    NAVIGATION = "Find your way"
    ROWS = "Rows"
    FARM = "The farm"
    BUILDERS = "Builders"
    PROJECTS = "Projects"
    LOG = "The log"
    REPLAY = "A recording"


class Requirement(StrEnum):
    """What has to be there for an action to be possible."""

    NOTHING = ""
    TABLE = "a table"
    BUILDER = "a builder"
    RUNNING_BUILD = "a builder with a build in hand"
    BUILD = "a build"
    PROJECT = "a project"
    RECORDING = "a recording"


class Confirm(StrEnum):
    """When an action asks before it is done; acting on several rows always asks."""

    NEVER = "never"
    IF_WORK_LOST = "when work is lost"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that an operator can do."""

    name: str
    keys: str  # as textual writes them, several with commas between
    label: str  # for the key bar: a word or two
    help: str  # what happens, in one line
    group: Group
    requires: Requirement = Requirement.NOTHING
    screens: tuple[str, ...] = ()  # where it is there; () is everywhere
    changes_farm: bool = False  # the farm; dead in read-only mode
    confirm: Confirm = Confirm.NEVER
    consequence: str = ""  # what is lost, in one line
    confirm_word: str = (
        ""  # has to be typed: always for the master, for builders when all are meant
    )
    rank: int = 9  # the key bar drops the highest first
    works_in_dialogs: bool = False  # its key also works while a dialog is open


_WORK_LOST = (
    "The build in hand is dropped; its job goes back into the queue, and starts again later."
)

ACTIONS: tuple[Action, ...] = (
    # --- find your way ---
    Action("builders", "1", "Builders", "Who builds what, and how they are.", Group.NAVIGATION),
    Action("queues", "2", "Queues", "What waits for each target, and for how long.", Group.NAVIGATION),
    Action("builds", "3", "Builds", "The builds that ended last.", Group.NAVIGATION),
    Action("downloads", "4", "Downloads", "What is downloaded, now and today.", Group.NAVIGATION),
    Action("host", "5", "Host", "How the master's own machine is.", Group.NAVIGATION),
    Action("log", "6", "Log", "The log of the build of this row.", Group.NAVIGATION, rank=4),
    Action("events", "7", "Events", "Who did what, and what the farm did itself.", Group.NAVIGATION),
    Action(
        "explain",
        "8,e",
        "Explain",
        "Why the wheel of this row is there or not, and what is next.",
        Group.NAVIGATION,
        rank=5,
    ),
    Action("help", "question_mark", "Keys", "The keys of this screen.", Group.NAVIGATION, rank=0),
    Action("palette", "colon,ctrl+p", "Commands", "Find an action by its name.", Group.NAVIGATION, rank=1),
    Action("back", "escape", "Back", "Back to where you came from.", Group.NAVIGATION, rank=7),
    Action(
        "commands",
        "c",
        "Sent commands",
        "The commands that you gave, and what became of them.",
        Group.NAVIGATION,
    ),
    Action("theme", "T", "Theme", "Other colours; kept for the next time.", Group.NAVIGATION),
    Action("rekey", "k", "Change a key", "Give an action another key; kept, too.", Group.NAVIGATION),
    Action(
        "suspend",
        "ctrl+z",
        "To the shell",
        "Back to the shell for a while; fg comes back here.",
        Group.NAVIGATION,
    ),
    Action(
        "redraw",
        "ctrl+l",
        "Redraw",
        "Draw the whole screen again, after other output has overwritten it.",
        Group.NAVIGATION,
        works_in_dialogs=True,
    ),
    Action("leave", "q", "Leave", "Leave the console; the farm goes on.", Group.NAVIGATION, rank=2),
    # --- rows ---
    Action(
        "open",
        "enter",
        "Open",
        "What is behind this row: a builder's or a build's log, a queue's builds.",
        Group.ROWS,
        Requirement.TABLE,
        screens=("builders", "queues", "builds", "events", "commands"),
        rank=3,
    ),
    Action(
        "servers",
        "b",
        "Its builders",
        "The builders that serve the target of this row.",
        Group.ROWS,
        Requirement.TABLE,
        screens=("queues",),
        rank=4,
    ),
    Action(
        "filter",
        "slash",
        "Filter",
        "Show only rows that hold all of these words.",
        Group.ROWS,
        Requirement.TABLE,
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
    Action("problem", "n", "Problem", "To the next row with a problem.", Group.ROWS, Requirement.TABLE),
    Action(
        "mark",
        "space",
        "Mark",
        "Mark this row, or take its mark off; actions are done to all that is marked.",
        Group.ROWS,
        Requirement.TABLE,
        screens=("builders", "builds", "downloads"),
        rank=6,
    ),
    Action(
        "mark_all",
        "asterisk",
        "Mark all",
        "Mark all rows that the filter matches; with all marked, take the marks off.",
        Group.ROWS,
        Requirement.TABLE,
        screens=("builders", "builds", "downloads"),
    ),
    Action("sort", "s", "Sort", "Sort by the next column.", Group.ROWS, Requirement.TABLE),
    Action("turn", "S", "Turn round", "Sort the other way round.", Group.ROWS, Requirement.TABLE),
    # --- the farm ---
    Action(
        "pause",
        "p",
        "Pause",
        "Hand out no more jobs; builds in hand go on.",
        Group.FARM,
        changes_farm=True,
    ),
    Action("resume", "r", "Resume", "Hand out jobs again.", Group.FARM, changes_farm=True),
    Action(
        "quit_master",
        "Q",
        "Quit master",
        "End the master.",
        Group.FARM,
        changes_farm=True,
        confirm=Confirm.ALWAYS,
        consequence="No job is handed out and no page written until a master runs again; "
        "builds in hand go on.",
        confirm_word="quit",
    ),
    # --- builders ---
    Action(
        "sleep",
        "z",
        "Sleep",
        "Take no more jobs until woken, after the build in hand.",
        Group.BUILDERS,
        Requirement.BUILDER,
        changes_farm=True,
        rank=6,
    ),
    Action(
        "sleep_now",
        "Z",
        "Sleep now",
        "Take no more jobs until woken, and drop the build in hand.",
        Group.BUILDERS,
        Requirement.BUILDER,
        changes_farm=True,
        confirm=Confirm.IF_WORK_LOST,
        consequence=_WORK_LOST,
    ),
    Action(
        "wake",
        "w",
        "Wake",
        "Take jobs again, from sleep or quarantine.",
        Group.BUILDERS,
        Requirement.BUILDER,
        changes_farm=True,
        rank=7,
    ),
    Action(
        "skip_build",
        "x",
        "Skip build",
        "Drop the build in hand and take another job.",
        Group.BUILDERS,
        Requirement.RUNNING_BUILD,
        changes_farm=True,
        confirm=Confirm.ALWAYS,
        consequence=_WORK_LOST,
        rank=7,
    ),
    Action(
        "drain",
        "d",
        "Drain",
        "End the builder's process after the build in hand.",
        Group.BUILDERS,
        Requirement.BUILDER,
        changes_farm=True,
        rank=6,
    ),
    Action(
        "drain_rolling",
        "D",
        "Drain in turn",
        "Drain so many at a time: the next when one has come back or left for good.",
        Group.BUILDERS,
        Requirement.BUILDER,
        changes_farm=True,
        confirm=Confirm.ALWAYS,
    ),
    Action(
        "kill",
        "K",
        "Kill",
        "End the builder's process now.",
        Group.BUILDERS,
        Requirement.BUILDER,
        changes_farm=True,
        confirm=Confirm.ALWAYS,
        consequence="The builder ends, and the build in hand with it; its job goes back into the queue.",
        confirm_word="kill",
        rank=7,
    ),
    # --- projects ---
    Action(
        "retry",
        "y",
        "Retry",
        "Try again what failed for good.",
        Group.PROJECTS,
        Requirement.PROJECT,
        changes_farm=True,
        rank=8,
    ),
    Action(
        "skip_project",
        "i",
        "Skip project",
        "Build the project no more, for a reason; its wheels stay.",
        Group.PROJECTS,
        Requirement.PROJECT,
        changes_farm=True,
        confirm=Confirm.ALWAYS,
    ),
    Action(
        "unskip_project",
        "u",
        "Unskip",
        "Build the project again.",
        Group.PROJECTS,
        Requirement.PROJECT,
        changes_farm=True,
    ),
    Action(
        "raise_priority",
        "plus",
        "Sooner",
        "Let the release's jobs be due earlier, by so many hours.",
        Group.PROJECTS,
        Requirement.PROJECT,
        changes_farm=True,
        confirm=Confirm.ALWAYS,
    ),
    Action(
        "usual_priority",
        "minus",
        "As queued",
        "Let the release's jobs be due as they were queued.",
        Group.PROJECTS,
        Requirement.PROJECT,
        changes_farm=True,
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
           Requirement.RECORDING, rank=3),
    Action("step", "full_stop", "Step", "One change further.", Group.REPLAY, Requirement.RECORDING,
           rank=4),
    Action("seek_back", "left_square_bracket", "Back 1 min", "A minute back.", Group.REPLAY,
           Requirement.RECORDING),
    Action("seek_on", "right_square_bracket", "On 1 min", "A minute on.", Group.REPLAY,
           Requirement.RECORDING),
    Action("slower", "less_than_sign", "Slower", "At half the speed.", Group.REPLAY,
           Requirement.RECORDING),
    Action("faster", "greater_than_sign", "Faster", "At twice the speed.", Group.REPLAY,
           Requirement.RECORDING),
)  # fmt: skip

ACTIONS_BY_NAME = {action.name: action for action in ACTIONS}

#: On which screens there can be what an action needs.
SCREENS_WITH: dict[Requirement, tuple[str, ...]] = {
    Requirement.TABLE: ("builders", "queues", "builds", "downloads", "host", "events", "commands"),
    Requirement.BUILDER: ("builders", "log"),
    Requirement.RUNNING_BUILD: ("builders", "builds", "log"),
    Requirement.BUILD: ("builders", "builds", "log", "explain"),
    Requirement.PROJECT: ("builders", "builds", "downloads", "log", "explain"),
}

#: The screens of the numbers, in their order.
SCREENS = ("builders", "queues", "builds", "downloads", "host", "log", "events", "explain")


@dataclass(frozen=True, slots=True)
class ActionTarget:
    """A row as actions see it: what it is of, and what would be lost with it."""

    key: str  # the row's identity
    name: str  # for the operator: "pi-1", "numpy 2.1 for cp313-trixie-aarch64"
    builder: str = ""
    build: int | None = None
    is_building: bool = False  # the build is being built
    project: str = ""
    version: str = ""
    target: str = ""
    work_at_risk: str = ""  # the work that is under way, in one line

    def satisfies(self, requirement: Requirement) -> bool:
        """Whether an action that needs this can be done to it."""
        match requirement:
            case Requirement.BUILDER:
                return bool(self.builder)
            case Requirement.RUNNING_BUILD:
                return bool(self.builder) and self.is_building
            case Requirement.BUILD:
                return self.build is not None
            case Requirement.PROJECT:
                return bool(self.project)
            case _:
                return True


def actions_of(screen_name: str) -> Iterator[Action]:
    """The actions of a screen: its own before those of everywhere, one for each key."""
    taken: set[str] = set()
    for action in sorted(ACTIONS, key=lambda action: not action.screens):
        keys = set(action.keys.split(","))
        if (action.screens and screen_name not in action.screens) or keys <= taken:
            continue
        taken |= keys
        yield action


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
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
}


def key_labels(keys: str) -> list[str]:
    """Keys as they stand on a keyboard, the first of them the one to be shown."""
    return [_key_label(key.strip()) for key in keys.split(",")]


def _key_label(key: str) -> str:
    return _KEY_LABELS.get(key, key).replace("ctrl+", "^")


#: What tables, logs and lines of text need for themselves, whatever else it is bound to.
RESERVED_KEYS = frozenset(
    {"up", "down", "left", "right", "pageup", "pagedown", "home", "end", "tab", "shift+tab"}
)


def conflicting_action(name: str, key: str, keys: Mapping[str, str]) -> Action | None:
    """The action that has a key already where the action of this name is; None when it is free.

    `keys` are the operator's own keys by the actions' names.
    """
    action = ACTIONS_BY_NAME[name]
    for other in ACTIONS:
        if other is action or not _share_screen(action, other):
            continue
        if key in keys.get(other.name, other.keys).split(","):
            return other
    return None


def _share_screen(one: Action, other: Action) -> bool:
    """Whether both are on some screen; a screen's own action hides one that is everywhere."""
    if bool(one.screens) != bool(other.screens):
        return False
    return not one.screens or bool(set(one.screens) & set(other.screens))


def validate_keys(keys: Mapping[str, str]) -> str:
    """What is wrong with an operator's own keys, in one line; "" for nothing."""
    unknown = sorted(set(keys) - set(ACTIONS_BY_NAME))
    if unknown:
        return f"there is no action {unknown[0]}; its key does nothing"
    for name, chosen in keys.items():
        for key in chosen.split(","):
            if key in RESERVED_KEYS:
                return f"{_key_label(key)} moves about, it cannot be the key of {name}"
            other = conflicting_action(name, key, keys)
            if other is not None:
                return f"{_key_label(key)} is the key of both {name} and {other.name}"
    return ""
