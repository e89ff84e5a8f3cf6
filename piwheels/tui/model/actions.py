"""All actions of the console: keys, finder, help and docs/console.md derive from this list.

The console or a screen handles an action. Those that change the farm are made from the definitions
of operator commands.
"""

from collections.abc import Iterator

from piwheels.protocol.commands.definition import Requirement
from piwheels.tui.model.action_types import Action, Group
from piwheels.tui.model.farm_actions import farm_actions
from piwheels.tui.model.navigation import ScreenName

_TABLES = (
    ScreenName.BUILDERS,
    ScreenName.QUEUES,
    ScreenName.QUEUE,
    ScreenName.BUILDS,
    ScreenName.DOWNLOADS,
    ScreenName.FAILURES,
    ScreenName.HOST,
    ScreenName.ALERTS,
    ScreenName.EVENTS,
    ScreenName.COMMANDS,
)
_ON_LOG = (ScreenName.LOG,)
_ON_BUILDS = (ScreenName.BUILDS,)
#: The screens that list alerts; their rows are also builders, builds or queues.
WITH_ALERTS = (ScreenName.OVERVIEW, ScreenName.ALERTS)
_WITH_MARKS = (ScreenName.BUILDERS, ScreenName.BUILDS, ScreenName.DOWNLOADS)

# --- navigation ---

SCREEN_ACTIONS = tuple(
    Action(name, keys, label, text, Group.NAVIGATION, opens=name, drop_order=drop_order)
    for name, keys, label, text, drop_order in (
        (
            ScreenName.OVERVIEW,
            "1",
            "Overview",
            "Show the farm at a glance: metrics, alerts, queues, longest builds.",
            9,
        ),
        (ScreenName.BUILDERS, "2", "Builders", "Show builders: state, running build, health.", 9),
        (ScreenName.BUILDS, "3", "Builds", "Show running and recent builds.", 9),
        (ScreenName.QUEUES, "4", "Queues", "Show queued jobs per target.", 9),
        (
            ScreenName.FAILURES,
            "5",
            "Failures",
            "Show what fails on the whole farm, grouped by cause, regressions first.",
            9,
        ),
        (ScreenName.ALERTS, "6", "Alerts", "Show everything that needs attention.", 9),
        (ScreenName.DOWNLOADS, "7", "Downloads", "Show downloads, now and today.", 9),
        (
            ScreenName.EVENTS,
            "8",
            "Events",
            "Show the audit log: operators' commands with their results, and automatic events.",
            9,
        ),
        (ScreenName.HOST, "h", "Host", "Show the master's machine: load, memory, disk.", 9),
        (ScreenName.LOG, "l", "Log", "Show the log of this row's build.", 4),
        (
            ScreenName.EXPLAIN,
            "e",
            "Explain",
            "Show this row's release: state per target, builds, why it has or lacks a wheel.",
            5,
        ),
        (
            ScreenName.COMMANDS,
            "c",
            "Command history",
            "Show the commands sent from this console, with their results.",
            9,
        ),
    )
)
SHOW_COMMANDS = SCREEN_ACTIONS[-1]
#: The screens with a number key, in its order.
TABS = tuple(action for action in SCREEN_ACTIONS if action.keys[0].isdigit())

HELP = Action(
    "help", "question_mark", "Keys", "Show the keys of this screen.", Group.NAVIGATION, drop_order=0
)
FIND = Action(
    "find",
    "ctrl+k,colon",
    "Find",
    "Find a screen, a builder, a target, a project of the farm, or an action.",
    Group.NAVIGATION,
    drop_order=1,
)
BACK = Action(
    "back",
    "escape",
    "Back",
    "Clear the filter and the marks, then go back to the screen before.",
    Group.NAVIGATION,
    drop_order=7,
)
THEME = Action(
    "theme", "T", "Theme", "Choose a color theme, and save the choice.", Group.NAVIGATION
)
CHANGE_KEY = Action(
    "change_key",
    "k",
    "Change a key",
    "Change the key of an action, and save the change.",
    Group.NAVIGATION,
)
SWITCH_FARM = Action(
    "switch_farm",
    "F",
    "Switch farm",
    "Switch to another farm of console.toml ([contexts]).",
    Group.NAVIGATION,
)
SUSPEND = Action(
    "suspend", "ctrl+z", "Suspend", "Suspend to the shell; fg returns.", Group.NAVIGATION
)
REDRAW = Action(
    "redraw",
    "ctrl+l",
    "Redraw",
    "Redraw the screen after other output has overwritten it.",
    Group.NAVIGATION,
    works_in_dialogs=True,
)
QUIT = Action(
    "quit", "q", "Quit", "Quit the console; the farm keeps running.", Group.NAVIGATION, drop_order=2
)

# --- rows ---

OPEN = Action(
    "open",
    "enter",
    "Open",
    "Open the row: the log of a builder or a build, the next jobs of a queue, the page of a job's "
    "release, the builds of a cause of failures, an alert's row.",
    Group.ROWS,
    screens=(
        ScreenName.OVERVIEW,
        ScreenName.ALERTS,
        ScreenName.BUILDERS,
        ScreenName.QUEUES,
        ScreenName.QUEUE,
        ScreenName.BUILDS,
        ScreenName.FAILURES,
        ScreenName.EVENTS,
        ScreenName.COMMANDS,
    ),
    drop_order=3,
)
SHOW_BUILDERS = Action(
    "show_builders",
    "b",
    "Show builders",
    "Show the builders that serve the target of this row.",
    Group.ROWS,
    Requirement.TABLE,
    screens=(ScreenName.QUEUES,),
    drop_order=4,
)
DETAILS = Action(
    "details",
    "v",
    "Details",
    "Show the details of this row: beside the table from 120 columns on, else in its place.",
    Group.ROWS,
    Requirement.TABLE,
    screens=(ScreenName.BUILDERS, ScreenName.BUILDS),
    drop_order=7,
)
FILTER = Action(
    "filter",
    "slash",
    "Filter",
    "Show only rows that contain all words; -word excludes rows with that word.",
    Group.ROWS,
    Requirement.TABLE,
    drop_order=2,
)
FAILED = Action(
    "failed",
    "f",
    "Failed",
    "Show only builds that produced no wheel, or all builds again.",
    Group.ROWS,
    screens=_ON_BUILDS,
    drop_order=4,
)
SLOW = Action(
    "slow",
    "o",
    "Slow",
    "Show only builds that took over 10 minutes or longer than expected, or all builds again.",
    Group.ROWS,
    screens=_ON_BUILDS,
    drop_order=5,
)
NEXT_ALERT = Action(
    "next_alert",
    "n",
    "Next alert",
    "Jump to the next alert.",
    Group.ROWS,
    screens=(ScreenName.OVERVIEW, *_TABLES),
)
MARK = Action(
    "mark",
    "space",
    "Mark",
    "Mark or unmark this row; actions apply to all marked rows.",
    Group.ROWS,
    Requirement.TABLE,
    screens=_WITH_MARKS,
    drop_order=6,
)
MARK_ALL = Action(
    "mark_all",
    "asterisk",
    "Mark all",
    "Mark all rows that match the filter, or unmark them when all are marked.",
    Group.ROWS,
    Requirement.TABLE,
    screens=_WITH_MARKS,
)
SORT = Action("sort", "s", "Sort", "Sort by the next column.", Group.ROWS, Requirement.TABLE)
REVERSE_SORT = Action(
    "reverse_sort", "S", "Reverse sort", "Reverse the sort order.", Group.ROWS, Requirement.TABLE
)
COPY_ROW = Action(
    "copy_row",
    "Y",
    "Copy row",
    "Copy this row, or the marked ones, to the clipboard of the terminal (OSC 52).",
    Group.ROWS,
    Requirement.TABLE,
)
EXPORT = Action(
    "export",
    "X",
    "Export",
    "Save the rows that match the filter as CSV, or as JSON if the name ends in .json.",
    Group.ROWS,
    Requirement.TABLE,
)

# --- the log ---

SEARCH = Action(
    "search",
    "slash",
    "Search",
    "Search the log for a text, or go to a line: :212.",
    Group.LOG,
    screens=_ON_LOG,
)
NEXT_MATCH = Action(
    "next_match", "n", "Next match", "Go to the next matching line.", Group.LOG, screens=_ON_LOG
)
PREVIOUS_MATCH = Action(
    "previous_match",
    "N",
    "Previous match",
    "Go to the previous matching line.",
    Group.LOG,
    screens=_ON_LOG,
)
FIRST_ERROR = Action(
    "first_error",
    "E",
    "First error",
    "Go to the first line that reports an error.",
    Group.LOG,
    screens=_ON_LOG,
    drop_order=4,
)
DECIDING_LINE = Action(
    "deciding_line",
    "v",
    "Deciding line",
    "Go to the line that says why the build failed.",
    Group.LOG,
    screens=_ON_LOG,
    drop_order=7,
)
FOLLOW = Action(
    "follow",
    "f",
    "Follow",
    "Go to the end and follow it.",
    Group.LOG,
    screens=_ON_LOG,
    drop_order=4,
)
WRAP = Action(
    "wrap",
    "w",
    "Wrap",
    "Wrap long lines, or cut them off.",
    Group.LOG,
    screens=_ON_LOG,
    drop_order=5,
)
SAVE = Action(
    "save", "s", "Save", "Save the log to a file.", Group.LOG, screens=_ON_LOG, drop_order=5
)

# --- a recording ---

TOGGLE_PLAYBACK = Action(
    "toggle_playback",
    "0",
    "Pause",
    "Pause or resume playback.",
    Group.REPLAY,
    Requirement.RECORDING,
    drop_order=3,
)
STEP = Action(
    "step",
    "full_stop",
    "Step",
    "Advance by one message and pause.",
    Group.REPLAY,
    Requirement.RECORDING,
    drop_order=4,
)
SEEK_BACK = Action(
    "seek_back",
    "left_square_bracket",
    "Back 1 min",
    "Go back one minute.",
    Group.REPLAY,
    Requirement.RECORDING,
)
SEEK_FORWARD = Action(
    "seek_forward",
    "right_square_bracket",
    "Forward 1 min",
    "Go forward one minute.",
    Group.REPLAY,
    Requirement.RECORDING,
)
SLOWER = Action(
    "slower", "less_than_sign", "Slower", "Halve the speed.", Group.REPLAY, Requirement.RECORDING
)
FASTER = Action(
    "faster",
    "greater_than_sign",
    "Faster",
    "Double the speed.",
    Group.REPLAY,
    Requirement.RECORDING,
)

_NAVIGATION = (
    *SCREEN_ACTIONS,
    *(HELP, FIND, BACK, SWITCH_FARM, THEME, CHANGE_KEY, SUSPEND, REDRAW, QUIT),
)
_ROWS = (
    OPEN,
    DETAILS,
    SHOW_BUILDERS,
    FILTER,
    FAILED,
    SLOW,
    NEXT_ALERT,
    MARK,
    MARK_ALL,
    SORT,
    REVERSE_SORT,
    COPY_ROW,
    EXPORT,
)
_LOG = (SEARCH, NEXT_MATCH, PREVIOUS_MATCH, FIRST_ERROR, DECIDING_LINE, FOLLOW, WRAP, SAVE)
_REPLAY = (TOGGLE_PLAYBACK, STEP, SEEK_BACK, SEEK_FORWARD, SLOWER, FASTER)


def all_actions() -> tuple[Action, ...]:
    """All actions, in the order of the help."""
    return (
        *_NAVIGATION,
        *_ROWS,
        *farm_actions(Group.FARM),
        *farm_actions(Group.ALERTS),
        *farm_actions(Group.BUILDERS),
        *farm_actions(Group.PROJECTS),
        *_LOG,
        *_REPLAY,
    )


def action_named(name: str) -> Action:
    """The action with this name.

    Raises:
        KeyError: there is none.
    """
    return {action.name: action for action in all_actions()}[name]


#: The screens that can have what an action requires.
SCREENS_WITH: dict[Requirement, tuple[ScreenName, ...]] = {
    Requirement.TABLE: _TABLES,
    Requirement.BUILDER: (*WITH_ALERTS, ScreenName.BUILDERS, ScreenName.LOG),
    Requirement.RUNNING_BUILD: (
        *WITH_ALERTS,
        ScreenName.BUILDERS,
        ScreenName.BUILDS,
        ScreenName.LOG,
    ),
    Requirement.BUILD: (
        *WITH_ALERTS,
        ScreenName.BUILDERS,
        ScreenName.BUILDS,
        ScreenName.FAILURES,
        ScreenName.LOG,
        ScreenName.EXPLAIN,
    ),
    Requirement.FAILURES: (ScreenName.FAILURES,),
    Requirement.ALERT: (
        *WITH_ALERTS,
        ScreenName.BUILDERS,
        ScreenName.QUEUES,
        ScreenName.HOST,
    ),
    Requirement.PROJECT: (
        *WITH_ALERTS,
        ScreenName.BUILDERS,
        ScreenName.BUILDS,
        ScreenName.DOWNLOADS,
        ScreenName.QUEUE,
        ScreenName.LOG,
        ScreenName.EXPLAIN,
    ),
}


def actions_of(screen_name: ScreenName) -> Iterator[Action]:
    """The actions of a screen, its own before the global ones, each key once."""
    taken: set[str] = set()
    for action in sorted(all_actions(), key=lambda action: not action.screens):
        keys = set(action.keys.split(","))
        if (action.screens and screen_name not in action.screens) or keys <= taken:
            continue
        taken |= keys
        yield action
