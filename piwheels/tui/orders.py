"""From an action and the rows that it is done to: what is asked first, and what is sent.

No I/O and no textual here, so that what a key does to a farm is told by functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from piwheels.protocol.messages import (
    Body,
    Order,
    OrderBuilders,
    Pause,
    Prioritise,
    Quit,
    Resume,
    Retry,
    Skip,
)
from piwheels.tui.actions import Action, Asks, Needs, Subject
from piwheels.tui.text import harmless

_HOUR_S = 3600.0
_ORDERS = {
    "sleep": (Order.SLEEP, False),
    "sleep_now": (Order.SLEEP, True),
    "wake": (Order.WAKE, False),
    "skip_build": (Order.SKIP, False),
    "drain": (Order.DRAIN, False),
    "drain_rolling": (Order.DRAIN, False),
    "kill": (Order.KILL, False),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What has to be told beside yes: a label, and what stands there at first."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Question:
    """What an operator is asked before a command goes out.

    `subjects` are those that the question was asked for: they stay so, whatever the table
    does meanwhile. `hidden` of them are not shown by the filter.
    """

    action: Action
    subjects: tuple[Subject, ...]
    hidden: int = 0
    word: str = ""  # to be typed
    wish: Wish | None = None

    @property
    def title(self) -> str:
        """The question itself."""
        return " ".join(filter(None, (self.action.label, _many(self.action, self.subjects)))) + "?"

    @property
    def targets(self) -> tuple[str, ...]:
        """What it would be done to, a line each, with the work that is under way there."""
        named = dict.fromkeys(_done_to(self.action, subject) for subject in self.subjects)
        stakes = {subject.name: subject.stake for subject in self.subjects if subject.stake}
        return tuple(f"{name}: {stakes[name]}" if name in stakes else name for name in named)


_FARM: dict[str, Body] = {"pause": Pause(), "resume": Resume(), "quit_master": Quit()}
#: Done to a whole project, whatever release its row is of.
_OF_PROJECTS = frozenset({"skip_project", "unskip_project"})
_MOST_AT_A_TIME = 1000
#: So many builders are named in a command's line.
_NAMED = 4

_WISHES = {
    "drain_rolling": Wish("How many at a time", "1"),
    "skip_project": Wish("The reason, for all to read", "by an operator"),
    "raise_priority": Wish("How many hours earlier", "24"),
}


def question(
    action: Action, subjects: Sequence[Subject], *, hidden: int = 0, everyone: frozenset[str]
) -> Question | None:
    """What to ask before this is done to these rows; None when it can be done at once.

    `everyone` are the labels of all builders that are there.
    """
    stakes = any(subject.stake for subject in subjects)
    asked = (
        action.asks is Asks.ALWAYS
        or (action.asks is Asks.WORK and stakes)
        or len(subjects) > 1
        or hidden > 0
    )
    if not asked:
        return None
    return Question(
        action=action,
        subjects=tuple(subjects),
        hidden=hidden,
        word=_word(action, subjects, everyone),
        wish=_WISHES.get(action.name),
    )


def _word(action: Action, subjects: Sequence[Subject], everyone: frozenset[str]) -> str:
    if action.needs is not Needs.BUILDER:
        return action.word
    return action.word if everyone <= {subject.builder for subject in subjects} else ""


def still_so(
    action: Action, subjects: Sequence[Subject], in_hand: Mapping[str, int | None]
) -> tuple[Subject, ...]:
    """Those to which the action is still to be done when it has been answered.

    What drops one build must not drop the next, which a builder has begun meanwhile. `in_hand`
    are the builds in hand by builders' labels.
    """
    if action.needs is not Needs.IN_HAND:
        return tuple(subjects)
    return tuple(it for it in subjects if in_hand.get(it.builder) == it.build)


def told_too_late(asked_of: Sequence[Subject], left: Sequence[Subject]) -> str:
    """What became of those that are not there any more, in one line."""
    gone = [subject for subject in asked_of if subject not in left]
    names = _names(tuple(subject.builder for subject in gone))
    return f"Not done to {names}: the build that you were asked about has ended."


def objection(action: Action, answer: str) -> str:
    """Why what was typed for a wish cannot be; "" when it can."""
    match action.name:
        case "drain_rolling":
            return "" if _at_a_time(answer) else f"a number from 1 to {_MOST_AT_A_TIME:,}"
        case "raise_priority":
            return "" if _hours(answer) > 0 else "a number of hours above 0"
        case "skip_project":
            return "" if answer.strip() else "a reason"
        case _:
            return ""


def commands(
    action: Action, subjects: Sequence[Subject], answer: str = ""
) -> list[tuple[Body, str]]:
    """The messages that carry it out, each with its words; a message speaks of one project only.

    Raises:
        KeyError: the action changes nothing.
    """
    if action.needs in {Needs.BUILDER, Needs.IN_HAND}:
        body = _order(action, subjects, answer)
        return [(body, f"{action.label.lower()} {_names(body.builders)}")]
    if action.needs is Needs.PROJECT:
        made = {_of_project(action, subject, answer): subject for subject in subjects}
        return [(body, f"{action.label.lower()} {_named(body)}") for body in made]
    return [(_FARM[action.name], action.label.lower())]


def _of_project(action: Action, subject: Subject, answer: str) -> Retry | Skip | Prioritise:
    project, release = subject.project, subject.version or None
    match action.name:
        case "retry":
            return Retry(project=project, version=release, target=subject.target or None)
        case "skip_project":
            return Skip(project=project, reason=answer.strip())
        case "unskip_project":
            return Skip(project=project, reason=None)
        case "raise_priority":
            return Prioritise(project=project, version=release, by_s=_hours(answer) * _HOUR_S)
        case _:
            return Prioritise(project=project, version=release, by_s=0.0)


def _order(action: Action, subjects: Sequence[Subject], answer: str) -> OrderBuilders:
    order, at_once = _ORDERS[action.name]
    return OrderBuilders(
        order=order,
        builders=tuple(dict.fromkeys(subject.builder for subject in subjects)),
        at_once=at_once,
        rolling=_at_a_time(answer) if action.name == "drain_rolling" else 0,
    )


def _names(labels: Sequence[str]) -> str:
    if len(labels) > _NAMED:
        return f"{len(labels)} builders"
    return ", ".join(map(harmless, labels))


def _named(body: Retry | Skip | Prioritise) -> str:
    version = body.version or ""
    return harmless(" ".join(filter(None, (body.project, version))))


def _at_a_time(text: str) -> int:
    """How many at a time; 0 for what makes no sense."""
    text = text.strip()
    if not text.isdecimal() or len(text) > len(str(_MOST_AT_A_TIME)):
        return 0
    number = int(text)
    return number if number <= _MOST_AT_A_TIME else 0


def _hours(text: str) -> float:
    try:
        hours = float(text.replace(",", "."))
    except ValueError:
        return 0.0
    return hours if hours < 1e6 else 0.0


def _many(action: Action, subjects: Sequence[Subject]) -> str:
    if not subjects:
        return ""
    named = list(dict.fromkeys(_done_to(action, subject) for subject in subjects))
    if len(named) == 1:
        return named[0]
    if action.needs in {Needs.BUILDER, Needs.IN_HAND}:
        return f"{len(named)} builders"
    return f"{len(named)} releases" if action.name not in _OF_PROJECTS else f"{len(named)} projects"


def _done_to(action: Action, subject: Subject) -> str:
    """What an action is done to where a row is chosen: its builder, its project, its release."""
    if action.needs is not Needs.PROJECT:
        return subject.name
    parts = [subject.project]
    if action.name not in _OF_PROJECTS:
        parts += [subject.version]
    if action.name == "retry" and subject.target:
        parts += ["for", subject.target]
    return harmless(" ".join(filter(None, parts)))
