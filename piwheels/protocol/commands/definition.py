"""What a definition of an operator command consists of. Data only: no I/O, no click, no textual."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from piwheels.model import is_debian_package
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import Message

M = TypeVar("M", bound=Message)

#: The most builders that may be restarted at the same time.
MAX_PARALLEL = 1000
MAX_HOURS = 1_000_000.0
#: The most Debian packages that one command names.
MAX_PACKAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What an operator entered for one command, at a shell or in the console."""

    builders: tuple[str, ...] = ()
    project: str = ""
    version: str | None = None
    target: str | None = None
    releases: tuple[tuple[str, str, str], ...] = ()  # project, version, target
    alerts: tuple[str, ...] = ()  # their ids
    packages: tuple[str, ...] = ()  # Debian packages
    waiting: str = ""  # a builder that waits: its name, its key or that one's first digits
    text: str | None = None  # the command's own text: a reason, a kind of page, a name
    number: float = 0.0  # the command's own number: a count, seconds
    flag: bool = False  # the command's own flag


class Kind(StrEnum):
    """What a parameter of the command line accepts, and the field of Inputs that it fills."""

    BUILDERS = "builders"  # [BUILDER]... or --all
    ALERTS = "alerts"  # ID...
    WAITING = "waiting"  # NAME|KEY of a builder that waits to be authorized
    RELEASE = "release"  # PROJECT[==VERSION]: project and version
    PROJECT = "project"
    TARGET = "target"
    PACKAGES = "packages"  # PACKAGE...
    TEXT = "text"
    CHOICE = "choice"  # text
    DURATION = "duration"  # number, in seconds
    UNTIL = "until"  # number, in seconds from now: a duration or a time of day
    COUNT = "count"  # number
    COUNT_OR_ALL = "count or all"  # number, 0 for all
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or option of a command on the command line."""

    name: str  # "release" is an argument, "--by" an option
    kind: Kind
    help: str = ""
    required: bool = True  # of an argument
    default: str | None = None
    metavar: str = ""
    choices: tuple[str, ...] = ()


class Requirement(StrEnum):
    """What has to be selected in the console for an action to be available."""

    NOTHING = ""
    TABLE = "a table"
    BUILDER = "a builder"
    RUNNING_BUILD = "a builder with a running build"
    WAITING = "a builder that waits"
    BUILD = "a build"
    PROJECT = "a project"
    FAILURES = "a group of failures"
    ALERT = "an alert"
    RECORDING = "a recording"


class Confirm(StrEnum):
    """When the console asks for confirmation; an action on several rows always does."""

    NEVER = "never"
    IF_WORK_LOST = "if work is lost"
    ALWAYS = "always"


class Scope(StrEnum):
    """How much of the selected row a console action is applied to."""

    ROW = "row"  # a builder, or the farm
    PROJECT = "project"
    RELEASE = "release"
    RELEASE_FOR_TARGET = "release for target"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A value that the console asks for beside the confirmation."""

    label: str
    default: str
    kind: Kind  # TEXT, COUNT, COUNT_OR_ALL, UNTIL, PACKAGES or DURATION (entered in hours)
    optional: bool = False  # a TEXT may be empty
    what: str = "a reason"  # a TEXT is
    of_several: bool = False  # one target alone is only confirmed

    def error(self, entered: str) -> str:
        """Why what was entered cannot be used; "" when it can."""
        match self.kind:
            case Kind.COUNT:
                valid, expected = parse_count(entered) > 0, f"a number from 1 to {MAX_PARALLEL:,}"
            case Kind.COUNT_OR_ALL:
                valid = _is_all(entered) or parse_count(entered) > 0
                expected = f"all, or a number from 1 to {MAX_PARALLEL:,}"
            case Kind.DURATION:
                valid, expected = parse_hours(entered) > 0, "a number of hours above 0"
            case Kind.UNTIL:
                valid, expected = parse_until(entered) > 0, "a duration (2h, 3d) or a time (18:00)"
            case Kind.PACKAGES:
                valid, expected = bool(parse_packages(entered)), "names of Debian packages"
            case _:
                valid, expected = self.optional or bool(entered.strip()), self.what
        return "" if valid else expected

    def number(self, entered: str) -> float:
        """The number that was entered, a duration in seconds; 0.0 for a text."""
        match self.kind:
            case Kind.COUNT | Kind.COUNT_OR_ALL:
                return parse_count(entered)
            case Kind.DURATION:
                return parse_hours(entered) * 3600.0
            case Kind.UNTIL:
                return parse_until(entered)
            case _:
                return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleAction:
    """One entry of the console's keys, finder and help."""

    name: str  # what settings bind keys to
    key: str  # as textual writes it; "" for none
    label: str  # for the key bar: a word or two
    help: str
    requires: Requirement = Requirement.NOTHING
    scope: Scope = Scope.ROW
    confirm: Confirm = Confirm.NEVER
    consequence: str = ""
    explanation: str = ""  # what else the confirmation says
    confirm_word: str = ""  # has to be typed: always for the master, for builders if all are meant
    prompt: Prompt | None = None
    number: float = 0.0  # fixed inputs of this action
    flag: bool = False
    build: Callable[[Inputs], Message] | None = None  # None: as the command line does


def _always(_: Any) -> bool:
    return True


def _never(_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDefinition(Generic[M]):
    """Everything about one operator command but its handler, which is in `piwheels.control`."""

    name: str  # the words after `piw`: "builder cancel"; "" for one that only programs send
    message: type[M]
    summary: str  # one sentence: command line help and reference
    details: str = ""
    examples: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    build: Callable[[Inputs], M] | None = None  # None: the command line has code of its own
    audit: Callable[[M], str]  # the audit log's text
    applies_to: Callable[[M], bool] = _always  # where one message has several commands
    role: ControlRole = ControlRole.OPERATE  # what a caller needs
    discards_work: Callable[[M], bool] = _never  # the command line asks first
    question: str = ""  # what it asks; {what} is what the command is applied to
    consequence: str = ""  # what is lost, in one sentence
    console: tuple[ConsoleAction, ...] = ()


def _is_all(text: str) -> bool:
    return text.strip().lower() in {"all", "0"}


def parse_count(text: str) -> int:
    """A number from 1 to MAX_PARALLEL; 0 for anything else."""
    text = text.strip()
    if not text.isdecimal() or len(text) > len(str(MAX_PARALLEL)):
        return 0
    number = int(text)
    return number if number <= MAX_PARALLEL else 0


def parse_packages(text: str) -> tuple[str, ...]:
    """The Debian packages that a text names, with spaces or commas between them.

    () if it names none or too many, or something else.
    """
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    valid = len(names) <= MAX_PACKAGES and all(map(is_debian_package, names))
    return names if valid else ()


def parse_hours(text: str) -> float:
    """A number of hours; 0.0 for anything else."""
    try:
        hours = float(text.replace(",", "."))
    except ValueError:
        return 0.0
    return hours if hours < MAX_HOURS else 0.0


def parse_until(text: str, now: datetime | None = None) -> float:
    """The seconds until the end of a duration (`90m`, `2h`, `3d`), or until a local time of day.

    A time (`18:00`) is today's or tomorrow's, `2026-12-01 08:00` a day's; 0.0 for anything else.
    """
    from piwheels.formatting import parse_duration  # noqa: PLC0415 - `piw --help` stays fast

    text, now = text.strip(), now or datetime.now().astimezone()
    seconds = parse_duration(text) or _seconds_until(text, now)
    return seconds if 0 < seconds < MAX_HOURS * 3600 else 0.0


def _seconds_until(text: str, now: datetime) -> float:
    try:
        if ":" in text and "-" not in text:
            then = datetime.combine(now.date(), time.fromisoformat(text), now.tzinfo)
            return ((then - now) % timedelta(days=1)).total_seconds()
        then = datetime.fromisoformat(text)
        then = then if then.tzinfo else then.replace(tzinfo=now.tzinfo)
    except ValueError:
        return 0.0
    return (then - now).total_seconds()


def release_text(project: str, version: str | None, target: str | None = None) -> str:
    """A project or release, and the target if the command is limited to one."""
    words = f"{project} {version}" if version else project
    return f"{words} for {target}" if target else words
