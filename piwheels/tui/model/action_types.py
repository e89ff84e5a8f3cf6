"""What an action of the console is: its keys, texts, what it requires, and when it asks first."""

from dataclasses import dataclass
from enum import StrEnum

from piwheels.tui.model.navigation import ScreenName


class Group(StrEnum):
    """The heading under which the help lists an action."""

    NAVIGATION = "Navigation"
    ROWS = "Rows"
    FARM = "Farm"
    BUILDERS = "Builders"
    PROJECTS = "Projects"
    LOG = "Log"
    REPLAY = "Recording"


class Requirement(StrEnum):
    """What has to be selected for an action to be available."""

    NOTHING = ""
    TABLE = "a table"
    BUILDER = "a builder"
    RUNNING_BUILD = "a builder with a running build"
    BUILD = "a build"
    PROJECT = "a project"
    RECORDING = "a recording"


class Confirm(StrEnum):
    """When an action asks for confirmation; acting on several rows always asks."""

    NEVER = "never"
    IF_WORK_LOST = "when work is lost"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that an operator can do. Its name is also what settings bind keys to."""

    name: str
    keys: str  # as Textual writes them, several separated by commas
    label: str  # for the key bar: a word or two
    help: str  # what happens, in one sentence
    group: Group
    requires: Requirement = Requirement.NOTHING
    screens: tuple[ScreenName, ...] = ()  # where it is available; () is everywhere
    opens: ScreenName | None = None  # the screen that it leads to
    changes_farm: bool = False  # unavailable in read-only mode
    confirm: Confirm = Confirm.NEVER
    consequence: str = ""  # what is lost, in one sentence
    confirm_word: str = ""  # to be typed: always for the master, for builders when all are chosen
    drop_order: int = 9  # the key bar drops the highest first
    works_in_dialogs: bool = False


@dataclass(frozen=True, slots=True)
class ActionTarget:
    """A row as actions see it: what it shows, and the work that would be lost with it."""

    key: str  # the row's key
    name: str  # for people: "pi-1", "numpy 2.1 for cp313-trixie-aarch64"
    builder: str = ""
    build: int | None = None
    is_building: bool = False  # `build` is running
    project: str = ""
    version: str = ""
    target: str = ""
    work_at_risk: str = ""  # the running build and its duration, in one line

    def satisfies(self, requirement: Requirement) -> bool:
        """Whether an action with this requirement applies to the row."""
        match requirement:
            case Requirement.BUILDER:
                return bool(self.builder)
            case Requirement.RUNNING_BUILD:
                return bool(self.builder) and self.is_building
            case Requirement.BUILD:
                return self.build is not None
            case Requirement.PROJECT:
                return bool(self.project)
            case Requirement.NOTHING | Requirement.TABLE | Requirement.RECORDING:
                return True
