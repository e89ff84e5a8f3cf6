"""The actions that change the farm: each sends one kind of command."""

from piwheels.tui.model.action_types import Action, Confirm, Group, Requirement

_BUILD_LOST = "The running builds are canceled; their jobs are queued again and start over later."

PAUSE = Action(
    "pause",
    "p",
    "Pause",
    "Stop assigning jobs; running builds continue.",
    Group.FARM,
    changes_farm=True,
)
RESUME = Action("resume", "r", "Resume", "Assign jobs again.", Group.FARM, changes_farm=True)
STOP_MASTER = Action(
    "stop_master",
    "Q",
    "Stop master",
    "Stop the master; builders finish their builds and wait for the next one.",
    Group.FARM,
    changes_farm=True,
    confirm=Confirm.ALWAYS,
    consequence="No jobs are assigned and no pages written until a master runs again; "
    "running builds continue.",
    confirm_word="stop",
)
FARM_ACTIONS = (PAUSE, RESUME, STOP_MASTER)

SLEEP = Action(
    "sleep",
    "z",
    "Sleep",
    "Assign no more jobs until woken; a running build continues.",
    Group.BUILDERS,
    Requirement.BUILDER,
    changes_farm=True,
    drop_order=6,
)
SLEEP_NOW = Action(
    "sleep_now",
    "Z",
    "Sleep now",
    "Assign no more jobs until woken, and cancel a running build.",
    Group.BUILDERS,
    Requirement.BUILDER,
    changes_farm=True,
    confirm=Confirm.IF_WORK_LOST,
    consequence=_BUILD_LOST,
)
WAKE = Action(
    "wake",
    "w",
    "Wake",
    "Assign jobs again, after sleep or quarantine.",
    Group.BUILDERS,
    Requirement.BUILDER,
    changes_farm=True,
    drop_order=7,
)
CANCEL_BUILD = Action(
    "cancel_build",
    "x",
    "Cancel build",
    "Cancel the running build; it is retried later.",
    Group.BUILDERS,
    Requirement.RUNNING_BUILD,
    changes_farm=True,
    confirm=Confirm.ALWAYS,
    consequence=_BUILD_LOST,
    drop_order=7,
)
DRAIN = Action(
    "drain",
    "d",
    "Drain",
    "End the builder after its running build, and it stays ended.",
    Group.BUILDERS,
    Requirement.BUILDER,
    changes_farm=True,
    drop_order=6,
)
ROLLING_RESTART = Action(
    "rolling_restart",
    "D",
    "Rolling restart",
    "Restart builders after their running builds, only so many at a time.",
    Group.BUILDERS,
    Requirement.BUILDER,
    changes_farm=True,
    confirm=Confirm.ALWAYS,
)
KILL = Action(
    "kill",
    "K",
    "Kill",
    "End the builder now, and it stays ended.",
    Group.BUILDERS,
    Requirement.BUILDER,
    changes_farm=True,
    confirm=Confirm.ALWAYS,
    consequence="The builders end now and stay ended until somebody starts them; their running "
    "builds are queued again.",
    confirm_word="kill",
    drop_order=7,
)
BUILDER_ACTIONS = (SLEEP, SLEEP_NOW, WAKE, CANCEL_BUILD, DRAIN, ROLLING_RESTART, KILL)

RETRY = Action(
    "retry",
    "y",
    "Retry",
    "Queue failed and deferred builds again.",
    Group.PROJECTS,
    Requirement.PROJECT,
    changes_farm=True,
    drop_order=8,
)
SKIP_PROJECT = Action(
    "skip_project",
    "i",
    "Skip project",
    "Stop building the project, with a reason; published wheels are kept.",
    Group.PROJECTS,
    Requirement.PROJECT,
    changes_farm=True,
    confirm=Confirm.ALWAYS,
)
UNSKIP_PROJECT = Action(
    "unskip_project",
    "u",
    "Unskip project",
    "Build the project again.",
    Group.PROJECTS,
    Requirement.PROJECT,
    changes_farm=True,
)
RAISE_PRIORITY = Action(
    "raise_priority",
    "plus",
    "Raise priority",
    "Move the release's queued jobs ahead, by some hours.",
    Group.PROJECTS,
    Requirement.PROJECT,
    changes_farm=True,
    confirm=Confirm.ALWAYS,
)
RESET_PRIORITY = Action(
    "reset_priority",
    "minus",
    "Reset priority",
    "Restore the original order of the release's queued jobs.",
    Group.PROJECTS,
    Requirement.PROJECT,
    changes_farm=True,
)
PROJECT_ACTIONS = (RETRY, SKIP_PROJECT, UNSKIP_PROJECT, RAISE_PRIORITY, RESET_PRIORITY)
