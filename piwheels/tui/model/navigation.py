"""The console's screens by name, and what a screen can be narrowed to."""

from dataclasses import dataclass
from enum import StrEnum


class ScreenName(StrEnum):
    """The screens, those with a number key first and in its order."""

    OVERVIEW = "overview"
    BUILDERS = "builders"
    BUILDS = "builds"
    QUEUES = "queues"
    FAILURES = "failures"
    ALERTS = "alerts"
    DOWNLOADS = "downloads"
    EVENTS = "events"
    BUILD = "build"
    LOG = "log"
    EXPLAIN = "explain"
    COMMANDS = "commands"
    HOST = "host"
    QUEUE = "queue"
    OPERATORS = "operators"
    BUILDER = "builder"


@dataclass(frozen=True, slots=True)
class ScreenFilter:
    """What a screen was opened for; "" and None do not filter."""

    builder: str = ""
    target: str = ""
    build: int | None = None
    project: str = ""
    version: str = ""
    failure_class: str = ""  # with `cause`: a group of failures
    cause: str = ""
    title: str = ""

    def __bool__(self) -> bool:
        return bool(
            self.builder
            or self.target
            or self.project
            or self.failure_class
            or self.build is not None
        )


#: For a screen that is opened as it was left.
NO_FILTER = ScreenFilter()


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A screen that was shown, and its filter."""

    screen_name: ScreenName
    screen_filter: ScreenFilter
