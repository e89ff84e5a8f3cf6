"""From an action and its targets: the confirmation to ask for, and the commands to send."""

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
from piwheels.tui.model import farm_actions
from piwheels.tui.model.action_types import Action, ActionTarget, Confirm, Requirement
from piwheels.tui.model.terminal_text import terminal_safe

_HOUR_S = 3600.0
#: The command of each action on builders, and whether it takes effect immediately.
_BUILDER_COMMANDS = {
    farm_actions.SLEEP: (BuilderCommand.SLEEP, False),
    farm_actions.SLEEP_NOW: (BuilderCommand.SLEEP, True),
    farm_actions.WAKE: (BuilderCommand.WAKE, False),
    farm_actions.CANCEL_BUILD: (BuilderCommand.CANCEL_BUILD, False),
    farm_actions.DRAIN: (BuilderCommand.DRAIN, False),
    farm_actions.ROLLING_RESTART: (BuilderCommand.RESTART, False),
    farm_actions.KILL: (BuilderCommand.KILL, False),
}


@dataclass(frozen=True, slots=True)
class PromptField:
    """A field of a confirmation: its label and its default value."""

    label: str
    default: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What an operator is asked before a command is sent.

    `targets` are fixed when the dialog opens; the filter hides `hidden_count` of them.
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
        """The targets, a line each, with the work that would be lost."""
        named = dict.fromkeys(_target_name(self.action, target) for target in self.targets)
        work = {target.name: target.work_at_risk for target in self.targets if target.work_at_risk}
        return tuple(f"{name}: {work[name]}" if name in work else name for name in named)


_FARM_COMMANDS: dict[Action, RequestBody] = {
    farm_actions.PAUSE: Pause(),
    farm_actions.RESUME: Resume(),
    farm_actions.STOP_MASTER: StopMaster(),
}
#: They apply to the whole project, whatever release is selected.
_PROJECT_ACTIONS = frozenset({farm_actions.SKIP_PROJECT, farm_actions.UNSKIP_PROJECT})
_MAX_PARALLEL = 1000
#: With more builders, a command's description only counts them.
_MAX_NAMES_SHOWN = 4

_PROMPTS = {
    farm_actions.ROLLING_RESTART: PromptField("Builders at a time", "1"),
    farm_actions.SKIP_PROJECT: PromptField("Reason (public)", "by an operator"),
    farm_actions.RAISE_PRIORITY: PromptField("Hours ahead", "24"),
}


def confirmation_for(
    action: Action,
    targets: Sequence[ActionTarget],
    *,
    hidden_count: int = 0,
    all_builders: frozenset[str],
) -> Confirmation | None:
    """The confirmation that an action on these targets requires; None when it requires none.

    `all_builders` are the labels of all builders.
    """
    work_at_risk = any(target.work_at_risk for target in targets)
    required = (
        action.confirm is Confirm.ALWAYS
        or (action.confirm is Confirm.IF_WORK_LOST and work_at_risk)
        or len(targets) > 1
        or hidden_count > 0
    )
    if not required:
        return None
    return Confirmation(
        action=action,
        targets=tuple(targets),
        hidden_count=hidden_count,
        confirm_word=_confirm_word(action, targets, all_builders),
        prompt=_PROMPTS.get(action),
    )


def _confirm_word(
    action: Action, targets: Sequence[ActionTarget], all_builders: frozenset[str]
) -> str:
    if action.requires is not Requirement.BUILDER:
        return action.confirm_word
    return action.confirm_word if all_builders <= {target.builder for target in targets} else ""


def still_applicable(
    action: Action, targets: Sequence[ActionTarget], running_builds: Mapping[str, int | None]
) -> tuple[ActionTarget, ...]:
    """The targets to which a confirmed action still applies.

    Canceling a build must not cancel the next one, which its builder has started meanwhile.
    `running_builds` has the running build of each builder, by label.
    """
    if action.requires is not Requirement.RUNNING_BUILD:
        return tuple(targets)
    return tuple(it for it in targets if running_builds.get(it.builder) == it.build)


def skipped_message(confirmed: Sequence[ActionTarget], applicable: Sequence[ActionTarget]) -> str:
    """One line about the targets to which a confirmed action no longer applies."""
    gone = [target for target in confirmed if target not in applicable]
    names = _join_names(tuple(target.builder for target in gone))
    return f"Not applied to {names}: the build has ended meanwhile."


def validation_error(action: Action, answer: str) -> str:
    """Why a prompt's value is not valid, in one line; "" when it is."""
    if action is farm_actions.ROLLING_RESTART and not _parse_count(answer):
        return f"Enter a number from 1 to {_MAX_PARALLEL:,}."
    if action is farm_actions.RAISE_PRIORITY and _parse_hours(answer) <= 0:
        return "Enter a number of hours above 0."
    if action is farm_actions.SKIP_PROJECT and not answer.strip():
        return "Enter a reason."
    return ""


def build_messages(
    action: Action, targets: Sequence[ActionTarget], answer: str = ""
) -> list[tuple[RequestBody, str]]:
    """The commands to send, each with its description; one for each project.

    Raises:
        KeyError: the action sends no command.
    """
    if action.requires in {Requirement.BUILDER, Requirement.RUNNING_BUILD}:
        body = _builder_message(action, targets, answer)
        return [(body, f"{action.label.lower()} {_join_names(body.builders)}")]
    if action.requires is Requirement.PROJECT:
        bodies = dict.fromkeys(_project_message(action, target, answer) for target in targets)
        return [(body, f"{action.label.lower()} {_release_name(body)}") for body in bodies]
    return [(_FARM_COMMANDS[action], action.label.lower())]


def _project_message(
    action: Action, target: ActionTarget, answer: str
) -> Retry | Skip | Prioritize:
    project, release = target.project, target.version or None
    if action is farm_actions.RETRY:
        return Retry(project=project, version=release, target=target.target or None)
    if action is farm_actions.SKIP_PROJECT:
        return Skip(project=project, reason=answer.strip())
    if action is farm_actions.UNSKIP_PROJECT:
        return Skip(project=project, reason=None)
    hours = _parse_hours(answer) if action is farm_actions.RAISE_PRIORITY else 0.0
    return Prioritize(project=project, version=release, advance_s=hours * _HOUR_S)


def _builder_message(
    action: Action, targets: Sequence[ActionTarget], answer: str
) -> CommandBuilders:
    command, immediately = _BUILDER_COMMANDS[action]
    return CommandBuilders(
        command=command,
        builders=tuple(dict.fromkeys(target.builder for target in targets)),
        immediately=immediately,
        max_parallel=_parse_count(answer) if action is farm_actions.ROLLING_RESTART else 0,
    )


def _join_names(labels: Sequence[str]) -> str:
    if len(labels) > _MAX_NAMES_SHOWN:
        return f"{len(labels)} builders"
    return ", ".join(map(terminal_safe, labels))


def _release_name(body: Retry | Skip | Prioritize) -> str:
    version = body.version or ""
    return terminal_safe(" ".join(filter(None, (body.project, version))))


def _parse_count(text: str) -> int:
    """A number of builders; 0 for an invalid one."""
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
    named = list(dict.fromkeys(_target_name(action, target) for target in targets))
    if len(named) == 1:
        return named[0]
    if action.requires in {Requirement.BUILDER, Requirement.RUNNING_BUILD}:
        return f"{len(named)} builders"
    return f"{len(named)} releases" if action not in _PROJECT_ACTIONS else f"{len(named)} projects"


def _target_name(action: Action, target: ActionTarget) -> str:
    """What an action on a row affects: its builder, its project or its release."""
    if action.requires is not Requirement.PROJECT:
        return target.name
    parts = [target.project]
    if action not in _PROJECT_ACTIONS:
        parts += [target.version]
    if action is farm_actions.RETRY and target.target:
        parts += ["for", target.target]
    return terminal_safe(" ".join(filter(None, parts)))
