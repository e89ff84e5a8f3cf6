"""From an action and the rows that it is done to: what is asked first, and what is sent.

No I/O and no textual here, so that what a key does to a farm is told by functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from piwheels.protocol.messages import (
    BuilderCommand,
    CommandBuilders,
    Pause,
    Prioritize,
    RequestBody,
    Resume,
    Retry,
    Skip,
    StopMaster,
)
from piwheels.tui.model.actions import Action, ActionTarget, Confirm, Requirement
from piwheels.tui.model.formatting import terminal_safe

_HOUR_S = 3600.0
_BUILDER_COMMANDS = {
    "sleep": (BuilderCommand.SLEEP, False),
    "sleep_now": (BuilderCommand.SLEEP, True),
    "wake": (BuilderCommand.WAKE, False),
    "skip_build": (BuilderCommand.CANCEL_BUILD, False),
    "drain": (BuilderCommand.DRAIN, False),
    "drain_rolling": (BuilderCommand.RESTART, False),
    "kill": (BuilderCommand.KILL, False),
}


@dataclass(frozen=True, slots=True)
class PromptField:
    """What has to be told beside yes: a label, and what stands there at first."""

    label: str
    default: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What an operator is asked before a command goes out.

    `subjects` are those that the question was asked for: they stay so, whatever the table
    does meanwhile. `hidden` of them are not shown by the filter.
    """

    action: Action
    targets: tuple[ActionTarget, ...]
    hidden_count: int = 0
    confirm_word: str = ""  # to be typed
    prompt: PromptField | None = None

    @property
    def title(self) -> str:
        """The question itself."""
        return (
            " ".join(filter(None, (self.action.label, _targets_summary(self.action, self.targets))))
            + "?"
        )

    @property
    def target_lines(self) -> tuple[str, ...]:
        """What it would be done to, a line each, with the work that is under way there."""
        named = dict.fromkeys(_target_name(self.action, subject) for subject in self.targets)
        stakes = {
            subject.name: subject.work_at_risk for subject in self.targets if subject.work_at_risk
        }
        return tuple(f"{name}: {stakes[name]}" if name in stakes else name for name in named)


_FARM_COMMANDS: dict[str, RequestBody] = {
    "pause": Pause(),
    "resume": Resume(),
    "quit_master": StopMaster(),
}
#: Done to a whole project, whatever release its row is of.
_PROJECT_ACTIONS = frozenset({"skip_project", "unskip_project"})
_MAX_PARALLEL = 1000
#: So many builders are named in a command's line.
_MAX_NAMES_SHOWN = 4

_PROMPTS = {
    "drain_rolling": PromptField("How many at a time", "1"),
    "skip_project": PromptField("The reason, for all to read", "by an operator"),
    "raise_priority": PromptField("How many hours earlier", "24"),
}


def confirmation_for(
    action: Action,
    targets: Sequence[ActionTarget],
    *,
    hidden_count: int = 0,
    all_builders: frozenset[str],
) -> Confirmation | None:
    """What to ask before this is done to these rows; None when it can be done at once.

    `all_builders` are the labels of all builders that are there.
    """
    stakes = any(subject.work_at_risk for subject in targets)
    asked = (
        action.confirm is Confirm.ALWAYS
        or (action.confirm is Confirm.IF_WORK_LOST and stakes)
        or len(targets) > 1
        or hidden_count > 0
    )
    if not asked:
        return None
    return Confirmation(
        action=action,
        targets=tuple(targets),
        hidden_count=hidden_count,
        confirm_word=_confirm_word(action, targets, all_builders),
        prompt=_PROMPTS.get(action.name),
    )


def _confirm_word(
    action: Action, targets: Sequence[ActionTarget], all_builders: frozenset[str]
) -> str:
    if action.requires is not Requirement.BUILDER:
        return action.confirm_word
    return action.confirm_word if all_builders <= {subject.builder for subject in targets} else ""


def still_applicable(
    action: Action, targets: Sequence[ActionTarget], running_builds: Mapping[str, int | None]
) -> tuple[ActionTarget, ...]:
    """Those to which the action is still to be done when it has been answered.

    What drops one build must not drop the next, which a builder has begun meanwhile. `running_builds`
    are the builds in hand by builders' labels.
    """
    if action.requires is not Requirement.RUNNING_BUILD:
        return tuple(targets)
    return tuple(it for it in targets if running_builds.get(it.builder) == it.build)


def skipped_message(confirmed: Sequence[ActionTarget], applicable: Sequence[ActionTarget]) -> str:
    """What became of those that are not there any more, in one line."""
    gone = [subject for subject in confirmed if subject not in applicable]
    names = _join_names(tuple(subject.builder for subject in gone))
    return f"Not done to {names}: the build that you were asked about has ended."


def validation_error(action: Action, answer: str) -> str:
    """Why what was typed for a wish cannot be; "" when it can."""
    match action.name:
        case "drain_rolling":
            return "" if _parse_count(answer) else f"a number from 1 to {_MAX_PARALLEL:,}"
        case "raise_priority":
            return "" if _parse_hours(answer) > 0 else "a number of hours above 0"
        case "skip_project":
            return "" if answer.strip() else "a reason"
        case _:
            return ""


def build_messages(
    action: Action, targets: Sequence[ActionTarget], answer: str = ""
) -> list[tuple[RequestBody, str]]:
    """The messages that carry it out, each with its words; a message speaks of one project only.

    Raises:
        KeyError: the action changes nothing.
    """
    if action.requires in {Requirement.BUILDER, Requirement.RUNNING_BUILD}:
        body = _builder_message(action, targets, answer)
        return [(body, f"{action.label.lower()} {_join_names(body.builders)}")]
    if action.requires is Requirement.PROJECT:
        made = {_project_message(action, subject, answer): subject for subject in targets}
        return [(body, f"{action.label.lower()} {_release_name(body)}") for body in made]
    return [(_FARM_COMMANDS[action.name], action.label.lower())]


def _project_message(
    action: Action, target: ActionTarget, answer: str
) -> Retry | Skip | Prioritize:
    project, release = target.project, target.version or None
    match action.name:
        case "retry":
            return Retry(project=project, version=release, target=target.target or None)
        case "skip_project":
            return Skip(project=project, reason=answer.strip())
        case "unskip_project":
            return Skip(project=project, reason=None)
        case "raise_priority":
            return Prioritize(
                project=project, version=release, advance_s=_parse_hours(answer) * _HOUR_S
            )
        case _:
            return Prioritize(project=project, version=release, advance_s=0.0)


def _builder_message(
    action: Action, targets: Sequence[ActionTarget], answer: str
) -> CommandBuilders:
    order, at_once = _BUILDER_COMMANDS[action.name]
    return CommandBuilders(
        command=order,
        builders=tuple(dict.fromkeys(subject.builder for subject in targets)),
        immediately=at_once,
        max_parallel=_parse_count(answer) if action.name == "drain_rolling" else 0,
    )


def _join_names(labels: Sequence[str]) -> str:
    if len(labels) > _MAX_NAMES_SHOWN:
        return f"{len(labels)} builders"
    return ", ".join(map(terminal_safe, labels))


def _release_name(body: Retry | Skip | Prioritize) -> str:
    version = body.version or ""
    return terminal_safe(" ".join(filter(None, (body.project, version))))


def _parse_count(text: str) -> int:
    """How many at a time; 0 for what makes no sense."""
    text = text.strip()
    if not text.isdecimal() or len(text) > len(str(_MAX_PARALLEL)):
        return 0
    number = int(text)
    return number if number <= _MAX_PARALLEL else 0


def _parse_hours(text: str) -> float:
    try:
        hours = float(text.replace(",", "."))
    except ValueError:
        return 0.0
    return hours if hours < 1e6 else 0.0


def _targets_summary(action: Action, targets: Sequence[ActionTarget]) -> str:
    if not targets:
        return ""
    named = list(dict.fromkeys(_target_name(action, subject) for subject in targets))
    if len(named) == 1:
        return named[0]
    if action.requires in {Requirement.BUILDER, Requirement.RUNNING_BUILD}:
        return f"{len(named)} builders"
    return (
        f"{len(named)} releases"
        if action.name not in _PROJECT_ACTIONS
        else f"{len(named)} projects"
    )


def _target_name(action: Action, target: ActionTarget) -> str:
    """What an action is done to where a row is chosen: its builder, its project, its release."""
    if action.requires is not Requirement.PROJECT:
        return target.name
    parts = [target.project]
    if action.name not in _PROJECT_ACTIONS:
        parts += [target.version]
    if action.name == "retry" and target.target:
        parts += ["for", target.target]
    return terminal_safe(" ".join(filter(None, parts)))
