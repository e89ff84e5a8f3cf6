"""From an action and its targets: the confirmation to ask for, and the commands to send."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from piwheels.formatting import pluralize
from piwheels.protocol.commands.definition import (
    MAX_PACKAGES,
    Confirm,
    Inputs,
    Kind,
    Prompt,
    Requirement,
    Scope,
    parse_packages,
    release_text,
)
from piwheels.protocol.messages import RequestBody
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.terminal_text import terminal_safe

#: With more builders, a command's description only counts them.
_MAX_NAMES_SHOWN = 4
_OF_BUILDERS = frozenset({Requirement.BUILDER, Requirement.RUNNING_BUILD})
_NAMED_AS_BUILDERS = _OF_BUILDERS | {Requirement.WAITING}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What an operator is asked before a command is sent.

    `targets` are fixed when the dialog opens; the filter hides `hidden_count` of them.
    """

    action: Action
    targets: tuple[ActionTarget, ...]
    hidden_count: int = 0
    confirm_word: str = ""  # to be typed

    @property
    def title(self) -> str:
        """The action and what it applies to."""
        summary = _targets_summary(self.action, self.targets)
        return " ".join(filter(None, (self.action.label, summary)))

    @property
    def target_lines(self) -> tuple[str, ...]:
        """The targets, a line each, with the work that would be lost."""
        cells = {
            name: (name, *self._cells(name, target))
            for target in self.targets
            for name in [_target_name(self.action, target)]
        }
        widths = [max(map(len, column)) for column in zip(*cells.values(), strict=True)]
        return tuple(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells.values()
        )

    def _cells(self, name: str, target: ActionTarget) -> tuple[str, str, str]:
        """What a row shows, and the work that is lost with it; nothing for a part of a row."""
        if name != target.name:
            return "", "", ""
        release, phase = (*target.details, "", "")[:2]
        lost = f"{target.running} of work is lost" if target.running and self.consequence else ""
        return release, phase, lost

    @property
    def note(self) -> str:
        """What the action does, that the targets are fixed, and which of them may not answer."""
        console = self.action.console
        count, notes = len(self.targets), [target.note for target in self.targets if target.note]
        fixed = f"These {count}, whatever is marked or sorted later." if count > 1 else ""
        texts = (console.explanation if console else "", fixed, *notes[:_MAX_NAMES_SHOWN])
        return " ".join(filter(None, texts))

    @property
    def consequence(self) -> str:
        """What is lost, in one sentence; "" for nothing."""
        return self.action.console.consequence if self.action.console else ""

    @property
    def prompt(self) -> Prompt | None:
        """A value to enter, too; packages begin with those that the targets lack."""
        prompt = self.action.console.prompt if self.action.console else None
        if prompt is not None and self.action.requires is Requirement.WAITING:
            # Several builders get the names under which they wait.
            (first, *others) = self.targets
            return None if others else replace(prompt, default=first.waiting_name)
        if prompt is not None and prompt.of_several and len(self.targets) == 1:
            return None
        if prompt is not None and prompt.kind is Kind.PACKAGES:
            names = Counter(name for target in self.targets for name in target.packages)
            lacking = " ".join(name for name, _ in names.most_common(MAX_PACKAGES))
            return replace(prompt, default=lacking)
        return prompt


def confirmation_for(
    action: Action,
    targets: Sequence[ActionTarget],
    *,
    hidden_count: int = 0,
    all_builders: frozenset[str],
    always: bool = False,
) -> Confirmation | None:
    """The confirmation that an action on these targets requires; None when it requires none.

    `all_builders` are the labels of all builders; with `always` it is required in any case.
    """
    confirm = action.console.confirm if action.console else Confirm.NEVER
    required = (
        confirm is Confirm.ALWAYS
        or (confirm is Confirm.IF_WORK_LOST and any(target.running for target in targets))
        or len(targets) > 1
        or hidden_count > 0
        or always
    )
    if not required:
        return None
    word = _confirm_word(action, targets, all_builders)
    return Confirmation(action, tuple(targets), hidden_count, word)


def _confirm_word(
    action: Action, targets: Sequence[ActionTarget], all_builders: frozenset[str]
) -> str:
    word = action.console.confirm_word if action.console else ""
    if action.requires is not Requirement.BUILDER:
        return word
    labels = {target.builder for target in targets}
    return word if len(labels) > 1 or all_builders <= labels else ""


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


def skipped_text(confirmed: Sequence[ActionTarget], applicable: Sequence[ActionTarget]) -> str:
    """The targets to which a confirmed action no longer applies, and why; "" for none."""
    skipped = [target.builder for target in confirmed if target not in applicable]
    return f"not {_join_names(skipped)}: the build has ended meanwhile" if skipped else ""


def validation_error(prompt: Prompt | None, entered: str) -> str:
    """Why a prompt's value is not valid, in one line; "" when it is."""
    error = prompt.error(entered) if prompt else ""
    return f"Enter {error}." if error else ""


def build_messages(
    action: Action, targets: Sequence[ActionTarget], entered: str = ""
) -> list[tuple[RequestBody, str]]:
    """The commands to send, each with its description; one for each project.

    Raises:
        ValueError: the action sends no command.
    """
    build = _builder_of_messages(action)
    label = action.label.lower()
    if action.requires in _OF_BUILDERS:
        labels = tuple(dict.fromkeys(target.builder for target in targets))
        body = build(_inputs(action, entered, builders=labels))
        return [(body, f"{label} {_join_names(labels)}")]
    if action.requires is Requirement.FAILURES:
        releases = tuple(dict.fromkeys((it.project, it.version, it.target) for it in targets))
        body = build(_inputs(action, entered, releases=releases))
        return [(body, f"{label} {_targets_summary(action, targets)}")]
    if action.requires is Requirement.WAITING:
        return [
            (build(_inputs(action, entered, waiting=it.waiting)), f"{label} {it.name}")
            for it in targets
        ]
    if action.requires is Requirement.ALERT:
        ids = tuple(dict.fromkeys(target.alert for target in targets))
        body = build(_inputs(action, entered, alerts=ids))
        return [(body, f"{label} {_targets_summary(action, targets)}")]
    if action.requires is not Requirement.PROJECT:
        description = f"{label} {terminal_safe(entered.strip())}".strip()
        return [(build(_inputs(action, entered)), description)]
    bodies = {}
    for target in targets:
        scope = _scope(action, target)
        body = build(_inputs(action, entered, *scope))
        bodies[body] = f"{label} {terminal_safe(release_text(*scope[:2]))}"
    return list(bodies.items())


def _builder_of_messages(action: Action) -> Callable[[Inputs], Any]:
    own = action.console.build if action.console else None
    build = own or (action.command.build if action.command else None)
    if build is None:
        raise ValueError(f"{action.name} sends no command")
    return build


def _inputs(
    action: Action,
    entered: str,
    project: str = "",
    version: str | None = None,
    target: str | None = None,
    *,
    builders: tuple[str, ...] = (),
    releases: tuple[tuple[str, str, str], ...] = (),
    alerts: tuple[str, ...] = (),
    waiting: str = "",
) -> Inputs:
    console = action.console
    prompt = console.prompt if console else None
    return Inputs(
        builders=builders,
        releases=releases,
        alerts=alerts,
        waiting=waiting,
        project=project,
        version=version,
        target=target,
        packages=parse_packages(entered) if prompt and prompt.kind is Kind.PACKAGES else (),
        text=entered.strip() if prompt and prompt.kind is Kind.TEXT else None,
        number=prompt.number(entered) if prompt else console.number if console else 0.0,
        flag=console.flag if console else False,
    )


def _scope(action: Action, target: ActionTarget) -> tuple[str, str | None, str | None]:
    """How much of a row's release an action affects: project, version, target."""
    scope = action.console.scope if action.console else Scope.ROW
    version = target.version if scope is not Scope.PROJECT else ""
    build_target = target.target if scope is Scope.RELEASE_FOR_TARGET else ""
    return target.project, version or None, build_target or None


def _join_names(labels: Sequence[str]) -> str:
    if len(labels) > _MAX_NAMES_SHOWN:
        return pluralize(len(labels), "builder")
    return ", ".join(map(terminal_safe, labels))


def _targets_summary(action: Action, targets: Sequence[ActionTarget]) -> str:
    names = list(dict.fromkeys(_target_name(action, target) for target in targets))
    if action.requires is Requirement.FAILURES:
        groups = " and ".join(target.group for target in targets if target.group)
        return f"{pluralize(len(names), 'release')}{f' of {groups}' if groups else ''}"
    if len(names) <= 1:
        return "".join(names)
    if action.requires is Requirement.ALERT:
        return pluralize(len(names), "alert")
    if action.requires in _NAMED_AS_BUILDERS:
        return pluralize(len(names), "builder")
    of_projects = action.console is not None and action.console.scope is Scope.PROJECT
    return pluralize(len(names), "project" if of_projects else "release")


def _target_name(action: Action, target: ActionTarget) -> str:
    """What an action on a row affects: its builder, its project or its release."""
    if action.requires is not Requirement.PROJECT:
        return target.name
    return terminal_safe(release_text(*_scope(action, target)))
