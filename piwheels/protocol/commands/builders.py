"""Commands to builders."""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from piwheels.protocol.commands.definition import (
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Inputs,
    Kind,
    Parameter,
    Prompt,
    Requirement,
)
from piwheels.protocol.message_base import MAX_NAMES, CommandMessage, ShortText

__all__ = [
    "BuilderCommand",
    "CommandBuilders",
]  # the messages: they are exported by `protocol.messages`


class BuilderCommand(StrEnum):
    """What a builder can be told to do."""

    SLEEP = "sleep"  # take no more jobs until woken; kept across restarts
    WAKE = "wake"  # take jobs again; also ends a quarantine
    CANCEL_BUILD = "cancel"  # end the running build; it is retried later
    DRAIN = "drain"  # end after the running build, and stay ended
    RESTART = "restart"  # end after the running build, and start again
    KILL = "kill"  # end now, and stay ended


class CommandBuilders(CommandMessage, frozen=True, kw_only=True):
    """Apply a command to the builders with these labels.

    With `immediately` (SLEEP and RESTART), a running build is stopped and its job queued again as
    if it had not begun. With `max_parallel` (RESTART; 0 is all at once), at most this many are away
    at the same time: the next one follows when one is back, or has not come back within
    `master.builder_timeout_s`. A master that is restarted forgets those still to come.
    """

    command: BuilderCommand
    builders: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_NAMES)]
    immediately: bool = False
    max_parallel: Annotated[int, Meta(ge=0, le=2**31)] = 0


_QUEUED_AGAIN = "The running build is canceled and queued again."
_KILLED = "The builder stops and stays stopped; its running build is retried later."
_BUILDERS = Parameter("labels", Kind.BUILDERS)


def _audit(body: CommandBuilders) -> str:
    words = {BuilderCommand.CANCEL_BUILD: "cancel the build of"}.get(body.command, body.command)
    now = " now" if body.immediately else ""
    parallel = f", {body.max_parallel} at a time" if body.max_parallel else ""
    return f"{words} {', '.join(body.builders) or 'no builder'}{now}{parallel}"


def _define(command: BuilderCommand, **facts: Any) -> CommandDefinition[CommandBuilders]:
    """The definition of a command whose only argument is builders, unless the facts differ."""
    return CommandDefinition(
        name=f"builder {command}",
        message=CommandBuilders,
        build=lambda inputs: CommandBuilders(
            command=command,
            builders=inputs.builders,
            immediately=inputs.flag,
            max_parallel=int(inputs.number),
        ),
        audit=_audit,
        applies_to=lambda body: body.command is command,
        **{"parameters": (_BUILDERS,), **facts},
    )


SLEEP = _define(
    BuilderCommand.SLEEP,
    summary="Stop assigning jobs to builders until `piw builder wake`; this persists across "
    "restarts.",
    details="With --now the running build is canceled and queued again without counting as an "
    "attempt.",
    examples=("piw builder sleep pi1 pi2", "piw builder sleep --all --now --yes"),
    parameters=(
        _BUILDERS,
        Parameter("--now", Kind.FLAG, "Cancel the running build; it is queued again."),
    ),
    discards_work=lambda body: body.immediately,
    question="Put {what} to sleep now?",
    consequence=_QUEUED_AGAIN,
    console=(
        ConsoleAction(
            name="sleep",
            key="z",
            label="Sleep",
            help="Take no more jobs after the running build, until woken.",
            requires=Requirement.BUILDER,
        ),
        ConsoleAction(
            name="sleep_now",
            key="",
            label="Sleep now",
            help="Cancel the running build and take no more jobs until woken.",
            requires=Requirement.BUILDER,
            confirm=Confirm.IF_WORK_LOST,
            consequence=_QUEUED_AGAIN,
            flag=True,
        ),
    ),
)

WAKE = _define(
    BuilderCommand.WAKE,
    summary="Assign jobs again to builders that sleep or are quarantined.",
    examples=("piw builder wake pi1", "piw builder wake --all"),
    console=(
        ConsoleAction(
            name="wake",
            key="w",
            label="Wake",
            help="Take jobs again after sleep or quarantine.",
            requires=Requirement.BUILDER,
        ),
    ),
)

CANCEL = _define(
    BuilderCommand.CANCEL_BUILD,
    summary="Cancel the builds running on these builders; they are retried later.",
    examples=("piw builder cancel pi1",),
    discards_work=lambda _: True,
    question="Cancel the build of {what}?",
    consequence="The running build is canceled and retried later.",
    console=(
        ConsoleAction(
            name="cancel_build",
            key="x",
            label="Cancel build",
            help="Cancel the running build and take another job.",
            requires=Requirement.RUNNING_BUILD,
            confirm=Confirm.ALWAYS,
            consequence=_QUEUED_AGAIN,
        ),
    ),
)


def _drain_or_restart(inputs: Inputs) -> CommandBuilders:
    """Drain all of the builders, or restart so many of them at a time."""
    return CommandBuilders(
        command=BuilderCommand.RESTART if inputs.number else BuilderCommand.DRAIN,
        builders=inputs.builders,
        max_parallel=int(inputs.number),
    )


DRAIN = _define(
    BuilderCommand.DRAIN,
    summary="Stop builder processes after their running builds; they stay stopped.",
    details="Start a drained builder again with `systemctl start`. To upgrade or restart "
    "builders, use `piw builder restart`.",
    examples=("piw builder drain pi1", "piw builder drain --all"),
    console=(
        ConsoleAction(
            name="drain",
            key="D",
            label="Drain",
            help="End a builder's process after its running build; it stays stopped. Of several, "
            "all end and stay stopped, or so many at a time are restarted.",
            requires=Requirement.BUILDER,
            confirm=Confirm.ALWAYS,
            explanation="A drained builder's process ends after its build and stays stopped. "
            "Sleep (z) only stops new jobs.",
            # No default: this key restarted builders once, and must not stop them by habit.
            prompt=Prompt(
                "Type all, or how many at a time are restarted",
                "",
                Kind.COUNT_OR_ALL,
                of_several=True,
            ),
            build=_drain_or_restart,
        ),
    ),
)

RESTART = _define(
    BuilderCommand.RESTART,
    summary="Restart builder processes after their running builds.",
    details="systemd or `piw up` starts them again. With --max-parallel, the next builder is "
    "restarted when one has reconnected or timed out.",
    examples=(
        "piw builder restart pi1",
        "piw builder restart --all --max-parallel 2",
        "piw builder restart pi1 --now",
    ),
    parameters=(
        _BUILDERS,
        Parameter("--now", Kind.FLAG, "Do not wait for running builds; they are queued again."),
        Parameter(
            "--max-parallel",
            Kind.COUNT,
            "Restart at most N builders at once; continue when one has reconnected or timed out.",
            metavar="N",
        ),
    ),
    discards_work=lambda body: body.immediately,
    question="Restart {what} now?",
    consequence=_QUEUED_AGAIN,
    console=(
        ConsoleAction(
            name="rolling_restart",
            key="",
            label="Rolling restart",
            help="Restart builders after their running builds, a few at a time.",
            requires=Requirement.BUILDER,
            confirm=Confirm.ALWAYS,
            prompt=Prompt("Builders restarted at the same time", "1", Kind.COUNT),
        ),
    ),
)

KILL = _define(
    BuilderCommand.KILL,
    summary="Stop builder processes immediately; they stay stopped.",
    details="Running builds are retried later. Start a killed builder again with "
    "`systemctl start`.",
    examples=("piw builder kill pi1",),
    discards_work=lambda _: True,
    question="Kill {what}?",
    consequence=_KILLED,
    console=(
        ConsoleAction(
            name="kill",
            key="K",
            label="Kill",
            help="Stop the builder's process now; it stays stopped.",
            requires=Requirement.BUILDER,
            confirm=Confirm.ALWAYS,
            consequence=_KILLED,
            confirm_word="kill",
        ),
    ),
)

DEFINITIONS = (SLEEP, WAKE, CANCEL, DRAIN, RESTART, KILL)
