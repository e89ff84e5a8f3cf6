"""What an action of the console is: its keys, its texts, and what it requires."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from piwheels.protocol.commands.definition import CommandDefinition, ConsoleAction, Requirement
from piwheels.tui.model.navigation import ScreenName


class Group(StrEnum):
    """The heading under which the help lists an action, a screen's own before the others."""

    ROWS = "Rows"
    LOG = "Log"
    BUILDERS = "Builders"
    PROJECTS = "Projects"
    ALERTS = "Alerts"
    FARM = "Farm"
    REPLAY = "Past moments"
    NAVIGATION = "Navigation"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that an operator can do. Its name is also what settings bind keys to."""

    name: str
    keys: str  # as Textual writes them, several separated by commas; "" for none
    label: str  # for the key bar: a word or two
    help: str  # what happens, in one sentence
    group: Group
    requires: Requirement = Requirement.NOTHING
    screens: tuple[ScreenName, ...] = ()  # where it is available; () is everywhere
    opens: ScreenName | None = None  # the screen that it leads to
    works_in_dialogs: bool = False
    command: CommandDefinition[Any] | None = None  # the command that it sends
    console: ConsoleAction | None = None  # how it sends that: confirmation, prompt, inputs

    @property
    def changes_farm(self) -> bool:
        """Whether it sends a command; those are unavailable in read-only mode."""
        return self.command is not None


@dataclass(frozen=True, slots=True)
class ActionTarget:
    """A row as actions see it: what it shows, and the work that would be lost with it."""

    key: str  # the row's key
    name: str  # for people: "pi-1", "numpy 2.1 for cp313-trixie-aarch64"
    builder: str = ""
    build: int | None = None
    is_building: bool = False  # `build` is running
    has_failed: bool = False  # `build` ended without a wheel
    project: str = ""
    version: str = ""
    target: str = ""
    failure_class: str = ""  # with `cause`: a group of failures
    cause: str = ""
    group: str = ""  # of the first release of a group: what the group is called
    packages: tuple[str, ...] = ()  # the Debian packages that could repair it
    alert: str = ""  # the id of an alert
    waiting: str = ""  # the public key of a builder that waits to be authorized
    waiting_name: str = ""  # the name under which it does; "" for none
    details: tuple[str, ...] = ()  # what else tells of it in a list: release, phase
    running: str = ""  # how long its build has run, where one runs
    note: str = ""  # why a command may not reach it: "silent, may not answer"
    has_ended: bool = False  # a builder that ran; no command reaches it

    def satisfies(self, requirement: Requirement) -> bool:
        """Whether an action with this requirement applies to the row."""
        match requirement:
            case Requirement.BUILDER:
                return bool(self.builder) and not self.has_ended
            case Requirement.RUNNING_BUILD:
                return bool(self.builder) and self.is_building
            case Requirement.WAITING:
                return bool(self.waiting)
            case Requirement.BUILD:
                return self.build is not None
            case Requirement.PROJECT:
                return bool(self.project)
            case Requirement.ALERT:
                return bool(self.alert)
            case Requirement.FAILURES:
                return bool(self.failure_class)
            case Requirement.NOTHING | Requirement.TABLE | Requirement.RECORDING:
                return True
