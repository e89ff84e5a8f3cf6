"""All actions of the console: keys, finder, help and docs/console.md derive from this list.

An action without a key is in the finder, and settings can give it one.

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
    ScreenName.OPERATORS,
)
#: The screens that tell about one row of a table.
PAGES = (
    ScreenName.BUILDER,
    ScreenName.BUILD,
    ScreenName.LOG,
    ScreenName.EXPLAIN,
    ScreenName.QUEUE,
)
_BUILDERS = (ScreenName.BUILDERS, ScreenName.BUILDER)
_ON_LOG = (ScreenName.LOG,)
_ON_BUILDS = (ScreenName.BUILDS,)
#: The screens that list alerts; their rows are also builders, builds or queues.
WITH_ALERTS = (ScreenName.OVERVIEW, ScreenName.ALERTS)
_WITH_MARKS = (ScreenName.BUILDERS, ScreenName.BUILDS, ScreenName.DOWNLOADS)

# --- navigation ---

SCREEN_ACTIONS = tuple(
    Action(name, keys, label, text, Group.NAVIGATION, opens=name)
    for name, keys, label, text in (
        (
            ScreenName.OVERVIEW,
            "1",
            "Overview",
            "Show the farm at a glance: metrics, alerts, queues, longest builds.",
        ),
        (ScreenName.BUILDERS, "2", "Builders", "Show builders: state, running build, health."),
        (ScreenName.BUILDS, "3", "Builds", "Show running and recent builds."),
        (ScreenName.QUEUES, "4", "Queues", "Show queued jobs per target."),
        (
            ScreenName.FAILURES,
            "5",
            "Failures",
            "Show what fails on the whole farm, grouped by cause, regressions first.",
        ),
        (ScreenName.ALERTS, "6", "Alerts", "Show everything that needs attention."),
        (ScreenName.DOWNLOADS, "7", "Downloads", "Show downloads, now and today."),
        (
            ScreenName.EVENTS,
            "8",
            "Events",
            "Show the audit log: operators' commands with their results, and automatic events.",
        ),
        (ScreenName.HOST, "", "Host", "Show the master's machine: load, memory, disk."),
        (
            ScreenName.OPERATORS,
            "",
            "Operators",
            "Show who is connected, since when, from where, and what each did last.",
        ),
        (ScreenName.LOG, "l", "Log", "Show the log of this row's build."),
        (
            ScreenName.EXPLAIN,
            "e",
            "Explain",
            "Show this row's release: state per target, builds, why it has or lacks a wheel.",
        ),
        (
            ScreenName.COMMANDS,
            "",
            "Sent commands",
            "Show the commands sent from this console, with their results.",
        ),
    )
)
SHOW_COMMANDS = SCREEN_ACTIONS[-1]
SHOW_OPERATORS = next(it for it in SCREEN_ACTIONS if it.opens is ScreenName.OPERATORS)
#: The screens with a number key, in its order.
TABS = tuple(action for action in SCREEN_ACTIONS if action.keys[:1].isdigit())

HELP = Action("help", "question_mark", "Keys", "Show the keys of this screen.", Group.NAVIGATION)
FIND = Action(
    "find",
    "ctrl+k,colon",
    "Find",
    "Find a screen, a builder, a target, a project of the farm, or an action.",
    Group.NAVIGATION,
)
BACK = Action(
    "back",
    "escape",
    "Back",
    "Clear the filter and the marks, then go back to the screen before.",
    Group.NAVIGATION,
)
THEME = Action("theme", "", "Theme", "Choose a color theme, and save the choice.", Group.NAVIGATION)
CHANGE_KEY = Action(
    "change_key",
    "",
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
QUIT = Action("quit", "q", "Quit", "Quit the console; the farm keeps running.", Group.NAVIGATION)

# --- rows ---

OPEN = Action(
    "open",
    "enter",
    "Open",
    "Open the row: the page of a builder or a build, the next jobs of a queue, the page "
    "of a job's release, the builds of a cause of failures, the page of"
    " what an alert is about.",
    Group.ROWS,
    screens=(
        ScreenName.OVERVIEW,
        ScreenName.ALERTS,
        ScreenName.BUILDERS,
        ScreenName.BUILDER,
        ScreenName.QUEUES,
        ScreenName.QUEUE,
        ScreenName.BUILDS,
        ScreenName.FAILURES,
        ScreenName.EVENTS,
        ScreenName.COMMANDS,
    ),
)
SHOW_BUILDERS = Action(
    "show_builders",
    "",
    "Show builders",
    "Show the builders that serve the target of this row.",
    Group.ROWS,
    Requirement.TABLE,
    screens=(ScreenName.QUEUES,),
)
DETAILS = Action(
    "details",
    "d",
    "Details",
    "Show the details of this row: beside the table from 120 columns on, else in its place.",
    Group.ROWS,
    Requirement.TABLE,
    screens=(ScreenName.BUILDERS, ScreenName.BUILDS),
)
FILTER = Action(
    "filter",
    "slash",
    "Filter",
    "Show only rows that pass all words: text, -text, state:lost (any column), older:1h, newer:2d, "
    "@name for a saved filter.",
    Group.ROWS,
    Requirement.TABLE,
)
FAILED = Action(
    "failed",
    "",
    "Failed only",
    "Show only builds that produced no wheel, or all builds again.",
    Group.ROWS,
    screens=_ON_BUILDS,
)
SLOW = Action(
    "slow",
    "",
    "Slow only",
    "Show only builds that took over 10 minutes or longer than expected, or all builds again.",
    Group.ROWS,
    screens=_ON_BUILDS,
)
NEXT_ALERT = Action(
    "next_alert",
    "n",
    "Next alert",
    "Jump to the next alert.",
    Group.ROWS,
)
MARK = Action(
    "mark",
    "space",
    "Mark",
    "Mark or unmark this row; actions apply to all marked rows.",
    Group.ROWS,
    Requirement.TABLE,
    screens=_WITH_MARKS,
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
SORT = Action("sort", "s", "Sort", "Pick the column to sort by.", Group.ROWS, Requirement.TABLE)
COLUMNS = Action(
    "columns",
    "C",
    "Columns",
    "Choose the columns that are shown, and their order.",
    Group.ROWS,
    Requirement.TABLE,
)
SAVE_FILTER = Action(
    "save_filter",
    "",
    "Save filter",
    "Keep the filter by a name; @name in a filter stands for it.",
    Group.ROWS,
    Requirement.TABLE,
)
SAVED_FILTERS = Action(
    "saved_filters",
    "",
    "Saved filters",
    "Choose a saved filter, and show the rows that it selects.",
    Group.ROWS,
    Requirement.TABLE,
)
REVERSE_SORT = Action(
    "reverse_sort", "", "Reverse sort", "Reverse the sort order.", Group.ROWS, Requirement.TABLE
)
NEXT_PANE = Action(
    "next_pane", "tab", "Next pane", "Go to the next list or pane of this screen.", Group.ROWS
)
PREVIOUS_PAGE = Action(
    "previous_page",
    "left_square_bracket",
    "Page before",
    "Show the page of the row before, in the table that this page was opened from.",
    Group.ROWS,
    screens=PAGES,
)
NEXT_PAGE = Action(
    "next_page",
    "right_square_bracket",
    "Page after",
    "Show the page of the row after, in the table that this page was opened from.",
    Group.ROWS,
    screens=PAGES,
)
COPY = Action(
    "copy",
    "c",
    "Copy",
    "Choose what to copy (OSC 52): the row (cc), a cell, a log's line, the pip line, the address.",
    Group.ROWS,
)
EXPORT = Action(
    "export",
    "X",
    "Export",
    "Save the rows that match the filter as CSV, or as JSON if the name ends in .json.",
    Group.ROWS,
    Requirement.TABLE,
)

WINDOW = Action(
    "window",
    "t",
    "Window",
    "Show the last hour, 24 hours, 7 days or 30 days in graphs; the choice is saved.",
    Group.ROWS,
    screens=(ScreenName.OVERVIEW, *_BUILDERS),
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
GO_TO_LINE = Action(
    "go_to_line",
    "colon",
    "Line",
    "Go to a line by its number.",
    Group.LOG,
    screens=_ON_LOG,
)
NEXT_MATCH = Action(
    "next_match",
    "n",
    "Next",
    "Go to the next matching line; without a search, to the next error.",
    Group.LOG,
    screens=_ON_LOG,
)
PREVIOUS_MATCH = Action(
    "previous_match",
    "N",
    "Previous",
    "Go to the previous matching line; without a search, to the previous error.",
    Group.LOG,
    screens=_ON_LOG,
)
DECIDING_LINE = Action(
    "deciding_line",
    "e",
    "Why",
    "Go to the line that says why the build failed.",
    Group.LOG,
    screens=_ON_LOG,
)
SAME_CAUSE = Action(
    "same_cause",
    "enter",
    "Same cause",
    "List the builds that fail for the same cause.",
    Group.ROWS,
    screens=(ScreenName.LOG, ScreenName.BUILD),
)
FOLD = Action(
    "fold",
    "o",
    "Fold",
    "Fold the lines of pip, fetching and unpacking, or show them.",
    Group.LOG,
    screens=_ON_LOG,
)
FOLLOW = Action(
    "follow",
    "f",
    "Follow",
    "Go to the end and follow it.",
    Group.LOG,
    screens=_ON_LOG,
)
WRAP = Action(
    "wrap",
    "W",
    "Wrap",
    "Wrap long lines, or cut them off.",
    Group.LOG,
    screens=_ON_LOG,
)
SAVE = Action("save", "S", "Save", "Save the log to a file.", Group.LOG, screens=_ON_LOG)

# --- past moments, and recordings ---

TOGGLE_PLAYBACK = Action(
    "toggle_playback",
    "0",
    "Freeze",
    "Hold what is shown, or go on; of a recording, pause or resume playback.",
    Group.REPLAY,
)
SEEK_BACK = Action(
    "seek_back",
    "less_than_sign",
    "Back 1 min",
    "Show the farm as it was a minute before.",
    Group.REPLAY,
)
SEEK_FORWARD = Action(
    "seek_forward",
    "greater_than_sign",
    "Forward 1 min",
    "Show the farm as it was a minute later, after the last one as it is now.",
    Group.REPLAY,
)
STEP = Action(
    "step",
    "full_stop",
    "Step",
    "Advance by one message and pause.",
    Group.REPLAY,
    Requirement.RECORDING,
)
SLOWER = Action(
    "slower",
    "left_curly_bracket",
    "Slower",
    "Halve the speed.",
    Group.REPLAY,
    Requirement.RECORDING,
)
FASTER = Action(
    "faster",
    "right_curly_bracket",
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
    WINDOW,
    MARK,
    MARK_ALL,
    SAVE_FILTER,
    SAVED_FILTERS,
    SORT,
    COLUMNS,
    REVERSE_SORT,
    NEXT_PANE,
    PREVIOUS_PAGE,
    NEXT_PAGE,
    COPY,
    EXPORT,
)
_LOG = (
    *(SEARCH, GO_TO_LINE, NEXT_MATCH, PREVIOUS_MATCH, DECIDING_LINE, SAME_CAUSE),
    *(FOLLOW, FOLD, WRAP, SAVE),
)
_PAST = (TOGGLE_PLAYBACK, SEEK_BACK, SEEK_FORWARD, STEP, SLOWER, FASTER)


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
        *_PAST,
    )


_by_name: dict[str, Action] = {}


def find_action(name: str) -> Action | None:
    """The action with this name; None when there is none."""
    if name not in _by_name:  # a command may be defined after this module
        _by_name.update({action.name: action for action in all_actions()})
    return _by_name.get(name)


def action_named(name: str) -> Action:
    """The action with this name.

    Raises:
        KeyError: there is none.
    """
    if (action := find_action(name)) is None:
        raise KeyError(name)
    return action


#: The screens that can have what an action requires.
SCREENS_WITH: dict[Requirement, tuple[ScreenName, ...]] = {
    Requirement.TABLE: _TABLES,
    Requirement.BUILDER: (*WITH_ALERTS, *_BUILDERS, ScreenName.LOG, ScreenName.BUILD),
    Requirement.RUNNING_BUILD: (
        *WITH_ALERTS,
        *_BUILDERS,
        ScreenName.BUILDS,
        ScreenName.LOG,
        ScreenName.BUILD,
    ),
    Requirement.BUILD: (
        *WITH_ALERTS,
        *_BUILDERS,
        ScreenName.BUILDS,
        ScreenName.FAILURES,
        ScreenName.LOG,
        ScreenName.BUILD,
        ScreenName.EXPLAIN,
    ),
    Requirement.WAITING: (ScreenName.BUILDERS,),
    Requirement.FAILURES: (ScreenName.FAILURES,),
    Requirement.ALERT: (
        *WITH_ALERTS,
        *_BUILDERS,
        ScreenName.QUEUES,
        ScreenName.HOST,
    ),
    Requirement.PROJECT: (
        *WITH_ALERTS,
        *_BUILDERS,
        ScreenName.BUILDS,
        ScreenName.DOWNLOADS,
        ScreenName.QUEUE,
        ScreenName.LOG,
        ScreenName.BUILD,
        ScreenName.EXPLAIN,
    ),
}


def actions_of(screen_name: ScreenName) -> Iterator[Action]:
    """The actions of a screen, its own before the global ones, each key once."""
    taken: set[str] = set()
    for action in sorted(all_actions(), key=lambda action: not action.screens):
        keys = set(action.keys.split(","))
        if action.screens and screen_name not in action.screens:
            continue
        if action.keys and keys <= taken:
            continue
        taken |= keys
        yield action
